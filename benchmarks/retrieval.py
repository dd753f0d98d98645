"""Retrieval at the size of the Shop-the-Look evaluation (Pinterest, section 4.2): 600 queries in 51,421 photos.

Ours searches packed codes of 2,048 bits and ends with ties in order of rows. Instead: float32 vectors of the same
width in faiss's IndexFlatL2, and the same codes in NumPy, tuned: a query against one 64-bit word of all photos at a
time, so that every loop is long, and (distance, row) in one integer for the partition. NumPy and ours find the same
rows. A last line shows what exact order costs among floats. faiss has OpenMP's threads; NumPy's popcount has one.

The limit counts vector instructions of 512 bits: a multiply-add is one for 16 floats; XOR, popcount and addition are
three for 512 bits of a code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Row, compare, show
from shoplens.retrieval.codes import Codes, pack_codes
from shoplens.retrieval.search import search_binary, search_float

CORPUS, QUERIES, WIDTH, K = 51_421, 600, 2_048, 20


def numpy_binary(corpus: Codes, queries: Codes, k: int) -> NDArray[np.int64]:
    """The k nearest rows of each query by (distance, row)."""
    words, asked = np.ascontiguousarray(corpus.view(np.uint64).T), queries.view(np.uint64)
    ids = np.arange(len(corpus))
    apart, counts = np.empty(len(corpus), np.uint64), np.empty(len(corpus), np.uint8)
    distances = np.empty(len(corpus), np.uint16)
    found = np.empty((len(asked), k), np.int64)
    for place, query in enumerate(asked):
        distances[:] = 0
        for word, own in zip(words, query, strict=True):
            np.bitwise_xor(word, own, out=apart)
            np.bitwise_count(apart, out=counts)
            np.add(distances, counts, out=distances)
        keys = distances * np.int64(len(corpus)) + ids
        found[place] = np.sort(np.partition(keys, k - 1)[:k]) % len(corpus)
    return found


def rows(corpus: int = CORPUS, queries: int = QUERIES, width: int = WIDTH, repeats: int = 3) -> list[Row]:
    """Random activations around a random centre for each photo's class, as embeddings after GroupNorm are."""
    import faiss

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1_000, width)).astype(np.float32)

    def activations(count: int) -> NDArray[np.float32]:
        made = rng.standard_normal((count, width), np.float32)
        made += centres[rng.integers(0, len(centres), count)]
        return made

    sides = activations(corpus), activations(queries)
    codes = pack_codes(sides[0]), pack_codes(sides[1])
    floats = np.maximum(sides[0], 0, out=sides[0]), np.maximum(sides[1], 0, out=sides[1])
    index = faiss.IndexFlatL2(width)
    index.add(floats[0])

    def ours() -> NDArray[np.int64]:
        return search_binary(*codes, K).rows

    def theirs() -> NDArray[np.int64]:
        return numpy_binary(*codes, K)

    def raw() -> object:
        return index.search(floats[1], K)

    np.testing.assert_array_equal(ours(), theirs())
    size = f"{queries:,} queries in {corpus:,} photos"
    claim = f"{size}: codes of {width:,} bits, {codes[0].shape[1]:,} bytes a photo"
    flat = f"faiss IndexFlatL2, float32, {floats[0].itemsize * width:,} bytes a photo"
    against: list[tuple[str, str, Callable[[], object], Callable[[], object], float]] = [
        (claim, flat, ours, raw, 32 / 3),
        (claim, "NumPy bitwise_count", ours, theirs, 1.0),
        (f"{size}: float32, exact order", flat, lambda: search_float(*floats, K), raw, 1.0),
    ]
    return [
        compare(name, instead, mine, other, repeats=repeats, limit=limit)
        for name, instead, mine, other, limit in against
    ]


def run() -> list[Row]:
    """At full size: 0.9 GB of memory."""
    return rows()


if __name__ == "__main__":
    show(run())
