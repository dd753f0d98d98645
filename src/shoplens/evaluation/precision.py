"""P@1 and Avg P@20 of retrieval (Pinterest, section 4.2), a value a query.

P@k is the share of relevant rows among the first k results, divided by k also where fewer were found or exist. Avg P@20
is the mean of P@1 to P@20; it is not the "average precision" that is averaged over relevant results.

A photo may have several labels of one task. It is one row of the corpus all the same, as it is one result to a person,
and relevant if it shares a label with the query; rows without any label are distractors. A query that is in the corpus
itself (the same crop of the same photo) is no result of its own.

A query without a relevant row in the corpus scores 0 and stays in the means; it is counted. A query with few of them
cannot reach 1 either, so the best that any order reaches stands beside every score, and what a random one has on
average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
PrecisionMetric = Literal["p_at_1", "avg_p_at_20"]
DEPTHS: dict[PrecisionMetric, int] = {"p_at_1": 1, "avg_p_at_20": 20}
DEPTH = 20
NOTHING = -1
_QUERIES_AT_ONCE = 512


@dataclass(frozen=True)
class Matches:
    """What Q queries could find, whoever searches.

    Attributes:
        relevant: int64 (Q,), relevant rows in the corpus.
        searched: int64 (Q,), rows in the corpus, without the query itself.
    """

    relevant: NDArray[np.int64]
    searched: NDArray[np.int64]

    @property
    def unmatched(self) -> int:
        """Queries without a relevant row, which score 0."""
        return int((self.relevant == 0).sum())

    def best(self, metric: PrecisionMetric) -> Floats:
        """What the best order reaches, (Q,)."""
        return precision_of(np.arange(DEPTH) < self.relevant[:, None], metric)

    def chance(self, metric: PrecisionMetric) -> Floats:
        """What a random order reaches on average, (Q,): the relevant rows' share, where the corpus is deep enough."""
        places = np.arange(1, DEPTHS[metric] + 1)
        filled = (np.minimum(places, self.searched[:, None]) / places).mean(axis=1)
        expected: Floats = filled * self.relevant / np.maximum(self.searched, 1)
        return expected


def label_matrix(rows: Ints, labels: Ints, shape: tuple[int, int]) -> csr_array[Any]:
    """Which row has which label: bool (rows, labels), from the pairs of both, which may repeat."""
    return csr_array((np.ones(len(rows), bool), (rows, labels)), shape=shape)


def count_matches(query_labels: csr_array[Any], corpus_labels: csr_array[Any], own: Ints) -> Matches:
    """How many rows of the corpus are relevant to each query.

    Args:
        query_labels: bool (Q, L), see `label_matrix`.
        corpus_labels: bool (N, L), of the same labels; a distractor has none.
        own: (Q,), the corpus row that is the query itself, NOTHING (-1) where there is none.
    """
    relevant = np.zeros(len(own), np.int64)
    for part, matches in _matches(query_labels, corpus_labels):
        itself = _at(matches, own[part, None])[:, 0] & (own[part] != NOTHING)
        relevant[part] = np.diff(matches.indptr) - itself
    return Matches(relevant, corpus_labels.shape[0] - (own != NOTHING).astype(np.int64))


def relevant_results(
    neighbours: Ints, query_labels: csr_array[Any], corpus_labels: csr_array[Any], own: Ints
) -> NDArray[np.bool_]:
    """Which of each query's results are relevant, (Q, K).

    Args:
        neighbours: (Q, K), corpus rows, nearest first, without the query itself; NOTHING (-1) after the last of them.
            K is at least 20, or all of the corpus.
        query_labels, corpus_labels, own: as in `count_matches`.

    Raises:
        ValueError: if shapes do not fit, results are fewer than needed, no rows or the query itself, or a query has no
            label.
    """
    queries, corpus = query_labels.shape[0], corpus_labels.shape[0]
    if neighbours.ndim != 2 or len(neighbours) != queries or neighbours.shape[1] < min(DEPTH, corpus):
        raise ValueError(f"results of shape {neighbours.shape} for {queries} queries in a corpus of {corpus} rows")
    if ((neighbours < NOTHING) | (neighbours >= corpus)).any() or not np.diff(query_labels.indptr).all():
        raise ValueError("a query without a label, or results that are not corpus rows")
    if ((neighbours == own[:, None]) & (neighbours != NOTHING)).any():
        raise ValueError("a query is among its own results")
    hits = np.zeros(neighbours.shape, bool)
    for part, matches in _matches(query_labels, corpus_labels):
        hits[part] = _at(matches, neighbours[part])
    hits &= neighbours != NOTHING
    return hits


def _matches(query_labels: csr_array[Any], corpus_labels: csr_array[Any]) -> Iterator[tuple[slice, csr_array[Any]]]:
    """Which corpus rows share a label with which query, bool (q, N), some queries at a time: it may be dense."""
    transposed = corpus_labels.T.tocsr()
    for start in range(0, query_labels.shape[0], _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        yield part, query_labels[part] @ transposed


def _at(matrix: csr_array[Any], columns: Ints) -> NDArray[np.bool_]:
    """matrix[row, columns[row]] of every row, (rows, K); a column of -1 is the last one's."""
    found: NDArray[np.bool_] = matrix[np.arange(matrix.shape[0])[:, None], columns].toarray()
    return found


def precision_of(hits: NDArray[np.bool_], metric: PrecisionMetric) -> Floats:
    """P@1 or Avg P@20 of results, (Q,), 0 to 1; hits are (Q, K), see `mean_precision`."""
    return mean_precision(hits, DEPTHS[metric])


def mean_precision(hits: NDArray[np.bool_], depth: int = DEPTH) -> Floats:
    """The mean of P@1 to P@depth, (Q,); at depth 1 it is P@1.

    Args:
        hits: (Q, K), whether the result is relevant, nearest first; what is missing up to `depth` is no hit.
        depth: at least 1.
    """
    padded = np.zeros((len(hits), depth))
    padded[:, : hits.shape[1]] = hits[:, :depth]
    mean: Floats = (padded.cumsum(axis=1) / np.arange(1, depth + 1)).mean(axis=1)
    return mean
