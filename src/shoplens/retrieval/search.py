"""Nearest neighbours of queries in a corpus, exact, in order of (distance, row): by L2 among floats, by bits in codes.

faiss compares everything with everything, but says nothing about the order of ties, and computes float distances as
|q|^2 + |c|^2 - 2qc in float32, where equal photos can differ and close ones change places. So it only nominates: more
rows than asked for, whose distances are then exact. A query is decided once nothing outside its nominees can be as
close as its k-th neighbour, and asks for more until then.

Memory beside the arrays given is bounded whatever their sizes (tens of MB). Time grows with the number of ties at the
k-th place: worst where all of a corpus is one point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError
from shoplens.retrieval.codes import Codes

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Value = TypeVar("Value", np.float32, np.uint8)
Distances = NDArray[np.float64]
# rows of queries and how many to nominate for each -> nominees and their exact distances, both (q, depth), and
# what the distance of any other row is at least, (q,)
Nominate = Callable[[Rows, int], tuple[Rows, Distances, Distances]]

_NOMINEES = 1 << 20
_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class Neighbours:
    """The nearest corpus rows of each query, nearest first, equal distances by row.

    Attributes:
        rows: int64 (Q, min(k, corpus)). A corpus in order of its ids makes ties go by id.
        distances: float64, the same shape: squared L2 distances, or numbers of differing bits.
    """

    rows: Rows
    distances: Distances


def search_float(corpus: Floats, queries: Floats, k: int) -> Neighbours:
    """The k nearest by L2 distance, which is computed in float64: equal vectors are equally far.

    Args:
        corpus: float32 (N, D), N at least 1.
        queries: float32 (Q, D).
        k: neighbours a query, at least 1; of a smaller corpus, all.

    Raises:
        ShoplensError: if the corpus is empty.
        ValueError: if shapes or types do not fit, or a value is not finite or so large that its square is not.
    """
    import faiss

    corpus, queries = _checked(corpus, queries, np.float32, k)
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        largest = np.sqrt(np.vecdot(corpus, corpus).max().astype(np.float64))
        norms = np.sqrt(np.vecdot(queries, queries).astype(np.float64))
    bound = np.square(norms + largest)
    limits = np.finfo(np.float32)
    if not (bound < limits.max / 4).all():
        raise ValueError("embeddings must be finite, and small enough to be squared")
    # Twice what float32 can be wrong by, in whatever order it adds up: the classical bound for inner products
    # (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and the squares that underflow.
    terms = corpus.shape[1] + 8
    errors = terms * (float(limits.eps) * bound + 4 * float(limits.tiny))

    def nominate(rows: Rows, depth: int) -> tuple[Rows, Distances, Distances]:
        rough, found = faiss.knn(queries[rows], corpus, depth)
        asked = np.repeat(rows, depth)
        exact = _squared_distances(corpus, found.ravel(), queries, asked).reshape(found.shape)
        return found, exact, rough[:, -1].astype(np.float64) - errors[rows]

    return _search(nominate, len(queries), len(corpus), k)


def search_binary(corpus: Codes, queries: Codes, k: int) -> Neighbours:
    """The k nearest by Hamming distance.

    Args:
        corpus: uint8 (N, B), packed bits (retrieval.codes), N at least 1.
        queries: uint8 (Q, B).
        k: neighbours a query, at least 1; of a smaller corpus, all.

    Raises:
        ShoplensError: if the corpus is empty.
        ValueError: if shapes or types do not fit.
    """
    import faiss

    corpus, queries = _checked(corpus, queries, np.uint8, k)

    def nominate(rows: Rows, depth: int) -> tuple[Rows, Distances, Distances]:
        bits, found = faiss.knn_hamming(queries[rows], corpus, depth)
        exact = bits.astype(np.float64)
        return found, exact, exact[:, -1]

    return _search(nominate, len(queries), len(corpus), k)


def _checked(
    corpus: NDArray[Value], queries: NDArray[Value], dtype: type[Value], k: int
) -> tuple[NDArray[Value], NDArray[Value]]:
    """Both in one piece: faiss reads them by address."""
    if corpus.dtype != dtype or queries.dtype != dtype:
        raise ValueError(f"{corpus.dtype} corpus and {queries.dtype} queries, both must be {np.dtype(dtype)}")
    if corpus.ndim != 2 or queries.ndim != 2 or corpus.shape[1] != queries.shape[1]:
        raise ValueError(f"a corpus of shape {corpus.shape} cannot be searched for queries of shape {queries.shape}")
    if k < 1:
        raise ValueError(f"{k} neighbours")
    if not len(corpus):
        raise ShoplensError(
            "there is no corpus to search: labels.parquet must hold rows with the role corpus "
            "for every source and task that is evaluated"
        )
    return np.ascontiguousarray(corpus), np.ascontiguousarray(queries)


def _search(nominate: Nominate, queries: int, corpus: int, k: int) -> Neighbours:
    """Ask for more nominees, of undecided queries only, until all are decided."""
    k = min(k, corpus)
    found = Neighbours(np.empty((queries, k), np.int64), np.empty((queries, k)))
    undecided, depth = np.arange(queries), min(2 * k, corpus)
    while len(undecided):
        still = [np.empty(0, np.int64)]
        batch = max(1, _NOMINEES // depth)
        for start in range(0, len(undecided), batch):
            rows = undecided[start : start + batch]
            nominees, distances, others = nominate(rows, depth)
            order = np.lexsort((nominees, distances))[:, :k]
            found.rows[rows] = np.take_along_axis(nominees, order, axis=1)
            found.distances[rows] = np.take_along_axis(distances, order, axis=1)
            if depth < corpus:
                still.append(rows[others <= found.distances[rows, -1]])
        undecided, depth = np.concatenate(still), min(4 * depth, corpus)
    return found


def _squared_distances(corpus: Floats, rows: Rows, queries: Floats, asked: Rows) -> Distances:
    """Between corpus[rows] and queries[asked], in float64, (n,)."""
    out = np.empty(len(rows))
    step = max(1, _ELEMENTS // max(1, corpus.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = corpus[rows[part]].astype(np.float64)
        difference -= queries[asked[part]]
        out[part] = np.square(difference, out=difference).sum(axis=1)
    return out
