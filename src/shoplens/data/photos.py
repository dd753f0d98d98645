"""Reading many photos: bytes, pixels and thumbnails, decoded by threads (Pillow releases the interpreter lock)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from shoplens.contract.pixels import BadPhoto, decode, to_pixels
from shoplens.contract.store import PhotoStore
from shoplens.data.duplicates import thumbnail
from shoplens.errors import ShoplensError

T = TypeVar("T")


def map_photos(function: Callable[[str], T], paths: Sequence[str]) -> list[T]:
    """Apply a function to each photo path, in order, on as many threads as there are cores.

    Raises:
        ShoplensError: if a photo cannot be decoded, naming it and the check to run.
    """

    def guarded(path: str) -> T:
        try:
            return function(path)
        except BadPhoto as error:
            raise ShoplensError(f"{path}: {error}; `shoplens data check` lists all such photos") from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(guarded, paths))


def read_pixels(store: PhotoStore, paths: Sequence[str], size: int, short_side: int | None) -> np.ndarray:
    """Decode photos to uint8 (n, size, size, 3)."""
    rows = map_photos(lambda path: to_pixels(store.read(path), size, short_side), paths)
    return np.stack(rows) if rows else np.empty((0, size, size, 3), np.uint8)


def fingerprint(store: PhotoStore, path: str) -> tuple[str, np.ndarray]:
    """sha256 (hex) of a photo's bytes and its grey 32 x 32 thumbnail."""
    content = store.read(path)
    return hashlib.sha256(content).hexdigest(), thumbnail(decode(content))
