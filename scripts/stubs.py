"""Makes the stubs in proto/modctl/v1, or says how the committed ones differ from what the .proto files give.

    python scripts/stubs.py            # write them
    python scripts/stubs.py --check    # exit 1 with a diff where they differ

The generator is pinned low and lives in its own environment, .tools/protoc: a stub refuses to load on a protobuf older
than its generator, so stubs from a current one would force the newest protobuf on every host that embeds modctl. Those
of 1.62 run on protobuf 4.25 and everything since. (OpenTelemetry pins its generator for the same reason.)
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
import tempfile
from pathlib import Path

import interpreters

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
PACKAGE = Path("modctl/v1")
GENERATOR = "grpcio-tools==1.62.3"
#: 1.62 has wheels for these; newest first.
GENERATOR_MINORS = range(8, 13)
#: pkg_resources, which this generator imports, left setuptools in 81.
SETUPTOOLS = "setuptools<81"


def main() -> int:
    """Writes or checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    python = generator()
    if python is None:
        wanted = f"stubs: {GENERATOR} needs a Python 3.8-3.12 and none was found on PATH or under pyenv"
        print(f"{wanted}; {'drift NOT checked' if check else 'nothing made'}", file=sys.stderr)
        return 0 if check else 1
    with tempfile.TemporaryDirectory(prefix="modctl-stubs-") as folder:
        fresh = generate(python, Path(folder))
        return compare(fresh) if check else write(fresh)


def generator() -> Path | None:
    """The Python of an environment with the pinned generator, made where needed; None where none can be had."""
    directory = ROOT / ".tools" / "protoc"
    python = directory / "bin" / "python"
    stamp = directory / ".stamp"
    if python.exists() and stamp.is_file() and stamp.read_text() == GENERATOR:
        return python
    found = interpreters.find(GENERATOR_MINORS)
    if not found:
        return None
    subprocess.run([found[max(found)], "-m", "venv", "--clear", str(directory)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--only-binary=:all:", GENERATOR, SETUPTOOLS], check=True)
    stamp.write_text(GENERATOR)
    return python


def generate(python: Path, folder: Path) -> dict[str, str]:
    """File name to text of every stub, made in that folder."""
    protos = sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / PACKAGE).glob("*.proto"))
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "pyi")]
    subprocess.run(
        [str(python), "-W", "ignore", "-m", "grpc_tools.protoc", "-I.", *outputs, *protos], cwd=PROTO, check=True
    )
    stubs = {path.name: path.read_text() for path in (folder / PACKAGE).iterdir()}
    # A proto without a service gives a *_pb2_grpc.py of imports only.
    return {name: text for name, text in stubs.items() if not name.endswith("_pb2_grpc.py") or "class " in text}


def committed() -> dict[str, str]:
    """File name to text of the stubs in the tree."""
    patterns = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")
    return {path.name: path.read_text() for pattern in patterns for path in (PROTO / PACKAGE).glob(pattern)}


def compare(fresh: dict[str, str]) -> int:
    """Prints how the committed stubs differ; 1 where they do."""
    old = committed()
    differing = [name for name in sorted(old.keys() | fresh.keys()) if old.get(name) != fresh.get(name)]
    for name in differing:
        before, after = old.get(name, "").splitlines(), fresh.get(name, "").splitlines()
        lines = list(difflib.unified_diff(before, after, f"committed/{name}", f"generated/{name}", lineterm=""))
        print("\n".join(line[:200] for line in lines[:40]))
    if differing:
        print(f"stubs: {', '.join(differing)} differ from the .proto files; run `make proto`", file=sys.stderr)
        return 1
    print(f"stubs: {len(fresh)} files are what {GENERATOR} makes of the .proto files")
    return 0


def write(fresh: dict[str, str]) -> int:
    """Puts the stubs into the tree and takes away those that have no .proto any more."""
    for name in committed().keys() - fresh.keys():
        (PROTO / PACKAGE / name).unlink()
    for name, text in fresh.items():
        (PROTO / PACKAGE / name).write_text(text)
    print(f"stubs: wrote {len(fresh)} files to {(PROTO / PACKAGE).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
