"""Reading many photos: bytes, pixels and thumbnails, decoded by threads (Pillow releases the interpreter lock)."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from shoplens.contract.pixels import BadPhoto, decode, to_pixels
from shoplens.contract.store import PhotoStore
from shoplens.data.duplicates import thumbnail
from shoplens.errors import ShoplensError

T = TypeVar("T")


def map_photos(function: Callable[..., T], paths: Sequence[str], *others: Iterable[Any]) -> list[T]:
    """Apply a function to each photo path (and what `others` hold beside it), in order, on a thread a core.

    Raises:
        ShoplensError: if a photo cannot be decoded, naming it and the check to run.
    """

    def guarded(path: str, *beside: Any) -> T:
        try:
            return function(path, *beside)
        except BadPhoto as error:
            raise ShoplensError(f"{path}: {error}; `shoplens data check` lists all such photos") from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(guarded, paths, *others))


def read_pixels(
    store: PhotoStore, paths: Sequence[str], size: int, short_side: int | None, boxes: np.ndarray | None = None
) -> np.ndarray:
    """Decode photos, or the crops that `boxes` (n, 4) cuts out (NaN: all of a photo), to uint8 (n, size, size, 3).

    Raises:
        ShoplensError: if a photo cannot be decoded, naming it and the check to run.
    """
    boxed = itertools.repeat(None) if boxes is None else (None if np.isnan(box[0]) else tuple(box) for box in boxes)
    rows = map_photos(lambda path, box: to_pixels(store.read(path), size, short_side, box), paths, boxed)
    return np.stack(rows) if rows else np.empty((0, size, size, 3), np.uint8)


def fingerprint(store: PhotoStore, path: str) -> tuple[str, np.ndarray]:
    """sha256 (hex) of a photo's bytes and its grey 32 x 32 thumbnail."""
    content = store.read(path)
    return hashlib.sha256(content).hexdigest(), thumbnail(decode(content))
