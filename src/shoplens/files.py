"""Files that are either whole or absent: atomic writes, digests, locks, canonical JSON."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shoplens.errors import ShoplensError
from shoplens.progress import say

SILENT_S = 2.0
"""Waiting for a lock longer than this is said."""


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, NaN and infinities refused.

    Raises:
        ValueError: if a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest_json(value: Any) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_folder(folder: Path) -> str:
    """sha256 (hex) over the relative paths and contents of all files below `folder`."""
    rows = [[p.relative_to(folder).as_posix(), digest_file(p)] for p in sorted(folder.rglob("*")) if p.is_file()]
    return digest_json(rows)


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file that takes the place of `path`, on disk, when the block ends without an error.

    `path` holds either its old or its new content, whenever the process dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` so that `path` holds either its old or its new content, whenever the process dies."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Atomic counterpart of `Path.write_text` (UTF-8)."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON (sorted keys, two-space indent, final newline), atomically.

    Raises:
        ValueError: if a number is not finite: write null instead and say why beside it.
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the columns of the first one, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ShoplensError: if the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShoplensError(f"{path} is missing: run the stage that writes it first") from None
    except json.JSONDecodeError as error:
        raise ShoplensError(f"{path}:{error.lineno}: not valid JSON ({error.msg}); delete it and run again") from None
    except UnicodeDecodeError:
        raise ShoplensError(f"{path}: not valid JSON (not UTF-8); delete it and run again") from None


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `folder` when the block ends without an error.

    A failed or killed block leaves `folder` as it was; leftovers of killed runs are removed by the next one.
    The caller holds a lock when two processes may write the same folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.tmp-"))
    temporary.chmod(0o755)
    try:
        yield temporary
        if folder.exists():
            old = temporary.with_name(temporary.name + "-old")
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_replaceable(folder: Path, file: str, start: str) -> None:
    """Refuse to replace a folder that somebody else filled.

    Args:
        folder: may be missing or empty.
        file: a file in it by which its writer knows it.
        start: what that file starts with.

    Raises:
        ShoplensError: if it is no folder, or holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    known = folder / file
    if not known.is_file() or not known.read_text(errors="replace").startswith(start):
        raise ShoplensError(
            f"{folder} exists and holds something else ({file} does not start with {start.strip()!r}): name another "
            "folder, or remove it first"
        )


@contextlib.contextmanager
def locked(path: Path, what: str, wait_s: float = 600.0) -> Iterator[None]:
    """Hold the lock file `path` (released by the system when the process dies).

    Raises:
        ShoplensError: if another process still holds it after `wait_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=min(wait_s, SILENT_S))
        except Timeout:
            if wait_s <= SILENT_S:
                raise
            say(f"another process is writing {what}; waiting for it, at most {wait_s:.0f} s")
            lock.acquire(timeout=wait_s - SILENT_S)
    except Timeout:
        raise ShoplensError(f"another process is still writing {what} (lock {path}); wait for it or end it") from None
    try:
        yield
    finally:
        lock.release()
