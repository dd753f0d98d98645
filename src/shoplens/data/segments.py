"""A bounded cache of one array row per photo, on disk, that survives a kill and is shared by runs.

Rows are appended in segments: an .npy file and a list of keys, each written to a temporary name and renamed, keys
last, so that a segment is there whole or not at all. A folder holds the rows of one producer (weights + transform);
folders not used for longest make room when the bound is reached.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from shoplens.files import locked, read_json, write_bytes, write_json

SEGMENT_ROWS = 2048


class Segments:
    """Rows by key in one folder; opening reads the key lists and maps the arrays."""

    def __init__(self, folder: Path) -> None:
        """Open (or start) the folder and mark it as used now."""
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        self.folder = folder
        self._arrays: list[np.ndarray] = []
        self._place: dict[str, tuple[int, int]] = {}
        for keys_file in sorted(folder.glob("*.json")):
            self._open(keys_file)

    def _open(self, keys_file: Path) -> None:
        array = np.load(keys_file.with_suffix(".npy"), mmap_mode="r")
        segment = len(self._arrays)
        self._arrays.append(array)
        self._place.update({key: (segment, row) for row, key in enumerate(read_json(keys_file))})

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def append(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Add a segment; two processes adding at once both succeed."""
        with locked(self.folder / ".lock", f"the cache {self.folder}"):
            name = f"{len(list(self.folder.glob('*.json'))):06d}"
            content = io.BytesIO()
            np.save(content, rows)
            write_bytes(self.folder / f"{name}.npy", content.getvalue())
            write_json(self.folder / f"{name}.json", list(keys))
        self._open(self.folder / f"{name}.json")

    def places(self, keys: Iterable[str]) -> np.ndarray:
        """Addresses for `gather`: int64 (n, 2) of segment and row.

        Raises:
            KeyError: if a key is not cached.
        """
        return np.array([self._place[key] for key in keys], dtype=np.int64).reshape(-1, 2)

    def gather(self, places: np.ndarray) -> np.ndarray:
        """Rows at addresses, copied into memory: (n, ...); of none, as long as the cache holds any row at all."""
        first = self._arrays[int(places[0, 0]) if len(places) else 0]
        out = np.empty((len(places), *first.shape[1:]), first.dtype)
        for segment in np.unique(places[:, 0]):
            chosen = places[:, 0] == segment
            out[chosen] = self._arrays[segment][places[chosen, 1]]
        return out


def fill(
    segments: Segments, keys: Sequence[str], produce: Callable[[Sequence[int]], np.ndarray], at_once: int
) -> Iterator[int]:
    """Produce and append the rows that are missing, a segment at a time, yielding the number of rows done.

    Args:
        segments: the cache.
        keys: one per row; rows whose key is there already are not produced again.
        produce: positions in `keys` -> rows, (n, ...).
        at_once: rows a segment; a killed process loses at most one segment's work.
    """
    seen: dict[str, int] = {}
    for position, key in enumerate(keys):
        if key not in segments:
            seen.setdefault(key, position)
    missing = list(seen.values())
    for start in range(0, len(missing), at_once):
        chunk = missing[start : start + at_once]
        segments.append([keys[i] for i in chunk], produce(chunk))
        yield len(chunk)


def make_room(root: Path, keep: Path, bound_bytes: int) -> None:
    """Remove the folders below `root` that were not used for longest until the rest fits; `keep` always stays."""
    folders = [f for f in root.iterdir() if f.is_dir()] if root.is_dir() else []
    sizes, used = {f: _bytes_in(f) for f in folders}, {f: _last_use(f) for f in folders}
    total = sum(sizes.values())
    for folder in sorted(folders, key=lambda f: used[f]):
        if total <= bound_bytes:
            return
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]


def _bytes_in(folder: Path) -> int:
    """The size of all files; other processes may be adding some and removing others."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(root) / name).stat().st_size
    return total


def _last_use(folder: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_mtime
    return 0.0
