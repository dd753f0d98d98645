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
    discounts = _discounts(starts, depth)
    tidy: tuple[Scores, Rows] = np.ascontiguousarray(scores), np.ascontiguousarray(order)
    _ndcg(tidy[0], grades, tidy[1], starts, discounts, discounts.cumsum(), found)
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
    _expected(grades, starts, _discounts(starts, depth).cumsum(), found)
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
def _best(grades: NDArray[np.int8], first: int, last: int, up_to: Floats, counts: NDArray[np.int64]) -> float:
    """DCG of the best order, by counting how many results have each grade; up_to: running sum of the discounts."""
    counts[:] = 0
    for row in range(first, last):
        counts[grades[row]] += 1
    best, placed = 0.0, 0
    for grade in range(HIGHEST_GRADE, 0, -1):
        if counts[grade]:
            best += (2.0**grade - 1) * (up_to[placed + counts[grade]] - up_to[placed])
            placed += counts[grade]
    return best


@compiled
def _ndcg(
    scores: Scores,
    grades: NDArray[np.int8],
    order: Rows,
    starts: NDArray[np.int64],
    discounts: Floats,
    up_to: Floats,
    found: Floats,
) -> None:
    """A relevant result's position is 1 + the number of results before it: counting beats sorting a session."""
    counts = np.zeros(HIGHEST_GRADE + 1, np.int64)
    keys = np.empty(len(discounts), scores.dtype)
    for session in range(len(found)):
        first, last = starts[session], starts[session + 1]
        best = _best(grades, first, last, up_to, counts)
        if best == 0:
            found[session] = np.nan
            continue
        for row in range(first, last):
            keys[row - first] = scores[row] if scores[row] == scores[row] else -np.inf
        total = 0.0
        for row in range(first, last):
            if grades[row] > 0:
                key, own = keys[row - first], order[row]
                position = 1
                for other in range(first, row):
                    better = keys[other - first]
                    position += (better > key) | ((better == key) & (order[other] <= own))
                for other in range(row + 1, last):
                    better = keys[other - first]
                    position += (better > key) | ((better == key) & (order[other] < own))
                total += (2.0 ** grades[row] - 1) * discounts[position]
        found[session] = min(total / best, 1.0)


@compiled
def _expected(grades: NDArray[np.int8], starts: NDArray[np.int64], up_to: Floats, found: Floats) -> None:
    counts = np.zeros(HIGHEST_GRADE + 1, np.int64)
    for session in range(len(found)):
        first, last = starts[session], starts[session + 1]
        best = _best(grades, first, last, up_to, counts)
        if best == 0:
            found[session] = np.nan
            continue
        gains = 0.0
        for grade in range(1, HIGHEST_GRADE + 1):
            gains += counts[grade] * (2.0**grade - 1)
        found[session] = min(gains * up_to[last - first] / (last - first) / best, 1.0)
