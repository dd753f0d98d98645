"""P@1 and Avg P@20 of retrieval (Pinterest, section 4.2), a value a query.

P@k is the share of relevant rows among the first k results, divided by k also where fewer were found or exist. Avg P@20
is the mean of P@1 to P@20; it is not the "average precision" that is averaged over relevant results. A corpus row is
relevant if its label is the query's; a distractor never is.

A query without a relevant row in the corpus scores 0 and stays in the means; it is counted. A query with few of them
cannot reach 1 either, so the best that any order reaches stands beside every score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
DEPTH = 20
DISTRACTOR = -1


@dataclass(frozen=True)
class Precision:
    """Scores of Q queries.

    Attributes:
        p_at_1, avg_p_at_20: float64 (Q,), 0 to 1.
        best_p_at_1, best_avg_p_at_20: float64 (Q,), what the best order reaches.
        relevant: int64 (Q,), relevant rows in the corpus.
    """

    p_at_1: Floats
    avg_p_at_20: Floats
    best_p_at_1: Floats
    best_avg_p_at_20: Floats
    relevant: NDArray[np.int64]

    @property
    def unmatched(self) -> int:
        """Queries without a relevant row, which score 0."""
        return int((self.relevant == 0).sum())


def retrieval_precision(neighbours: Ints, query_labels: Ints, corpus_labels: Ints) -> Precision:
    """Score each query's results.

    Args:
        neighbours: (Q, K), corpus rows, nearest first (retrieval.search). K is at least 20, or all of the corpus.
        query_labels: (Q,), classes from 0, numbered as those of the corpus.
        corpus_labels: (N,), classes, DISTRACTOR (-1) for a row without one.

    Raises:
        ValueError: if shapes do not fit, results are fewer than needed or not rows, or a query has no label.
    """
    queries, corpus = len(query_labels), len(corpus_labels)
    if neighbours.ndim != 2 or len(neighbours) != queries or neighbours.shape[1] < min(DEPTH, corpus):
        raise ValueError(f"results of shape {neighbours.shape} for {queries} queries in a corpus of {corpus} rows")
    if queries and (int(query_labels.min()) < 0 or int(neighbours.min()) < 0):
        raise ValueError("a query without a label, or results that are not corpus rows")
    hits = corpus_labels[neighbours] == query_labels[:, None]
    classes = 1 + max(query_labels.max(initial=DISTRACTOR), corpus_labels.max(initial=DISTRACTOR))
    relevant = np.bincount(corpus_labels[corpus_labels != DISTRACTOR], minlength=classes)[query_labels]
    best = np.arange(DEPTH) < relevant[:, None]
    return Precision(
        mean_precision(hits, 1), mean_precision(hits), mean_precision(best, 1), mean_precision(best), relevant
    )


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
