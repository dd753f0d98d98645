"""Judged sessions as plain arrays, and the mean that the paper reports: session -> query -> queries (section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoplens.ranking.judgements import Judgements

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sessions:
    """S sessions with R results, those of a session in order of position.

    Attributes:
        listing: (R,) numbers of the documents that were shown.
        grade: (R,) relevance.
        starts: (S + 1,) results of session s are rows [starts[s] : starts[s + 1]].
        query: (S,) whose session it is, ascending numbers from 0.
    """

    listing: NDArray[np.int32]
    grade: NDArray[np.int8]
    starts: NDArray[np.int64]
    query: NDArray[np.int64]

    @property
    def session_of_row(self) -> NDArray[np.int64]:
        """(R,)"""
        return np.repeat(np.arange(len(self.query)), np.diff(self.starts))


@dataclass(frozen=True)
class Judged:
    """Sessions that can be scored, and which of the given sessions and rows they are (ascending numbers)."""

    sessions: Sessions
    chosen: NDArray[np.int64]
    rows: NDArray[np.int64]


def sessions_of(judgements: Judgements, part: int) -> tuple[Sessions, NDArray[np.object_]]:
    """All sessions of a part, and their ids (S,)."""
    chosen = judgements.part == part
    counts = np.diff(judgements.starts)
    rows = np.repeat(chosen, counts)
    query = np.repeat(np.arange(len(judgements.queries)), np.diff(judgements.query_sessions))
    starts = np.append(0, np.cumsum(counts[chosen])).astype(np.int64)
    found = Sessions(judgements.listing[rows], judgements.grade[rows], starts, query[chosen])
    return found, judgements.session_ids[chosen]


def judged(sessions: Sessions, rows: NDArray[np.bool_] | None = None) -> Judged:
    """The sessions that have two results or more, one of them relevant; an order of fewer says nothing.

    Args:
        sessions: any.
        rows: (R,) only these results count and are kept; all of them by default.
    """
    owner = sessions.session_of_row
    kept = np.ones(len(owner), bool) if rows is None else rows
    size = len(sessions.query)
    results = np.bincount(owner[kept], minlength=size)
    relevant = np.bincount(owner[kept & (sessions.grade > 0)], minlength=size)
    able = (results > 1) & (relevant > 0)
    kept_rows = np.flatnonzero(kept & able[owner])
    starts = np.append(0, np.cumsum(results[able])).astype(np.int64)
    left = Sessions(sessions.listing[kept_rows], sessions.grade[kept_rows], starts, sessions.query[able])
    return Judged(left, np.flatnonzero(able), kept_rows)


def mean_by_query(values: Floats, query: NDArray[np.int64], queries: int) -> Floats:
    """Mean over each query's sessions, (queries,); NaN for a query without a session.

    Args:
        values: (S,) a value a session.
        query: (S,) numbers below `queries`.
        queries: how many.
    """
    counts = np.bincount(query, minlength=queries)
    sums = np.bincount(query, values, minlength=queries)
    means: Floats = np.divide(sums, counts, out=np.full(queries, np.nan), where=counts > 0)
    return means
