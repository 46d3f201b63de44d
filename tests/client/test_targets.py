"""What operators type for a target, and what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modctl.client.errors import TargetSyntaxError
from modctl.client.printers.fold import fold_names, fold_numbers
from modctl.client.targets import expand_ranges, parse_targets, read_hosts_file, split_list

READ_AS = {
    "svc:50051": ["svc:50051"],
    "svc": ["svc:50051"],
    "svc.example.org.:1": ["svc.example.org.:1"],
    "web_1:65535": ["web_1:65535"],
    "10.0.0.7:50051": ["10.0.0.7:50051"],
    "[::1]:50051": ["[::1]:50051"],
    "[::1]": ["[::1]:50051"],
    "[fe80::1%eth0]:9": ["[fe80::1%eth0]:9"],
    "unix:///run/x.sock": ["unix:///run/x.sock"],
    "unix:/run/x.sock": ["unix:///run/x.sock"],
    "/run/x.sock": ["unix:///run/x.sock"],
    "unix:///run/a[1].sock": ["unix:///run/a[1].sock"],
    "svc[01-03]:50051": ["svc01:50051", "svc02:50051", "svc03:50051"],
    "svc[1-3]": ["svc1:50051", "svc2:50051", "svc3:50051"],
    "svc[8-11]": ["svc8:50051", "svc9:50051", "svc10:50051", "svc11:50051"],
    "svc[08-11]": ["svc08:50051", "svc09:50051", "svc10:50051", "svc11:50051"],
    "[nope]:1": ["nope:1"],
    "r[1-2]n[a,b]:7": ["r1na:7", "r1nb:7", "r2na:7", "r2nb:7"],
    "svc[01-02,15,x]:1": ["svc01:1", "svc02:1", "svc15:1", "svcx:1"],
    "127.0.0.1:[7000-7002]": ["127.0.0.1:7000", "127.0.0.1:7001", "127.0.0.1:7002"],
    "a:1,b:2, c:3 ,": ["a:1", "b:2", "c:3"],
    "a:1,a:1,a:2": ["a:1", "a:2"],
    "svc[1,2]:1,[::1]:2": ["svc1:1", "svc2:1", "[::1]:2"],
    "": [],
}


@pytest.mark.parametrize(("text", "labels"), READ_AS.items(), ids=READ_AS)
def test_a_target_is_read_as(text: str, labels: list[str]) -> None:
    assert [target.label for target in parse_targets([text])] == labels


REFUSED = {
    "svc:": "no number from 1 to 65535",
    "svc:0": "no number",
    "svc:65536": "no number",
    "svc:http": "no number",
    "svc:\u0661": "no number",
    ":50051": "no host name",
    "::1": "in brackets",
    "fe80::1:50051": "in brackets",
    "[::1": "brackets do not match",
    "[nope:x]:1": "is no range",
    "[::1]x": "after ] comes :port",
    "svc]": "brackets do not match",
    "svc[[1]]": "brackets do not match",
    "svc[5-1]": "runs backwards",
    "svc[]": "is no range",
    "svc[1-]": "is no range",
    "svc[a b]": "is no range",
    "svc[1-999999999]": "more than 100000",
    "a[1-1000]b[1-1000]": "more than 100000",
    "300.1.1.1:1": "no IPv4 address",
    "1.2.3:1": "no IPv4 address",
    "-svc:1": "no host name",
    "sv c:1": "no host name",
    "a..b:1": "no host name",
    "x" * 64 + ":1": "no host name",
    "\x1b[31m:1": "brackets do not match",
    "http://svc:1": "http:// is not known",
    "unix://run/x.sock": "three slashes",
    "unix:": "no path",
    "unix:///" + "x" * 107: "107 bytes",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=[ascii(text)[:40] for text in REFUSED])
def test_what_is_no_target_is_refused_with_the_cure(text: str, why: str) -> None:
    with pytest.raises(TargetSyntaxError, match=why.replace("[", r"\[").replace("]", r"\]")):
        parse_targets([text])


@given(st.text(alphabet="svc01:[],-./ax", max_size=24))
def test_any_text_is_a_list_of_targets_or_refused_and_never_anything_else(text: str) -> None:
    try:
        targets = parse_targets([text])
    except TargetSyntaxError:
        return
    # What was understood is written so that it is understood the same.
    assert parse_targets([target.label for target in targets]) == targets


@given(st.sets(st.integers(min_value=0, max_value=300), min_size=1), st.integers(min_value=3, max_value=5))
def test_folding_names_and_expanding_them_again_gives_the_same_names(numbers: set[int], width: int) -> None:
    names = [f"svc{str(number).zfill(width)}:50051" for number in sorted(numbers)]
    folded = fold_names(names)
    assert [name for part in split_list(folded) for name in expand_ranges(part)] == names


@given(st.sets(st.integers(min_value=0, max_value=10**6), min_size=1, max_size=50))
def test_folding_numbers_and_expanding_them_again_gives_the_same_numbers(numbers: set[int]) -> None:
    expanded = expand_ranges(f"x[{fold_numbers(numbers)}]")
    assert [int(name[1:]) for name in expanded] == sorted(numbers)


FOLDED = {
    ("svc01", "svc02", "svc03", "svc05"): "svc[01-03,05]",
    ("svc9", "svc10", "svc11"): "svc[9-11]",
    ("web-7f9c-x2k", "web-1a2b-q9z"): "web-7f9c-x2k,web-1a2b-q9z",
    ("a", "b"): "a,b",
    ("svc1",): "svc1",
    ("10.0.0.1:50051", "10.0.0.2:50051", "10.0.0.3:50051"): "10.0.0.[1-3]:50051",
    ("n1:7", "n1:8", "n1:9"): "n1:[7-9]",
    (): "",
}


@pytest.mark.parametrize(("names", "folded"), FOLDED.items())
def test_names_fold_into(names: tuple[str, ...], folded: str) -> None:
    assert fold_names(names) == folded


def test_a_hosts_file_has_one_or_more_targets_a_line_and_comments() -> None:
    text = "a:1 b:2\n# all of them\n\n  svc[1-2]  # two\n"
    assert read_hosts_file(text) == ["a:1", "b:2", "svc[1-2]"]
