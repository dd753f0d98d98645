"""Photos by path: plain files and members of tar shards, read at an offset without unpacking."""

from __future__ import annotations

import os
import tarfile
import threading
from io import FileIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from shoplens.errors import ShoplensError

SEPARATOR = "::"


class PhotoError(ShoplensError):
    """A photo cannot be read; `check` names the contract's check that it fails."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


def _unreadable(path: str, error: OSError) -> PhotoError:
    remedy = "deliver the file, or drop its row from images.parquet"
    return PhotoError("photo-missing", f"photo {path} cannot be read: {error.strerror}; {remedy}")


def _scan(tar_file: Path) -> dict[str, tuple[int, int]]:
    """Member name -> (offset, size) of the plain files in a tar file; the last of equal names, as tar has it."""
    with tarfile.open(tar_file, "r:") as tar:
        plain = [info for info in tar if info.isreg() and not info.issparse()]
    return {info.name.removeprefix("./"): (info.offset_data, info.size) for info in plain}


class PhotoStore:
    """The photos of one contract folder.

    Safe to share between threads and to send to other processes. A tar shard is scanned once, on first use; its
    photos are then read with one positioned read each. Shards must not change while the store lives.
    """

    def __init__(self, data: Path) -> None:
        self._root = data.resolve()
        self._members: dict[str, dict[str, tuple[int, int]]] = {}
        self._files: dict[str, FileIO] = {}
        self._broken: dict[str, PhotoError] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_root": self._root, "_members": self._members}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _files={}, _broken={}, _lock=threading.Lock())

    def read(self, path: str) -> bytes:
        """The bytes of the photo at `path`: `images/a.jpg`, or `images/000.tar::a.jpg` in a tar shard.

        Raises:
            ShoplensError: if the path is absolute or leaves the folder (also through a link), or nothing is there.
        """
        file, separator, member = path.partition(SEPARATOR)
        if not separator:
            try:
                return self._resolve(file, path).read_bytes()
            except OSError as error:
                raise _unreadable(path, error) from None
        offset, size = self._find(file, member, path)
        content = os.pread(self._files[file].fileno(), size, offset)
        if len(content) != size:
            raise PhotoError("tar-unreadable", f"photo {path}: {file} is truncated; pack it again")
        return content

    def size(self, path: str) -> int:
        """The photo's size in bytes.

        Raises:
            ShoplensError: as `read`.
        """
        file, separator, member = path.partition(SEPARATOR)
        if separator:
            return self._find(file, member, path)[1]
        place = self._resolve(file, path)
        try:
            with place.open("rb") as handle:
                return os.fstat(handle.fileno()).st_size
        except OSError as error:
            raise _unreadable(path, error) from None

    def _resolve(self, file: str, path: str) -> Path:
        if PurePosixPath(file).is_absolute() or PureWindowsPath(file).drive or file.startswith("\\"):
            raise PhotoError(
                "path-absolute", f"photo {path}: the path is absolute; write it relative to the data folder"
            )
        try:
            place = Path(os.path.realpath(self._root / file))
        except ValueError:
            raise PhotoError("photo-missing", f"photo {path!r}: not a file name; correct the path") from None
        if ".." in PurePosixPath(file).parts or not place.is_relative_to(self._root):
            raise PhotoError("path-outside", f"photo {path}: the path leaves the data folder; copy the photo into it")
        return place

    def _find(self, file: str, member: str, path: str) -> tuple[int, int]:
        if file not in self._files:
            with self._lock:
                if file in self._broken:
                    raise self._broken[file]
                if file not in self._files:
                    self._open(file, path)
        try:
            return self._members[file][member.removeprefix("./")]
        except KeyError:
            remedy = "deliver it, or drop its row from images.parquet"
            raise PhotoError("photo-missing", f"photo {path}: {file} has no member {member}; {remedy}") from None

    def _open(self, file: str, path: str) -> None:
        place = self._resolve(file, path)
        try:
            opened = FileIO(place)
            if file not in self._members:
                self._members[file] = _scan(place)
        except (tarfile.TarError, OSError) as error:
            remedy = "deliver it, packed without compression (tar cf)"
            self._broken[file] = PhotoError("tar-unreadable", f"{file} is not a readable tar file ({error}); {remedy}")
            raise self._broken[file] from None
        self._files[file] = opened
