"""Tarballs are read, never extracted, and hostile ones are refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.importers.open_icons_archive import read_members


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def everything(_: str) -> bool:
    return True


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    tgz = archive(
        tmp_path / "a.tgz", (tarfile.TarInfo("package/a/b.txt"), b"yes"), (tarfile.TarInfo("package/c"), b"no")
    )
    assert read_members(tgz, lambda name: name.startswith("a/")) == {"a/b.txt": b"yes"}


@pytest.mark.parametrize("name", ["../outside.txt", "package/../../outside.txt", "/outside.txt"])
def test_a_path_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    tgz = archive(inner / "a.tgz", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(ShoplensError, match="points outside the archive"):
        read_members(tgz, lambda _: False)
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "a.tgz"]


def test_a_link_among_the_wanted_files_is_refused(tmp_path: Path) -> None:
    tgz = archive(tmp_path / "a.tgz", (link("package/passwords", "/etc/passwd"), b""))
    with pytest.raises(ShoplensError, match="is a link"):
        read_members(tgz, everything)


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    twice = (tarfile.TarInfo("package/a"), b"1"), (tarfile.TarInfo("package/a"), b"2")
    with pytest.raises(ShoplensError, match="doubled"):
        read_members(archive(tmp_path / "a.tgz", *twice), everything)


@pytest.mark.parametrize("kept", [0, 20, 2000])
def test_a_truncated_tarball_is_named(tmp_path: Path, kept: int) -> None:
    tgz = archive(tmp_path / "a.tgz", (tarfile.TarInfo("package/a"), bytes(range(256)) * 4096))
    tgz.write_bytes(tgz.read_bytes()[:kept])
    with pytest.raises(ShoplensError, match=r"a\.tgz: not a readable npm tarball"):
        read_members(tgz, everything)


def test_a_file_that_is_no_tarball_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"<html>not found</html>")
    with pytest.raises(ShoplensError, match=r"a\.tgz: not a readable npm tarball"):
        read_members(tmp_path / "a.tgz", everything)
