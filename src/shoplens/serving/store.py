"""Where a live repository lies: a folder, or a prefix of a bucket. What Triton reads is whole there, or absent."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shoplens.errors import ShoplensError
from shoplens.files import digest_file, locked, write_bytes
from shoplens.serving.lease import WAIT_S, leased, refused

Files = Mapping[str, Path | bytes]
"""What to put: path below the folder -> the file it is copied from, or its content."""
MARKS = ("config.pbtxt", "published.json")
"""Files without which Triton does not load a folder, and shoplens does not take it for published."""
LOCK = ".lock"


class Store(Protocol):
    """Files by their path below one place. Paths have forward slashes; a folder is there while a file is in it."""

    @property
    def where(self) -> str:
        """The place, for messages."""

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """One process at a time changes what is here.

        Raises:
            ShoplensError: if another one holds the lock for ten minutes.
        """

    def read(self, path: str) -> bytes | None:
        """A file's content; None if it is not there."""

    def digest(self, path: str) -> str | None:
        """sha256 (hex) of a file; None if it is not there."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file; whoever reads it finds the old or the new content, and a server sees that it changed."""

    def put(self, folder: str, files: Files) -> None:
        """Write a folder in place of what is there; who finds its mark (`MARKS`) finds all of it."""

    def remove(self, folder: str) -> None:
        """Remove a folder, if it is there."""

    def names(self, folder: str) -> list[str]:
        """What lies directly in a folder, sorted; hidden entries are left out."""


def open_store(location: str) -> Store:
    """The store at a folder's path or at `s3://bucket/prefix`.

    Raises:
        ShoplensError: if the folder is not there: a volume that is not mounted must not be taken for an empty one.
    """
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").strip("/").partition("/")
        return S3Store(bucket, prefix)
    if not Path(location).is_dir():
        raise ShoplensError(f"{location} is not a folder: mount the volume that the servers read, or make the folder")
    return FolderStore(Path(location))


@dataclass(frozen=True)
class FolderStore:
    """A folder on a disk or a mounted volume. Folders are renamed into place."""

    root: Path

    @property
    def where(self) -> str:
        return str(self.root)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.root / LOCK, "the live model repository", WAIT_S)

    def read(self, path: str) -> bytes | None:
        file = self.root / path
        return file.read_bytes() if file.is_file() else None

    def digest(self, path: str) -> str | None:
        file = self.root / path
        return digest_file(file) if file.is_file() else None

    def write(self, path: str, content: bytes) -> None:
        write_bytes(self.root / path, content)

    def put(self, folder: str, files: Files) -> None:
        # Not beside the models: a server that starts now loads every folder that it finds there.
        incoming, target = self.root / ".incoming", self.root / folder
        shutil.rmtree(incoming, ignore_errors=True)
        for name, content in files.items():
            file = incoming / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                file.write_bytes(content)
            else:
                shutil.copyfile(content, file)
        self.remove(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.rename(target)

    def remove(self, folder: str) -> None:
        target, removed = self.root / folder, self.root / ".removed"
        shutil.rmtree(removed, ignore_errors=True)
        if target.is_dir():  # half of it, should this process be killed, must not lie there
            target.rename(removed)
            shutil.rmtree(removed)

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).glob("*") if not path.name.startswith("."))


@dataclass(frozen=True)
class S3Store:
    """A prefix of a bucket. Endpoint, region and credentials come from AWS's standard variables and files."""

    bucket: str
    prefix: str
    client: Any = field(default_factory=lambda: _client(), repr=False, compare=False)

    @property
    def where(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def _at(self, path: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{path}".lstrip("/")}

    def _get(self, path: str) -> Any:
        """The answer to a request for an object; None if it is not there."""
        with refused(self.where):
            try:
                return self.client.get_object(**self._at(path))
            except self.client.exceptions.NoSuchKey:
                return None

    def read(self, path: str) -> bytes | None:
        answer = self._get(path)
        with refused(self.where):
            return bytes(answer["Body"].read()) if answer else None

    def digest(self, path: str) -> str | None:
        answer = self._get(path)
        if answer is None:
            return None
        found = hashlib.sha256()
        with refused(self.where):
            for chunk in answer["Body"].iter_chunks(1 << 20):
                found.update(chunk)
        return found.hexdigest()

    def write(self, path: str, content: bytes) -> None:
        before = self._get(path)
        with refused(self.where):
            while True:
                self.client.put_object(**self._at(path), Body=content)
                # Triton tells a change by this time, which counts whole seconds.
                changed = self.client.head_object(**self._at(path))["LastModified"]
                if before is None or changed != before["LastModified"]:
                    return
                time.sleep(0.25)

    def put(self, folder: str, files: Files) -> None:
        self.remove(folder)
        with refused(self.where):
            for name in sorted(files, key=_marks_first, reverse=True):
                content = files[name]
                with contextlib.ExitStack() as stack:
                    body = content if isinstance(content, bytes) else stack.enter_context(content.open("rb"))
                    self.client.put_object(**self._at(f"{folder}/{name}"), Body=body)

    def remove(self, folder: str) -> None:
        for key in sorted(self._keys(folder), key=_marks_first):
            with refused(self.where):
                self.client.delete_object(Bucket=self.bucket, Key=key)

    def names(self, folder: str) -> list[str]:
        start = len(self._at(f"{folder}/")["Key"])
        found = {key[start:].split("/")[0] for key in self._keys(folder)}
        return sorted(name for name in found if not name.startswith("."))

    def _keys(self, folder: str) -> list[str]:
        place = self._at(f"{folder}/")
        with refused(self.where):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=place["Key"])
            return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def lock(self) -> contextlib.AbstractContextManager[None]:
        return leased(self.client, self._at(LOCK), self.where)


def _marks_first(key: str) -> tuple[bool, str]:
    """Marks are removed first and written last, so that half of a folder is never taken for all of it."""
    return not key.endswith(MARKS), key


def _client() -> Any:
    """botocore, which dvc-s3 brings, alone: it has S3's conditional writes, and needs no event loop."""
    from botocore.session import get_session  # type: ignore[import-untyped]

    with refused("S3"):
        return get_session().create_client("s3")
