"""Policy files: every mistake is told with its line, all of them at once; nothing that is misspelt is ignored."""

from __future__ import annotations

import datetime as dt
import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modctl.gateway.policy import lines
from modctl.gateway.policy.files import Policies, PolicyFile
from modctl.gateway.policy.model import DEFAULT
from modctl.gateway.policy.parse import parse
from modctl.gateway.policy.reading import PolicyError, load

if TYPE_CHECKING:
    from pathlib import Path

KEY = "A" * 43 + "="

MISTAKES = [
    ("", 0, "version"),
    ("version = 2", 1, "version"),
    ("version = true", 1, "version"),
    ("version = 1\n[identities\n", 2, ""),
    ("version = 1\n\n[identites]\na = 'admin'", 3, "identites"),
    ("version = 1\n[identities]\n'a' = 'boss'", 3, "identities.a"),
    ("version = 1\n[identities]\n'a' = 3", 3, "identities.a"),
    ("version = 1\nidentities = 3", 2, "identities"),
    ("version = 1\n[roles.admin]\nverbs = []", 2, "roles.admin"),
    ("version = 1\n[roles.x]\nverbs = [\n 'list',\n 'fly',\n]", 5, "roles.x.verbs[1]"),
    ("version = 1\n[roles.x]\nextends = 'y'", 3, "roles.x.extends"),
    ("version = 1\n[[rules]]\nnames = ['a']", 2, "rules[0]"),
    ("version = 1\n[[rules]]\nallow=['evict']\ndeny=['evict']\nnames=['a']", 2, "rules[0]"),
    ("version = 1\n[[rules]]\nallow=['evict']", 2, "rules[0]"),
    ("version = 1\n[[rules]]\nallow=['list']\nnames=['a']", 3, "rules[0].allow[0]"),
    ("version = 1\n[[rules]]\ndeny=['evict']\nnames=['a']\n[[rules]]\ndeny=['evict']\nname=['b']", 7, "rules[1].name"),
    ("version = 1\n[require]\nsignature = true", 0, "keys"),
    ("version = 1\n[require]\nreason = 'yes'", 3, "require.reason"),
    ("version = 1\n[[keys]]\nname = 'k'\npublic = 'x'", 4, "keys[0].public"),
    (f"version = 1\n[[keys]]\npublic = '{KEY}'", 2, "keys[0]"),
    (f"version = 1\n[[keys]]\nname='k'\npublic = '{KEY}'\nnot_after = 2027-01-01", 5, "keys[0].not_after"),
    ("version = 1\n[limits]\nmodules = 1001", 3, "limits.modules"),
    ("version = 1\n[limits]\nmodules = -1", 3, "limits.modules"),
    ("version = 1\n[limits]\nchanges_per_minute = nan", 3, "limits.changes_per_minute"),
    ("version = 1\n[audit]\nfile = 'relative.jsonl'", 3, "audit.file"),
    ("version = 1\n[[contexts]]\nname = 'p'", 2, "contexts[0]"),
    ("version = 1\n[[contexts]]\nname = 'p'\nlabels = { env = 3 }", 4, "contexts[0].labels.env"),
    ("version = 1\n[contexts]\nname = 'p'", 2, "contexts"),
    ("version = 1\n[defaults]\nuser = 'root'", 3, "defaults.user"),
    ("version = 1\n[defaults]\nusers = 'admin'", 3, "defaults.users"),
]


