"""A bounded log of what was asked of a served encoder: embeddings, codes and times, no photos, words or addresses.

Written inside Triton (this file is copied into the model repository and imports nothing of shoplens), off the path of
requests: a thread appends. The log is a folder of files of equal rows; each is written by one process at a time, which
holds its lock. A full file is followed by another one, the oldest of all is removed where they would become too many:
the folder never holds more than its bound, whatever is killed or runs at once. A row is one write and carries a
checksum, so that a torn one is not read. What was asked again is logged once, as long as it is remembered.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import queue
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER_VARIABLE = "SHOPLENS_REQUEST_LOG"
"""The folder of the log; without it, nothing is logged."""
BOUND_VARIABLE = "SHOPLENS_REQUEST_LOG_MIB"
BOUND_MIB = 64.0
SUFFIX = ".requests"
FILES = 32
"""A bound is shared by this many files."""
WAITING = 1024
"""Rows that may wait for the thread; of a burst beyond that, rows are left out, never requests delayed."""
REMEMBERED = 4096
"""Requests that a process recognises when they are repeated."""


@dataclass(frozen=True)
class Requests:
    """Requests of one kind, oldest first, each once.

    Attributes:
        times: float64 (n,), seconds since 1970.
        embeddings: float32 (n, dim).
        codes: uint8 (n, bytes).
    """

    times: np.ndarray
    embeddings: np.ndarray
    codes: np.ndarray


def log_of_environment(weights: str, model: str) -> RequestLog | None:
    """The log that the environment asks for, or None.

    Args:
        weights: digest of the encoder's weights, by which rows are told apart later.
        model: the Triton model that writes, with its slot: `gallery_v7_1a2b3c4d`.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    mib = float(os.environ.get(BOUND_VARIABLE) or BOUND_MIB)
    return RequestLog(Path(folder), weights, model, int(mib * 2**20))


class RequestLog:
    """Where one process writes; see the module. Neither `add` nor a full disk ever fails a request."""

    def __init__(self, folder: Path, weights: str, model: str, bound: int) -> None:
        """`bound`: bytes of the folder, shared with all other writers."""
        self._folder, self._identity = folder, {"format": 1, "weights": weights, "model": model}
        self._file_bytes = bound // FILES
        self._files: dict[str, _File] = {}
        self._seen: collections.OrderedDict[bytes, None] = collections.OrderedDict()
        self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._complained = False

    def add(self, kind: str, embedding: np.ndarray, code: np.ndarray) -> None:
        """Log a request, soon.

        Args:
            kind: what was asked: `gallery`, or `search/SOURCE`.
            embedding: float32 [D].
            code: uint8 [bytes].
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((kind, time.time(), embedding, code))

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        for file in self._files.values():
            file.close()

    def _run(self) -> None:
        for item in iter(self._queue.get, None):
            try:
                self._write(*item)
            except OSError as error:
                if not self._complained:
                    print(f"requests are not logged in {self._folder}: {error}", file=sys.stderr, flush=True)
                self._complained = True

    def _write(self, kind: str, now: float, embedding: np.ndarray, code: np.ndarray) -> None:
        mark = hashlib.blake2b(kind.encode() + embedding.tobytes(), digest_size=16).digest()
        repeated = mark in self._seen
        self._seen[mark] = None
        self._seen.move_to_end(mark)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if repeated:
            return
        row = np.zeros(1, _row_type(len(embedding), len(code)))
        row["time"], row["embedding"], row["code"] = now, embedding, code
        row["check"] = zlib.crc32(row.tobytes()[:-4])
        file = self._files.get(kind)
        if file is None or not file.takes(row.nbytes, self._file_bytes):
            if file is not None:
                del self._files[kind]  # its number may soon be that of another file, also if no new one can be opened
                file.close()
            header = {**self._identity, "kind": kind, "dim": len(embedding), "code": len(code)}
            file = self._files[kind] = _open(self._folder, header, row.nbytes, self._file_bytes)
        file.append(row.tobytes())


@dataclass
class _File:
    """A file that this process holds the lock of."""

    handle: int

    def takes(self, size: int, limit: int) -> bool:
        """Whether it is still there (another process may have made room) and a row of that size fits."""
        found = os.fstat(self.handle)
        return found.st_nlink > 0 and found.st_size + size <= limit

    def append(self, row: bytes) -> None:
        """Add a row whole, or nothing."""
        before = os.fstat(self.handle).st_size
        if os.write(self.handle, row) != len(row):
            os.ftruncate(self.handle, before)
            os.lseek(self.handle, before, os.SEEK_SET)

    def close(self) -> None:
        os.close(self.handle)


def _open(folder: Path, header: dict[str, Any], row: int, limit: int) -> _File:
    """A file with this header and room for a row: one that an ended process left, or a new one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    first = json.dumps(header, sort_keys=True).encode() + b"\n"
    oldest = sorted(folder.glob(f"*{SUFFIX}"), key=_written)
    for path in reversed(oldest):
        file = _adopt(path, first, row)
        if file is not None and file.takes(row, limit):
            return file
        if file is not None:
            file.close()
    for path in oldest[: max(0, len(oldest) - FILES + 1)]:
        path.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(SUFFIX, f"{time.time_ns()}-", folder)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.write(handle, first) != len(first):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.close(handle)
        Path(name).unlink()
        raise
    return _File(handle)


def _written(path: Path) -> tuple[int, str]:
    """When a file was written last; the clock of files stands still for milliseconds, names tell when it was begun."""
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:  # removed
        return 0, path.name


def _adopt(path: Path, first: bytes, row: int) -> _File | None:
    """A file with this header that no process holds, without the torn row that may be at its end."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.pread(handle, len(first), 0) == first:
            size = os.fstat(handle).st_size
            end = size - (size - len(first)) % row
            if end < size:  # not else: it would count as written now
                os.ftruncate(handle, end)
            os.lseek(handle, end, os.SEEK_SET)
            return _File(handle)
    except OSError:  # somebody holds it
        pass
    os.close(handle)
    return None


def _row_type(dim: int, code: int) -> np.dtype[Any]:
    return np.dtype([("time", "<f8"), ("embedding", "<f4", (dim,)), ("code", "u1", (code,)), ("check", "<u4")])


def read_requests(folder: Path, weights: str) -> tuple[dict[str, Requests], int]:
    """What was asked of an encoder, by kind, and the number of rows that are of other encoders.

    Files may be written meanwhile. Equal embeddings are one request: the same photos asked again say nothing new.
    """
    found: dict[str, list[np.ndarray]] = collections.defaultdict(list)
    others = 0
    for header, rows in _files(folder):
        if header["weights"] == weights:
            found[header["kind"]].append(rows)
        else:
            others += len(rows)
    requests = {}
    for kind, parts in sorted(found.items()):
        rows = np.concatenate(parts)
        rows = rows[np.argsort(rows["time"], kind="stable")]
        _, first = np.unique(rows["embedding"], axis=0, return_index=True)
        rows = rows[np.sort(first)]
        requests[kind] = Requests(rows["time"], rows["embedding"], rows["code"])
    return requests, others


def _files(folder: Path) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Header and whole rows of each file."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            first, _, content = path.read_bytes().partition(b"\n")
        except OSError:  # removed to make room
            continue
        try:
            header = json.loads(first)
        except ValueError:  # just begun, or cut
            continue
        kind = _row_type(header["dim"], header["code"])
        rows = np.frombuffer(content, kind, len(content) // kind.itemsize)
        sums = [zlib.crc32(row.tobytes()[:-4]) for row in rows]
        yield header, rows[rows["check"] == np.array(sums, np.uint32)]
