"""nDCG of search sessions (Etsy paper, section 3.1): gain 2^rel - 1, discount log2(position + 1).

A session's nDCG is the DCG of the model's order divided by the DCG of the best order. Sessions are ragged: the results
of session s are rows starts[s] to starts[s + 1] of every array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoplens.ranking.compiled import compiled

Scores = NDArray[np.floating]
Rows = NDArray[np.integer]
Floats = NDArray[np.float64]
HIGHEST_GRADE = 30
GAINS: Floats = np.exp2(np.arange(HIGHEST_GRADE + 1.0)) - 1


def session_ndcg(
    scores: Scores, grades: NDArray[np.integer], order: Rows, starts: NDArray[np.int64], depth: int | None = None
) -> Floats:
    """nDCG of each session, (S,), 0 to 1; NaN where no result is relevant.

    Equal scores are broken by `order`, smaller first, and equal `order` by row. A score that is NaN counts as minus
    infinity. Time grows with a session's results times its relevant results.

    Args:
        scores: (R,), higher is better.
        grades: (R,), relevance, 0 to 30.
        order: (R,), whatever breaks ties without looking at relevance, such as the listing row.
        starts: (S + 1,), ascending from 0 to R.
        depth: nDCG@depth, of the model's order and of the best one; None: all results.

    Raises:
        ValueError: if lengths, starts, grades or depth do not fit.
    """
    grades, starts, found = _checked(grades, starts, depth)
    if not len(scores) == len(order) == len(grades):
        raise ValueError(f"{len(scores)} scores, {len(grades)} grades and {len(order)} tie breakers")
    tidy: tuple[Scores, Rows] = np.ascontiguousarray(scores), np.ascontiguousarray(order)
    _ndcg(tidy[0], grades, tidy[1], starts, _discounts(starts, depth), GAINS, found)
    return found


def expected_ndcg(grades: NDArray[np.integer], starts: NDArray[np.int64], depth: int | None = None) -> Floats:
    """The mean of session_ndcg over all orders of a session's results, (S,); NaN where no result is relevant.

    Every result stands at every position equally often, so the mean DCG is the sum of gains times the mean discount.

    Args:
        grades: (R,), relevance, 0 to 30.
        starts: (S + 1,), ascending from 0 to R.
        depth: as for session_ndcg.

    Raises:
        ValueError: if starts, grades or depth do not fit.
    """
    grades, starts, found = _checked(grades, starts, depth)
    _expected(grades, starts, _discounts(starts, depth), GAINS, found)
    return found


def _checked(
    grades: NDArray[np.integer], starts: NDArray[np.int64], depth: int | None
) -> tuple[NDArray[np.int8], NDArray[np.int64], Floats]:
    """Compact copies where needed, and room for the answer: the kernels read without bounds checks."""
    if len(starts) == 0 or starts[0] != 0 or starts[-1] != len(grades) or (np.diff(starts) < 0).any():
        raise ValueError(f"starts must ascend from 0 to the number of results, {len(grades)}")
    if len(grades) and not 0 <= int(grades.min()) <= int(grades.max()) <= HIGHEST_GRADE:
        raise ValueError(f"grades must be 0 to {HIGHEST_GRADE}")
    if depth is not None and depth < 1:
        raise ValueError(f"depth {depth} is below 1")
    return (
        np.ascontiguousarray(grades, dtype=np.int8),
        np.ascontiguousarray(starts, dtype=np.int64),
        np.empty(len(starts) - 1),
    )


def _discounts(starts: NDArray[np.int64], depth: int | None) -> Floats:
    """Weight of position 0 (none), 1, 2, ... up to the longest session; 0 below `depth`."""
    positions = np.arange(int(np.diff(starts).max(initial=0)) + 1)
    weights = np.zeros(len(positions))
    weights[1:] = 1 / np.log2(positions[1:] + 1)
    if depth is not None:
        weights[depth + 1 :] = 0
    return weights


@compiled
def _best(counts: NDArray[np.int64], gains: Floats, up_to: Floats) -> float:
    """DCG of the best order, from how many results have each grade; up_to: running sum of the discounts."""
    best, placed = 0.0, 0
    for grade in range(HIGHEST_GRADE, 0, -1):
        if counts[grade]:
            best += gains[grade] * (up_to[placed + counts[grade]] - up_to[placed])
            placed += counts[grade]
    return best


@compiled
def _ndcg(
    scores: Scores,
    grades: NDArray[np.int8],
    order: Rows,
    starts: NDArray[np.int64],
    discounts: Floats,
    gains: Floats,
    found: Floats,
) -> None:
    """A relevant result's position is 1 + the number of results before it: counting beats sorting a session."""
    up_to = discounts.cumsum()
    counts = np.zeros(HIGHEST_GRADE + 1, np.int64)
    keys, places = np.empty(len(discounts), scores.dtype), np.empty(len(discounts), np.int64)
    for session in range(len(found)):
        first, last = starts[session], starts[session + 1]
        grade, score, tie = grades[first:last], scores[first:last], order[first:last]
        results, together = last - first, np.int8(0)
        for row in range(results):
            together |= grade[row]
        if together == 0:
            found[session] = np.nan
            continue
        relevant = 0
        for row in range(results):
            keys[row] = score[row] if score[row] == score[row] else -np.inf
            if grade[row] > 0:
                places[relevant] = row
                relevant += 1
        counts[:] = 0
        total = 0.0
        for row in places[:relevant]:
            key, own = keys[row], tie[row]
            before, equal = 0, 0
            for other in range(results):
                before += keys[other] > key
                equal += keys[other] == key
            if equal > 1:
                for other in range(results):
                    earlier = (tie[other] < own) | ((tie[other] == own) & (other < row))
                    before += (keys[other] == key) & earlier
            total += gains[grade[row]] * discounts[before + 1]
            counts[grade[row]] += 1
        found[session] = min(total / _best(counts, gains, up_to), 1.0)


@compiled
def _expected(
    grades: NDArray[np.int8], starts: NDArray[np.int64], discounts: Floats, gains: Floats, found: Floats
) -> None:
    up_to = discounts.cumsum()
    counts = np.zeros(HIGHEST_GRADE + 1, np.int64)
    for session in range(len(found)):
        first, last = starts[session], starts[session + 1]
        counts[:] = 0
        total = 0.0
        for row in range(first, last):
            counts[grades[row]] += 1
            total += gains[grades[row]]
        if total == 0:
            found[session] = np.nan
            continue
        found[session] = min(total * up_to[last - first] / (last - first) / _best(counts, gains, up_to), 1.0)
