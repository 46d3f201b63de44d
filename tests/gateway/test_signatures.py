"""Who signs and who checks must make the same modules of the same files, or no signature would ever count."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modctl.client import signing as signer
from modctl.client.errors import SourceError
from modctl.client.packages import read_package
from modctl.gateway import signatures
from modctl.v1 import change_pb2

PARTS = st.sampled_from(["__init__.py", "a.py", "b.py", "x.json", "not-a-name.py", "__pycache__", "a.pyc", "sub", "s2"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
TEXTS = st.sampled_from([b"", b"X = 1", b"X = 1\r\n", b"# coding: latin-1\nX = '\xe4'\n", b"\xff"])


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for place, content in files.items():
            archive.writestr(place, content)
    return written.getvalue()


def as_the_gateway_sees(inject: change_pb2.InjectOperation) -> str | None:
    """The digest that a signature must have; None where the gateway cannot read what was sent."""
    sent = signatures._sent(change_pb2.Operation(inject=inject))
    assert sent is not None
    _, digest, problem = sent
    assert bool(digest) != bool(problem)
    return digest or None


def as_the_signer_sees(name: str, place: Path) -> str | None:
    try:
        return signer.digest_of(name, str(place))
    except SourceError:
        return None


@settings(max_examples=150, deadline=None)
@given(
    files=st.dictionaries(PATHS, TEXTS), name=st.sampled_from(["p", "p.q"]), root=st.sampled_from(["", "p/", "p/q/"])
)
def test_an_archive_is_the_same_to_who_signs_it_and_to_who_checks_it(
    files: dict[str, bytes], name: str, root: str
) -> None:
    content = zipped({f"{root}{place}": text for place, text in files.items()})
    with tempfile.NamedTemporaryFile(suffix=".whl") as file:
        file.write(content)
        file.flush()
        mine = as_the_signer_sees(name, Path(file.name))
    assert mine == as_the_gateway_sees(change_pb2.InjectOperation(name=name, archive=content))


@settings(max_examples=100, deadline=None)
@given(files=st.dictionaries(PATHS, TEXTS))
def test_a_directory_is_the_same_to_who_signs_it_and_to_who_checks_it_and_so_is_its_archive(
    files: dict[str, bytes],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "p"
        package.mkdir()
        (package / "__init__.py").write_bytes(b"")
        for place, content in files.items():
            file = package / place
            if any(parent.is_file() for parent in file.parents) or file.is_dir():
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        mine = as_the_signer_sees("p", package)
        sent, _ = read_package(str(package))
        assert sent is not None
        archive = Path(folder) / "p.zip"
        archive.write_bytes(zipped({f"p/{place}": content for place, content in sent.items()}))
        packed = as_the_signer_sees("p", archive)
    parts = [change_pb2.PackageFile(path=place, content=content) for place, content in sent.items()]
    theirs = as_the_gateway_sees(change_pb2.InjectOperation(name="p", package=change_pb2.PackageFiles(files=parts)))
    assert mine == theirs == packed


def test_an_archive_without_that_package_is_not_signed(tmp_path: Path) -> None:
    place = tmp_path / "p.zip"
    place.write_bytes(zipped({"one/__init__.py": b"", "two/__init__.py": b""}))
    with pytest.raises(SourceError, match="only: one, two"):
        signer.digest_of("p", str(place))
