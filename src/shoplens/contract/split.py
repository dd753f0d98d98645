"""The split of listings: which are trained on, chosen on and tested on, decided by the id alone."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def bucket(listing_id: str) -> int:
    """0..9: the sha256 of the id's UTF-8 bytes, as a big-endian integer, modulo 10 ("a" -> 9, "42" -> 3)."""
    return int.from_bytes(sha256(listing_id.encode()).digest(), "big") % 10


def split_of(bucket: int) -> Split:
    """Bucket 0 tests, 1 validates, 2..9 train."""
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


def splits_of(listing_ids: Iterable[str]) -> list[Split]:
    """The split of each listing, in order."""
    return [split_of(bucket(listing_id)) for listing_id in listing_ids]
