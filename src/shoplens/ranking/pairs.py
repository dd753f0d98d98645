"""Preference pairs: in the context of a query, one listing was preferred to another (Etsy, section 2.2, footnote 4).

A pair is a relevant result and one without any interaction, both of one FairPairs pair. Queries whose sessions hold no
such pair fall back on neighbours in position, as in the paper's Figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoplens.progress import say
from shoplens.ranking.judgements import Judgements


@dataclass(frozen=True)
class Pairs:
    """P pairs of listing rows, those of query q at [starts[q] : starts[q + 1]], in order of session and position."""

    starts: NDArray[np.int64]
    """(Q + 1,)"""
    better: NDArray[np.int32]
    """(P,) listing row of the relevant result."""
    worse: NDArray[np.int32]
    """(P,) listing row of the ignored one."""
    fair: NDArray[np.bool_]
    """(Q,) whether the query's pairs are randomised ones."""


def preference_pairs(judgements: Judgements, part: int) -> Pairs:
    """All preference pairs of one part's sessions.

    A query with any fair_pair row in this part's sessions uses fair pairs only; the other parts do not matter, so that
    nothing of the held-out sessions reaches training.
    """
    j = judgements
    queries = len(j.queries)
    query_of = np.repeat(np.arange(queries, dtype=np.int32), np.diff(j.query_sessions))
    session = np.repeat(np.arange(len(j.part), dtype=np.int32), np.diff(j.starts))
    rows = np.flatnonzero(j.part[session] == part)
    session = session[rows]
    query, number = query_of[session], j.fair_pair[rows]
    fair = np.zeros(queries, dtype=np.bool_)
    fair[query[number >= 0]] = True

    by_number = np.flatnonzero(number >= 0)
    by_number = by_number[np.lexsort((number[by_number], session[by_number]))]
    opens = _starts_run(session[by_number], number[by_number])
    size = np.diff(np.append(np.flatnonzero(opens), len(by_number)))
    start = np.flatnonzero(opens)[size == 2]
    one, other = by_number[start], by_number[start + 1]

    position = j.position[rows]
    step = (np.diff(session) == 0) & (np.diff(position) == 1) & ~fair[query[:-1]]
    left = np.flatnonzero(step)
    one, other = np.append(one, left), np.append(other, left + 1)

    grade, touched = j.grade[rows], j.touched[rows]
    differ = j.listing[rows[one]] != j.listing[rows[other]]  # nothing is preferred to itself
    up = differ & (grade[one] > 0) & ~touched[other]
    down = differ & (grade[other] > 0) & ~touched[one]
    better = np.append(one[up], other[down])
    worse = np.append(other[up], one[down])
    # rows stand in order of query, session and position
    order = np.lexsort((worse, np.minimum(better, worse)))
    better, worse = better[order], worse[order]
    counts = np.bincount(query[better], minlength=queries)
    return Pairs(
        starts=np.append(0, np.cumsum(counts)).astype(np.int64),
        better=j.listing[rows[better]],
        worse=j.listing[rows[worse]],
        fair=fair,
    )


def say_bias(pairs: Pairs) -> None:
    """Say how many queries learn from neighbours in position, if any does: what stands higher is clicked more."""
    learns = np.diff(pairs.starts) > 0
    neighbours = int((learns & ~pairs.fair).sum())
    if neighbours:
        say(
            f"ranking: {neighbours} of {int(learns.sum())} queries with training pairs have no fair_pair rows; their "
            "pairs are neighbours in position and carry presentation bias (what stands higher is clicked more, "
            "whatever the query). Randomise neighbouring results and log fair_pair to be rid of it."
        )


def _starts_run(*keys: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where a run of rows with equal keys begins."""
    changes = np.zeros(len(keys[0]), dtype=np.bool_)
    changes[:1] = True
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return changes
