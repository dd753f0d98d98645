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
class Precision:
    """Results of Q queries against their labels.

    Attributes:
        hits: bool (Q, K), whether each result is relevant.
        relevant: int64 (Q,), relevant rows in the corpus.
        searched: int64 (Q,), rows in the corpus, without the query itself.
    """

    hits: NDArray[np.bool_]
    relevant: NDArray[np.int64]
    searched: NDArray[np.int64]

    @property
    def unmatched(self) -> int:
        """Queries without a relevant row, which score 0."""
        return int((self.relevant == 0).sum())

    def score(self, metric: PrecisionMetric) -> Floats:
        """P@1 or Avg P@20, (Q,), 0 to 1."""
        return mean_precision(self.hits, DEPTHS[metric])

    def best(self, metric: PrecisionMetric) -> Floats:
        """What the best order reaches, (Q,)."""
        return mean_precision(np.arange(DEPTH) < self.relevant[:, None], DEPTHS[metric])

    def chance(self, metric: PrecisionMetric) -> Floats:
        """What a random order reaches on average, (Q,): the relevant rows' share, where the corpus is deep enough."""
        places = np.arange(1, DEPTHS[metric] + 1)
        filled = (np.minimum(places, self.searched[:, None]) / places).mean(axis=1)
        expected: Floats = filled * self.relevant / np.maximum(self.searched, 1)
        return expected


def label_matrix(rows: Ints, labels: Ints, shape: tuple[int, int]) -> csr_array[Any]:
    """Which row has which label: bool (rows, labels), from the pairs of both, which may repeat."""
    return csr_array((np.ones(len(rows), bool), (rows, labels)), shape=shape)


def retrieval_precision(
    neighbours: Ints, query_labels: csr_array[Any], corpus_labels: csr_array[Any], own: Ints | None = None
) -> Precision:
    """Judge each query's results.

    Args:
        neighbours: (Q, K), corpus rows, nearest first, without the query itself; NOTHING (-1) after the last of them.
            K is at least 20, or all of the corpus.
        query_labels: bool (Q, L), at least one label a query (see `label_matrix`).
        corpus_labels: bool (N, L), of the same labels; a distractor has none.
        own: (Q,), the corpus row that is the query itself, NOTHING where there is none; None: nowhere.

    Raises:
        ValueError: if shapes do not fit, results are fewer than needed, no rows or the query itself, or a query has no
            label.
    """
    queries, corpus = query_labels.shape[0], corpus_labels.shape[0]
    own = np.full(queries, NOTHING) if own is None else own
    if neighbours.ndim != 2 or len(neighbours) != queries or neighbours.shape[1] < min(DEPTH, corpus):
        raise ValueError(f"results of shape {neighbours.shape} for {queries} queries in a corpus of {corpus} rows")
    if ((neighbours < NOTHING) | (neighbours >= corpus)).any() or not np.diff(query_labels.indptr).all():
        raise ValueError("a query without a label, or results that are not corpus rows")
    if ((neighbours == own[:, None]) & (neighbours != NOTHING)).any():
        raise ValueError("a query is among its own results")
    hits = np.zeros(neighbours.shape, bool)
    relevant = np.zeros(queries, np.int64)
    transposed = corpus_labels.T.tocsr()
    for start in range(0, queries, _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        matches = query_labels[part] @ transposed
        places = np.arange(matches.shape[0])[:, None]
        hits[part] = matches[places, neighbours[part]].toarray()
        itself = matches[places, own[part, None]].toarray().ravel() & (own[part] != NOTHING)
        relevant[part] = np.diff(matches.indptr) - itself
    hits &= neighbours != NOTHING
    return Precision(hits, relevant, corpus - (own != NOTHING).astype(np.int64))


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
