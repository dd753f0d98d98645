"""Tasks of queries whose preferences are known, from plain arrays and without a search log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from shoplens.ranking.sessions import Sessions
from shoplens.ranking.train import QueryTask


@dataclass(frozen=True)
class Planted:
    """Even queries go by the third word, odd ones by the first image number; query `last` is the global task.

    Picklable, as worker processes need it.
    """

    last: int = 4
    documents: int = 120
    pairs: int = 80
    sessions: int = 30

    def __call__(self, number: int) -> QueryTask:
        rng = np.random.default_rng(number)
        words = rng.random((self.documents, 5)) < 0.5
        image = rng.normal(size=(self.documents, 4)).astype(np.float32)
        liking = image[:, 0] if number % 2 else words[:, 2] - 0.5
        pairs = rng.integers(0, self.documents, (self.pairs, 2)).astype(np.int32)
        pairs = pairs[np.diff(liking[pairs], axis=1)[:, 0] != 0]
        pairs = np.where(np.diff(liking[pairs]) > 0, pairs[:, ::-1], pairs)
        shown = rng.integers(0, self.documents, self.sessions * 8).astype(np.int32)
        grade = (liking[shown] > 0).astype(np.int8)
        starts = np.arange(0, len(shown) + 1, 8)
        query = np.arange(self.sessions) // 10 if number == self.last else np.zeros(self.sessions, np.int64)
        return QueryTask(
            text=scipy.sparse.csr_array(words.astype(np.float32)),
            columns=np.array([3, 10, 20, 21, 40], np.int32),
            images={"candidate": image},
            better=np.ascontiguousarray(pairs[:, 0]),
            worse=np.ascontiguousarray(pairs[:, 1]),
            validation=Sessions(shown, grade, starts, query),
        )
