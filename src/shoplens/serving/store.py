"""Where a live repository lies: a folder, or a prefix of a bucket. What Triton reads is whole there, or absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shoplens.errors import ShoplensError
from shoplens.files import digest_file, locked, write_bytes
from shoplens.progress import say

Files = Mapping[str, Path | bytes]
"""What to put: path below the folder -> the file it is copied from, or its content."""
MARKS = ("config.pbtxt", "published.json")
"""Files without which Triton does not load a folder, and shoplens does not take it for published."""
LOCK = ".lock"
LEASE_S = 60.0
"""A lock on S3 whose holder has not renewed it for so long is taken over: its holder was killed."""
WAIT_S = 600.0


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
        with _refused(self.where):
            try:
                return self.client.get_object(**self._at(path))
            except self.client.exceptions.NoSuchKey:
                return None

    def read(self, path: str) -> bytes | None:
        answer = self._get(path)
        with _refused(self.where):
            return bytes(answer["Body"].read()) if answer else None

    def digest(self, path: str) -> str | None:
        answer = self._get(path)
        if answer is None:
            return None
        found = hashlib.sha256()
        with _refused(self.where):
            for chunk in answer["Body"].iter_chunks(1 << 20):
                found.update(chunk)
        return found.hexdigest()

    def write(self, path: str, content: bytes) -> None:
        before = self._get(path)
        with _refused(self.where):
            while True:
                self.client.put_object(**self._at(path), Body=content)
                # Triton tells a change by this time, which counts whole seconds.
                changed = self.client.head_object(**self._at(path))["LastModified"]
                if before is None or changed != before["LastModified"]:
                    return
                time.sleep(0.25)

    def put(self, folder: str, files: Files) -> None:
        self.remove(folder)
        with _refused(self.where):
            for name in sorted(files, key=_marks_first, reverse=True):
                content = files[name]
                with contextlib.ExitStack() as stack:
                    body = content if isinstance(content, bytes) else stack.enter_context(content.open("rb"))
                    self.client.put_object(**self._at(f"{folder}/{name}"), Body=body)

    def remove(self, folder: str) -> None:
        for key in sorted(self._keys(folder), key=_marks_first):
            with _refused(self.where):
                self.client.delete_object(Bucket=self.bucket, Key=key)

    def names(self, folder: str) -> list[str]:
        start = len(self._at(f"{folder}/")["Key"])
        found = {key[start:].split("/")[0] for key in self._keys(folder)}
        return sorted(name for name in found if not name.startswith("."))

    def _keys(self, folder: str) -> list[str]:
        place = self._at(f"{folder}/")
        with _refused(self.where):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=place["Key"])
            return [found["Key"] for page in pages for found in page.get("Contents", [])]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        lease = _Lease(self)
        lease.acquire()
        try:
            yield
        finally:
            lease.release()


def _marks_first(key: str) -> tuple[bool, str]:
    """Marks are removed first and written last, so that half of a folder is never taken for all of it."""
    return not key.endswith(MARKS), key


class _Lease:
    """A lock as an object that its holder writes anew, by S3's conditional writes, while it lives."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._holder = {"host": socket.gethostname(), "process": os.getpid(), "token": uuid.uuid4().hex}
        self._written = 0
        self._tag = ""
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Wait for the lock, and keep it from here on."""
        deadline = time.monotonic() + WAIT_S
        seen, since = "", 0.0
        while not self._write(IfNoneMatch="*"):
            held = self._store._get(LOCK)
            if held is None:
                continue
            holder = held["Body"].read().decode(errors="replace")
            if held["ETag"] != seen:
                if not seen:
                    say(f"deploy: waiting for another deployment to {self._store.where} ({holder})")
                seen, since = held["ETag"], time.monotonic()
            elif time.monotonic() - since > LEASE_S and self._write(IfMatch=seen):
                say(f"deploy: the other deployment was killed ({holder}); going on")
                break
            if time.monotonic() > deadline:
                raise ShoplensError(
                    f"another deployment to {self._store.where} is still under way ({holder}): wait for it or end it"
                )
            time.sleep(min(1.0, LEASE_S / 4))
        self._renewing.start()

    def release(self) -> None:
        """Give the lock back."""
        self._ended.set()
        self._renewing.join()
        with contextlib.suppress(ShoplensError), _refused(self._store.where):  # it ends by itself in a minute
            held = self._store._get(LOCK)
            if held and held["ETag"] == self._tag:
                self._store.client.delete_object(**self._store._at(LOCK))

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_S / 3):
            with contextlib.suppress(ShoplensError):
                self._write(IfMatch=self._tag)

    def _write(self, **condition: str) -> bool:
        """Write the object if the condition holds; whether it did."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        self._written += 1
        body = json.dumps(self._holder | {"written": self._written}).encode()
        with _refused(self._store.where):
            try:
                self._tag = self._store.client.put_object(**self._store._at(LOCK), Body=body, **condition)["ETag"]
            except ClientError as error:
                # 409: two wrote at once. 404: what was to be replaced is gone.
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 409, 412):
                    return False
                raise
        return True


def _client() -> Any:
    """botocore, which dvc-s3 brings, alone: it has S3's conditional writes, and needs no event loop."""
    from botocore.session import get_session  # type: ignore[import-untyped]

    with _refused("S3"):
        return get_session().create_client("s3")


@contextlib.contextmanager
def _refused(where: str) -> Iterator[None]:
    """What S3 or the way to it refuses, as a ShoplensError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ShoplensError(
            f"{where}: {error}; correct the bucket, or the endpoint, region and credentials in AWS's variables "
            "(AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        ) from None
