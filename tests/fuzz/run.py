"""Fuzzes one target, guided by coverage: python tests/fuzz/run.py TARGET SECONDS [libFuzzer's options].

Says at the end how many runs there were; a run that fails leaves its bytes in .fuzz/TARGET/crash-….
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def main() -> None:
    sys.path.insert(0, str(TESTS))
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed here: pip install atheris (CPython 3.11-3.13 on Linux)")
    name, seconds, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["modctl"]):
        from fuzz.targets import TARGETS

        under_test = TARGETS[name]
        under_test(b"")  # imports everything that it needs, instrumented
    folder = TESTS.parent / ".fuzz" / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    settings = [f"-max_total_time={seconds}", f"-artifact_prefix={folder}/", "-max_len=4096", "-timeout=120"]
    settings += ["-rss_limit_mb=1500", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], str(corpus), *settings, *options], under_test)
    atheris.Fuzz()


def seeds(name: str) -> list[bytes]:
    """Where the search begins."""
    if name == "frames":
        return [b"\0\0\0\2\0\0\0\1\2{}", b"\0\0\0\0\0\0\0\0\0" * 3]
    if name == "policies":
        import modctl.gateway.policy.parse as documented

        text = "version" + (documented.__doc__ or "").partition("version")[2]
        return [text.replace("<base64 of 32 bytes, as `modctl sign --new-key` shows it>", "A" * 43 + "=").encode()]
    if name == "change_sets":
        return [
            (
                b'\0reason = "x"\n[[operations]]\ninject = { name = "a.b", source = "X = 1", ttl = "2h" }\n'
                b'[[operations]]\nevict = { name = "a", recursive = true }\n[[operations]]\nreimport = "b"\n'
            ),
            b'\1{"operations": [{"inject": {"name": "a", "attributes": {"A": 1}}}]}',
            b"\2operations:\n- import: a\n- evict: {name: b}\n",
        ]
    if name == "names":
        return [b"a.b|a", b"billing.**|billing.tax", b"../x", "é".encode()]
    if name == "hosts":
        return [b"svc[01-50]:50051,[::1]:1", b"unix:///run/x.sock"]
    if name == "archives":
        return [b"\1" + bytes(range(60))]
    return [bytes([number]) + b"\1" + bytes(range(40)) for number in (0, 5, 9, 130, 140)]


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    main()