@pytest.mark.parametrize(("text", "line", "where"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_key(text: str, line: int, where: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(text, "/p.toml")
    assert (line, where) in [(problem.line, problem.where) for problem in caught.value.problems]
    assert f"/p.toml:{line}" in str(caught.value) or line == 0


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(PolicyError) as caught:
        parse("version = 1\n[limits]\nfoo = 1\nmodules = 0\n[identities]\na = 'boss'", "p")
    assert [problem.line for problem in caught.value.problems] == [3, 4, 6]


def test_the_format_that_the_documentation_shows_is_accepted() -> None:
    import modctl.gateway.policy.parse as documented

    text = "version" + (documented.__doc__ or "").partition("version")[2]
    policy = parse(text.replace("<base64 of 32 bytes, as `modctl sign --new-key` shows it>", KEY), "/p.toml")
    assert policy.require_reason
    assert policy.keys[0].not_after_unix_s == dt.datetime(2027, 1, 31, tzinfo=dt.timezone.utc).timestamp()
    assert policy.roles["deployer"] == policy.roles["viewer"] | {"reload", "send"}


def test_a_role_of_ones_own_takes_away_what_without_says() -> None:
    policy = parse("version = 1\n[roles.r]\nextends='viewer'\nverbs=['evict']\nwithout=['source']", "p")
    assert policy.roles["r"] == {"agents", "list", "get", "history", "evict"}


def test_lines_are_found_behind_everything_that_looks_like_toml_and_is_none() -> None:
    text = (
        "a = '''\n[not]\nb = 1\n'''\n"  # 1-4
        '"quoted.key" = "x # no comment [y]"\n'  # 5
        "c.d = [ # comment ]\n  'one', # 'x'\n  { e = ']' },\n  '''\n''',\n  'last' ]\n"  # 6-11
        '[t]  # [u]\nx=1\n[[l]]\ny=1\n[[l]]\ny=2\n[l.sub]\nz = """\n["""\n[end]\nq = 1'
    )
    load(text)
    found = lines.find(text)
    assert found["a",] == 1
    assert found["quoted.key",] == 5
    assert found["c", "d"] == 6
    assert [found["c", "d", position] for position in range(4)] == [7, 8, 9, 11]
    assert found["t", "x"] == 13
    assert found["l", 0, "y"] == 15
    assert found["l", 1, "y"] == 17
    assert found["l", 1, "sub", "z"] == 19
    assert found["end", "q"] == 22
    assert ("not",) not in found
    assert ("u",) not in found


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("[]{}=.,'\"#\\ \n\tab1\r") | st.characters(codec="utf-8"), max_size=200))
def test_no_text_upsets_the_reader(text: str) -> None:
    lines.find(text)  # must end
    try:
        parse(text, "p")
    except PolicyError as error:
        told = error.problems
    else:
        return
    assert told


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["identities", "roles", "rules", "keys", "contexts", "limits", "audit", "require", "defaults"]),
)
def test_no_value_in_the_wrong_place_upsets_the_reader(value: object, key: str) -> None:
    from modctl.gateway.policy import parse as module
    from modctl.gateway.policy.reading import Problem, Table

    problems: list[Problem] = []
    module._policy(Table({"version": 1, key: value}, (), {}, problems), "p")


def test_a_file_that_changes_is_read_again_and_one_that_breaks_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "p.toml"
    place.write_text("version = 1\n[require]\nreason = true\n")
    file = PolicyFile(str(place))
    assert file.look().require_reason
    place.write_text("version = 1\n[require]\nreason = maybe\n")
    assert file.look().require_reason
    assert ":3" in file.problem
    place.unlink()
    assert file.look().require_reason
    assert "No such file" in file.problem
    place.write_text("version = 1\n")
    assert not file.look().require_reason
    assert file.problem == ""


def test_a_file_that_was_never_right_lets_nobody_change_anything_until_it_is(tmp_path: Path) -> None:
    place = tmp_path / "p.toml"
    file = PolicyFile(str(place))
    assert file.look().broken
    place.write_text("nonsense")
    assert "nonsense" not in file.look().roles
    assert file.look().broken
    assert str(place) in file.problem
    place.write_text("version = 1\n")
    assert not file.look().broken


@pytest.mark.skipif(os.getuid() != 0, reason="root reads everything anyway; this is about a directory in its place")
def test_a_directory_in_its_place_is_a_broken_file(tmp_path: Path) -> None:
    assert PolicyFile(str(tmp_path)).look().broken


def test_processes_without_a_file_have_the_default_policy(tmp_path: Path) -> None:
    policies = Policies()
    assert policies.of(["", ""]) == [DEFAULT]
    assert len(policies.of(["", str(tmp_path / "missing")])) == 2
    assert policies.problems()


def test_toml_is_read_with_the_standard_librarys_reader_where_there_is_one() -> None:
    load("a = 1")
    assert ("tomllib" in sys.modules) == (sys.version_info >= (3, 11)) or "tomli" in sys.modules
