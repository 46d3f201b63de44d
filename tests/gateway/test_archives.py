"""Packages and archives of them: found, taken apart, and nothing believed."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import warnings
import zipfile
from typing import Any

import pytest
from modctl.local import archives, packages
from modctl.local.archives import ArchiveError, check_path, unpacked
from modctl.local.packages import laid_out, of_archive


def zipped(files: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED, **attributes: Any) -> bytes:
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", method) as archive:
        warnings.simplefilter("ignore")  # duplicates are meant
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return written.getvalue()


def shape(layout: packages.Layout) -> dict[str, tuple[bool, bytes]]:
    return {module.name: (module.package, module.content) for module in layout.modules}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_is_unpacked_whole(method: int) -> None:
    files = {"pkg/__init__.py": b"A = 1\n" * 1000, "pkg/data/x.bin": bytes(range(256))}
    assert unpacked(zipped(files, method)) == files


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x.py", "a/../../x.py", "a/./b.py", "a//b.py", "..", ".", "C:/x.py", "a\\..\\b.py", "a\0b.py",  # noqa: E501
     "a\nb.py", "x" * 600, "a/..", "a\udc80.py"],
)  # fmt: skip
def test_a_path_that_is_not_plainly_inside_is_refused(path: str) -> None:
    with pytest.raises(ArchiveError):
        check_path(path)


@pytest.mark.parametrize("path", ["/etc/cron.d/x", "../../x.py", "pkg/../../x.py", "pkg/./x.py", "C:\\x.py"])
def test_a_member_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(ArchiveError, match=r"leads out|backslash"):
        unpacked(zipped({"pkg/__init__.py": "", path: "X"}))


def test_a_member_named_with_a_nul_is_refused() -> None:
    content = zipped({"pkg/ok.py0x": "X"}).replace(b"ok.py0x", b"ok.py\0x")
    with pytest.raises(ArchiveError, match="control character"):
        unpacked(content)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(kind: int) -> None:
    with pytest.raises(ArchiveError, match="link or a special file"):
        unpacked(zipped({"pkg/x.py": "/etc/passwd"}, external_attr=(kind | 0o777) << 16))


def test_a_member_twice_is_refused() -> None:
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("pkg/__init__.py", "good")
        archive.writestr("pkg/__init__.py", "evil")
    with pytest.raises(ArchiveError, match="twice"):
        unpacked(written.getvalue())


def test_an_encrypted_member_is_refused() -> None:
    content = bytearray(zipped({"pkg/__init__.py": "X = 1\n"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        content[at] |= 1
    with pytest.raises(ArchiveError, match="encrypted"):
        unpacked(bytes(content))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zipped({"pkg/__init__.py": "", "pkg/zeros": b"\0" * (archives.MAX_MEMBER_BYTES + 1)})
    assert len(bomb) < 100_000
    with pytest.raises(ArchiveError) as refused:
        unpacked(bomb)
    assert refused.value.reason == "LIMIT"


def test_a_bomb_of_many_members_is_not_unpacked() -> None:
    bomb = zipped({f"pkg/zeros{number}": b"\0" * (8 << 20) for number in range(8)})
    with pytest.raises(ArchiveError) as refused:
        unpacked(bomb)
    assert refused.value.reason == "LIMIT"


def test_a_bomb_that_lies_about_its_size_is_found_out() -> None:
    content = bytearray(zipped({"pkg/zeros": b"\0" * (archives.MAX_MEMBER_BYTES * 2)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature) + offset
        content[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(ArchiveError):
        unpacked(bytes(content))


def test_too_many_members_are_refused() -> None:
    with pytest.raises(ArchiveError, match="members"):
        unpacked(zipped({f"p/{number}": "" for number in range(archives.MAX_MEMBERS + 1)}, zipfile.ZIP_STORED))


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"no zip at all" * 100, b"PK\x05\x06" + b"\xff" * 18, b"\x1f\x8b" + bytes(50)]
)
def test_what_is_no_zip_says_so(content: bytes) -> None:
    with pytest.raises(ArchiveError, match="no zip file"):
        unpacked(content)


def test_every_truncation_and_many_flips_are_refused_or_read_but_never_more() -> None:
    content = zipped({"pkg/__init__.py": "X = 1\n" * 50, "pkg/a.py": "Y = 2\n"})
    for cut in range(0, len(content), 7):
        with pytest.raises(ArchiveError):
            unpacked(content[:cut])
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 0xFF
        with contextlib.suppress(ArchiveError):
            unpacked(bytes(flipped))


def test_a_package_s_files_become_modules_parents_first() -> None:
    layout = laid_out(
        "a.b",
        {
            "z.py": b"Z",
            "sub/deep/m.py": b"M",
            "__init__.py": b"I",
            "sub/__init__.py": b"S",
            "data/x.json": b"{}",
            "__pycache__/z.cpython-311.pyc": b"?",
            "old.pyc": b"?",
            "not-a-name.py": b"N",
            "README": b"R",
        },
    )
    assert [module.name for module in layout.modules] == ["a.b", "a.b.sub", "a.b.sub.deep", "a.b.sub.deep.m", "a.b.z"]
    assert shape(layout)["a.b.sub.deep"] == (True, b""), "a folder without __init__.py is a package with no source"
    assert layout.data == {"data/x.json": b"{}", "not-a-name.py": b"N", "README": b"R"}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "BAD_ARCHIVE"),
        ({"data.json": b""}, "BAD_ARCHIVE"),
        ({"__init__.py": b"", "x.so": b"\x7fELF"}, "UNSUPPORTED"),
        ({"__init__.py": b"", "x.cpython-311-x86_64-linux-gnu.so": b"\x7fELF"}, "UNSUPPORTED"),
        ({"__init__.py": b"", "a.py": b"", "a/__init__.py": b""}, "BAD_ARCHIVE"),
        ({"__init__.py": b"", "../x.py": b""}, "BAD_ARCHIVE"),
        ({f"m{number}.py": b"" for number in range(1001)}, "LIMIT"),
    ],
)
def test_a_package_that_cannot_be_injected_says_why(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(ArchiveError) as refused:
        laid_out("pkg", files)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"__init__.py": b"", "a.py": b""}, ["x.pkg", "x.pkg.a"]),
        ({"pkg/__init__.py": b"", "pkg/a.py": b"", "other/__init__.py": b""}, ["x.pkg", "x.pkg.a"]),
        ({"x/__init__.py": b"", "x/pkg/__init__.py": b"", "x/pkg/a.py": b""}, ["x.pkg", "x.pkg.a"]),
        ({"pkg-1.0/__init__.py": b"", "pkg-1.0/a.py": b"", "README": b""}, ["x.pkg", "x.pkg.a"]),
        ({"pkg/__init__.py": b"", "pkg-1.0.dist-info/METADATA": b"", "pkg-1.0.dist-info/RECORD": b""}, ["x.pkg"]),
        ({"pkg.py": b"", "pkg-1.0.dist-info/METADATA": b""}, ["x.pkg"]),
    ],
)  # fmt: skip
def test_the_package_is_found_in_its_archive(files: dict[str, bytes], names: list[str]) -> None:
    assert [module.name for module in of_archive("x.pkg", files).modules] == names


def test_an_archive_of_several_packages_does_not_guess() -> None:
    with pytest.raises(ArchiveError, match="only: one, two"):
        of_archive("pkg", {"one/__init__.py": b"", "two/__init__.py": b""})
