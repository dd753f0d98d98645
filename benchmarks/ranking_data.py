"""Generated queries: documents with text and image features, preference pairs, sessions.

Appeal is a hidden linear function of both kinds of features; popular documents are in many pairs; users err, so that no
weights order all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

WORDS = 40  # of a listing's title and tags: unigrams and bigrams, drawn from the query's vocabulary, repeats merged
VOCABULARY = 5_000
DIMENSIONS = 256
RESULTS = 48  # a session


@dataclass(frozen=True)
class GeneratedQuery:
    """n documents, their hidden appeal and what users made of them.

    Attributes:
        text: (n, VOCABULARY + n + shops) binary: words, the listing's id, its shop's id.
        image: (n, DIMENSIONS), rows of length 1.
        appeal: (n,)
        better, worse: (P,) documents.
    """

    text: scipy.sparse.csr_array
    image: NDArray[np.float32]
    appeal: NDArray[np.float64]
    better: NDArray[np.int32]
    worse: NDArray[np.int32]


def generate_query(rng: np.random.Generator, documents: int, pairs: int) -> GeneratedQuery:
    """A query with so many documents (48 or more) and pairs."""
    frequency = 1 / np.arange(1, VOCABULARY + 1) ** 0.9
    words = np.searchsorted(np.cumsum(frequency) / frequency.sum(), rng.random((documents, WORDS)))
    shops = documents // 3
    ids = VOCABULARY + np.arange(documents)
    terms = np.column_stack([words, ids, VOCABULARY + documents + rng.integers(0, shops, documents)])
    width = VOCABULARY + documents + shops
    rows = np.repeat(np.arange(documents), terms.shape[1])
    text = scipy.sparse.csr_array((np.ones(rows.size, np.float32), (rows, terms.ravel())), shape=(documents, width))
    text.data[:] = 1  # repeats were added up
    text.indptr, text.indices = text.indptr.astype(np.int32), text.indices.astype(np.int32)  # as scikit-learn wants
    image = rng.standard_normal((documents, DIMENSIONS), np.float32)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    appeal = text @ (0.3 * rng.standard_normal(width)) + image @ (3 * rng.standard_normal(DIMENSIONS))
    popularity = 1 / (10 + np.arange(documents)) ** 0.7
    chosen = np.searchsorted(np.cumsum(popularity) / popularity.sum(), rng.random((2, pairs)))
    first, second = chosen[0], np.where(chosen[0] == chosen[1], (chosen[1] + 1) % documents, chosen[1])
    wins = rng.random(pairs) < 1 / (1 + np.exp(appeal[second] - appeal[first]))
    better, worse = np.where(wins, first, second), np.where(wins, second, first)
    return GeneratedQuery(text, image, appeal, better.astype(np.int32), worse.astype(np.int32))


def generate_sessions(
    rng: np.random.Generator, query: GeneratedQuery, sessions: int
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Documents and relevance of each session's results, both (sessions, RESULTS); one or more are relevant."""
    documents = len(query.appeal)
    first = rng.integers(0, documents, (sessions, 1))
    shown = rng.permutation(documents)[(first + np.arange(RESULTS)) % documents]
    liking = query.appeal[shown] + rng.logistic(size=shown.shape)
    bar = np.minimum(liking.max(axis=1), np.quantile(query.appeal, 0.95) + 2)
    return shown.astype(np.int32), (liking >= bar[:, None]).astype(np.int8)
