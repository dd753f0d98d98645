"""Near duplicates between training and test photos: 64-bit difference hashes joined by bands, then pixels compared.

A training photo is left out if its bytes equal a test photo's, or if its difference hash is within `bits` of one AND
the two correlate above `correlation` at 32 x 32 grey (a hash alone would throw away photos that only look alike).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 32
_CHUNK = 4_000_000


def thumbnail(image: Image.Image) -> np.ndarray:
    """Grey 32 x 32 thumbnail of an RGB image, uint8 (32, 32)."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.uint8)


def difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """64-bit difference hash of each thumbnail: is a cell of an 8 x 9 grid brighter than its left neighbour?

    Args:
        thumbnails: uint8 (n, 32, 32).

    Returns:
        uint64 (n,)
    """
    rows = thumbnails.reshape(-1, 8, 4, SIDE).mean(axis=2)
    edges = np.linspace(0, SIDE, 10).round().astype(int)
    cells = np.add.reduceat(rows, edges[:-1], axis=2) / np.diff(edges)
    bits = cells[:, :, 1:] > cells[:, :, :-1]
    return np.packbits(bits.reshape(-1, 64), axis=1).view(">u8").astype(np.uint64).ravel()


@dataclass(frozen=True)
class Matches:
    """Pairs (training photo, test photo) within the largest hash distance asked for: arrays of equal length."""

    train: np.ndarray
    test: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray

    def left_out(self, bits: int, correlation: float) -> np.ndarray:
        """Positions of training photos that have a match at this setting, sorted, each once."""
        return np.unique(self.train[(self.distance <= bits) & (self.correlation > correlation)])


def find_matches(train: np.ndarray, test: np.ndarray, bits: int) -> Matches:
    """Compare every training thumbnail with every test thumbnail.

    Two hashes within `bits` of each other agree exactly on one of `bits + 1` bands, so a sorted join on each band finds
    all candidate pairs without comparing all with all.

    Args:
        train: uint8 (n, 32, 32).
        test: uint8 (m, 32, 32).
        bits: largest Hamming distance of a match.
    """
    train_hash, test_hash = difference_hashes(train), difference_hashes(test)
    found = [_band_pairs(train_hash, test_hash, low, high, bits) for low, high in _bands(bits + 1)]
    pairs = np.unique(np.concatenate(found), axis=0)
    left, right = pairs[:, 0], pairs[:, 1]
    distance = np.bitwise_count(train_hash[left] ^ test_hash[right]).astype(np.int64)
    return Matches(left, right, distance, _correlations(train, test, pairs))


def _bands(count: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, 64, count + 1).round().astype(int)
    return list(itertools.pairwise(edges.tolist()))


def _band_pairs(train: np.ndarray, test: np.ndarray, low: int, high: int, bits: int) -> np.ndarray:
    """Pairs that agree on bits low..high-1 and differ in at most `bits` of all 64: int64 (n, 2)."""
    mask = np.uint64(((1 << (high - low)) - 1) << low)
    order = np.argsort(train & mask, kind="stable")
    keys = (train & mask)[order]
    start = np.searchsorted(keys, test & mask, side="left")
    count = np.searchsorted(keys, test & mask, side="right") - start
    kept = [np.empty((0, 2), np.int64)]
    chunk = np.cumsum(count) // _CHUNK
    starts = np.flatnonzero(np.diff(chunk, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(test)], strict=True):
        part = slice(int(first), int(last))
        right = np.repeat(np.arange(part.start, part.stop), count[part])
        within = np.arange(len(right)) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
        left = order[np.repeat(start[part], count[part]) + within]
        close = np.bitwise_count(train[left] ^ test[right]) <= bits
        kept.append(np.stack([left[close], right[close]], axis=1))
    return np.concatenate(kept)


def _correlations(train: np.ndarray, test: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Pearson correlation of the pixels of each pair, float64 (n,); two flat photos correlate fully if equal."""
    out = np.empty(len(pairs))
    for start in range(0, len(pairs), 20_000):
        part = pairs[start : start + 20_000]
        a = train[part[:, 0]].reshape(len(part), -1).astype(np.float64)
        b = test[part[:, 1]].reshape(len(part), -1).astype(np.float64)
        a -= a.mean(axis=1, keepdims=True)
        b -= b.mean(axis=1, keepdims=True)
        scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        flat = scale == 0
        equal = (train[part[:, 0]] == test[part[:, 1]]).all(axis=(1, 2))
        out[start : start + len(part)] = np.where(
            flat, equal.astype(np.float64), (a * b).sum(axis=1) / np.where(flat, 1, scale)
        )
    return out
