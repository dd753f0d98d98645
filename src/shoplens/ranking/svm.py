"""The ranking SVM of the Etsy paper (section 2.2): summed hinge loss over preference pairs, elastic net, no intercept.

    sum over pairs of max(0, 1 - <w, better - worse>) + l1 |w|_1 + l2 |w|^2

The paper solves it by stochastic gradient descent over pair differences (Algorithm 2). Here no difference is ever
built: documents are scored once (X w), each pair compares two scores, and the weights move by X' times how much, on
balance, each document is pulled up by the pairs that want it higher and down by those that want it lower.

The method is the primal-dual one of Chambolle and Pock (2011), over-relaxed (Condat 2013), with steps scaled a column
(Pock and Chambolle 2011): each pair holds a pull of 0 to 1, raised while its margin is below 1. The pulls are a dual
solution, so that the distance to the optimum is known at every step. The coin flips of Algorithm 2 leave the loss
unchanged, as there is no intercept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoplens.ranking.compiled import compiled, reassociating

Floats = NDArray[np.float32]
Counts = NDArray[np.uint32]  # unsigned: numba then need not ask whether an index counts from the end

STEPS = 1000
CLOSE = 1e-3  # stop when the objective is this near the smallest possible, as a share of it
PULL_STEP = 0.1  # how far a pull moves at a margin that is short by 1; measured, best of 0.03, 0.1 and 0.3
RELAXATION = 1.8  # below 2
POWER_STEPS, SLACK = 15, 1.1  # power iteration comes from below: steps are shortened by the slack


@dataclass(frozen=True)
class Documents:
    """Features of n documents, at least one of the two; both: their concatenation (Algorithm 1).

    Attributes:
        text: (n, V), csr_array of float32, or None.
        image: (n, D), float32, or None.
    """

    text: scipy.sparse.csr_array | None
    image: Floats | None


@dataclass(frozen=True)
class Fit:
    """A trained ranking function: a document's score is <text, its terms> + <image, its image vector>.

    Attributes:
        text: (V,), float32, or None without text.
        image: (D,), float32, or None without images.
        objective: what was minimised, at these weights.
        steps: steps taken.
    """

    text: Floats | None
    image: Floats | None
    objective: float
    steps: int


def fit_ranking_svm(
    documents: Documents,
    better: NDArray[np.integer],
    worse: NDArray[np.integer],
    *,
    l1: float,
    l2: float,
    rate: float = 1.0,
    steps: int = STEPS,
) -> Fit:
    """Minimise the objective, starting at zero weights. Deterministic.

    Only the documents and terms that occur in pairs cost time; other terms keep weight 0. Without pairs all weights
    are 0.

    Args:
        documents: features; rows are named by `better` and `worse`.
        better: (P,), the preferred document of each pair; a pair that occurs twice counts twice.
        worse: (P,), the other one.
        l1: weight of the sum of absolute weights, at least 0.
        l2: weight of the sum of squared weights, at least 0.
        rate: step of the weights as a share of the largest stable one, above 0 up to 1; a smaller one fits less in as
            many steps.
        steps: at most so many; the search ends within 0.1% of the smallest objective possible.

    Raises:
        ValueError: if shapes, rows or settings do not fit.
    """
    rows = _rows(documents)
    if len(better) != len(worse):
        raise ValueError(f"{len(better)} better documents and {len(worse)} worse ones")
    if not (0 <= l1 < np.inf and 0 <= l2 < np.inf and 0 < rate <= 1 and steps >= 1):
        raise ValueError(
            f"l1 {l1}, l2 {l2}, rate {rate}, steps {steps}: l1, l2 finite and >= 0, 0 < rate <= 1, steps >= 1"
        )
    text, image = documents.text, documents.image
    if not len(better):
        zeros = [None if part is None else np.zeros(part.shape[1], np.float32) for part in (text, image)]
        return Fit(zeros[0], zeros[1], objective=0.0, steps=0)
    if min(better.min(), worse.min()) < 0 or max(better.max(), worse.max()) >= rows:
        raise ValueError(f"pairs name documents outside 0 to {rows - 1}")

    used, places = np.unique(np.concatenate([better, worse]), return_inverse=True)
    above, below = places[: len(better)], places[len(better) :]
    codes, times = np.unique(above * len(used) + below, return_counts=True)
    up, down = (codes // len(used)).astype(np.uint32), (codes % len(used)).astype(np.uint32)
    part = scipy.sparse.csr_array((len(used), 0), dtype=np.float32) if text is None else text[used]
    columns, terms = np.unique(part.indices, return_inverse=True)
    words = scipy.sparse.csr_array((part.data, terms, part.indptr), shape=(len(used), len(columns)))
    photos = np.zeros((len(used), 0), np.float32) if image is None else np.ascontiguousarray(image[used], np.float32)
    if not (np.isfinite(words.data).all() and np.isfinite(photos).all()):
        raise ValueError("features of documents in pairs hold NaN or infinity")
    found, taken = _solve(
        words.indptr.astype(np.uint32),
        words.indices.astype(np.uint32),
        words.data.astype(np.float32),
        photos,
        up,
        down,
        times.astype(np.float32),
        len(columns),
        l1,
        l2,
        rate,
        steps,
    )
    own, image_weights = found[: len(columns)], found[len(columns) :]
    reached = objective(Documents(words, photos), above, below, own, image_weights, l1=l1, l2=l2)
    text_weights = None
    if text is not None:
        text_weights = np.zeros(text.shape[1], np.float32)
        text_weights[columns] = own
    return Fit(text_weights, None if image is None else image_weights.copy(), reached, taken)


def objective(
    documents: Documents,
    better: NDArray[np.integer],
    worse: NDArray[np.integer],
    text: NDArray[np.floating] | None,
    image: NDArray[np.floating] | None,
    *,
    l1: float,
    l2: float,
) -> float:
    """The sum above, in float64, at weights text (V,) and image (D,); None where documents have no such features."""
    scores = np.zeros(_rows(documents))
    penalty = 0.0
    for features, weights in ((documents.text, text), (documents.image, image)):
        if (features is None) != (weights is None):
            raise ValueError("weights must be given for the features there are")
        if features is not None and weights is not None:
            exact = weights.astype(np.float64)
            scores += features @ exact
            penalty += l1 * float(np.abs(exact).sum()) + l2 * float(exact @ exact)
    return float(np.maximum(0, 1 - (scores[better] - scores[worse])).sum()) + penalty


def _rows(documents: Documents) -> int:
    rows = {part.shape[0] for part in (documents.text, documents.image) if part is not None}
    if len(rows) != 1:
        raise ValueError(f"documents need text, images or both, for as many documents; found rows {sorted(rows)}")
    return int(rows.pop())


@reassociating
def _score(indptr: Counts, terms: Counts, values: Floats, photos: Floats, weights: Floats, scores: Floats) -> None:
    """scores = X w; weights: (terms + image dimensions,)."""
    dense = weights[len(weights) - photos.shape[1] :]
    for row in range(len(scores)):
        total = np.float32(0)
        for column in range(photos.shape[1]):
            total += photos[row, column] * dense[column]
        place, last = indptr[row], indptr[row + 1]
        other = np.float32(0)  # two sums and two halves at a time: one alone would wait for itself
        while place + 4 <= last:
            total += values[place] * weights[terms[place]] + values[place + 1] * weights[terms[place + 1]]
            other += values[place + 2] * weights[terms[place + 2]] + values[place + 3] * weights[terms[place + 3]]
            place += 4
        while place < last:
            total += values[place] * weights[terms[place]]
            place += 1
        scores[row] = total + other


@reassociating
def _gather(indptr: Counts, terms: Counts, values: Floats, photos: Floats, pulls: Floats, sums: Floats) -> None:
    """sums = X' pulls."""
    dense = sums[len(sums) - photos.shape[1] :]
    sums[:] = 0
    for row in range(len(pulls)):
        pull = pulls[row]
        if pull != 0:
            for column in range(photos.shape[1]):
                dense[column] += pull * photos[row, column]
            for place in range(indptr[row], indptr[row + 1]):
                sums[terms[place]] += pull * values[place]


@compiled
def _column_steps(
    indptr: Counts,
    terms: Counts,
    values: Floats,
    photos: Floats,
    up: Counts,
    down: Counts,
    pair_steps: Floats,
    width: int,
) -> Floats:
    """Largest stable step of each weight against the pairs' steps, up to SLACK.

    Columns take steps in inverse proportion to the root of their sum of squares over the pairs' documents. The scale
    follows from the largest eigenvalue of the scaled differences' X'X, by power iteration.
    """
    rows = len(indptr) - 1
    degrees, scores, direction = np.zeros(rows, np.float32), np.zeros(rows, np.float32), np.zeros(width, np.float32)
    for pair in range(len(up)):
        degrees[up[pair]] += pair_steps[pair]
        degrees[down[pair]] += pair_steps[pair]
    _gather(indptr, terms, values * values, photos * photos, degrees, direction)
    scale = np.maximum(direction, np.float32(1)) ** np.float32(-0.25)  # root of the step
    for column in range(width):
        direction[column] = 1 + ((column * 7919) % 101) / 101  # fixed, and unlikely to miss the largest one
    value = np.float32(0)
    for _ in range(POWER_STEPS):
        direction *= scale
        _score(indptr, terms, values, photos, direction, scores)
        degrees[:] = 0
        for pair in range(len(up)):
            apart = pair_steps[pair] * (scores[up[pair]] - scores[down[pair]])
            degrees[up[pair]] += apart
            degrees[down[pair]] -= apart
        _gather(indptr, terms, values, photos, degrees, direction)
        direction *= scale
        value = np.sqrt((direction * direction).sum())
        if value == 0:
            return direction
        direction /= value
    return scale * scale / (np.float32(SLACK) * value)


@reassociating
def _excess(before: Floats, moves: Floats, l1: np.float32) -> float:
    """Sum of squares by which X' times the pulls tried last, which are feasible, is beyond l1.

    Relaxation mixed those pulls with the ones before them, and so did it with what they move.
    """
    total = 0.0
    for column in range(len(moves)):
        moved = before[column] + (moves[column] - before[column]) / np.float32(RELAXATION)
        excess = max(abs(moved) - l1, np.float32(0))
        total += excess * excess
    return total


@reassociating
def _move(
    weights: Floats,
    tried: Floats,
    moves: Floats,
    lengths: Floats,
    thresholds: Floats,
    shrinks: Floats,
    l1: np.float32,
    l2: np.float32,
) -> float:
    """One step of the weights, to `tried` and relaxed beyond it in `weights`; the penalty at `tried`."""
    penalty = 0.0
    for column in range(len(weights)):
        goal = weights[column] + lengths[column] * moves[column]
        new = shrinks[column] * (
            max(goal - thresholds[column], np.float32(0)) - max(-goal - thresholds[column], np.float32(0))
        )
        tried[column] = new
        weights[column] += np.float32(RELAXATION) * (new - weights[column])
        penalty += l1 * abs(new) + l2 * new * new
    return penalty


@compiled
def _solve(
    indptr: Counts,
    terms: Counts,
    values: Floats,
    photos: Floats,
    up: Counts,
    down: Counts,
    times: Floats,
    columns: int,
    l1: float,
    l2: float,
    rate: float,
    steps: int,
) -> tuple[Floats, int]:
    """The best weights seen, terms before image, and the steps taken; pairs are different ones that occur `times`."""
    rows, width, zero, one = len(indptr) - 1, columns + photos.shape[1], np.float32(0), np.float32(1)
    pair_steps = np.float32(PULL_STEP) * np.sqrt(times)
    lengths = np.float32(rate) * _column_steps(indptr, terms, values, photos, up, down, pair_steps, width)
    thresholds, shrinks = lengths * np.float32(l1), one / (one + lengths * np.float32(2 * l2))
    weights, tried, best = np.zeros(width, np.float32), np.zeros(width, np.float32), np.zeros(width, np.float32)
    moves, before = np.zeros(width, np.float32), np.zeros(width, np.float32)
    scores, tried_scores, ahead = np.zeros(rows, np.float32), np.zeros(rows, np.float32), np.zeros(rows, np.float32)
    pulls, balance = np.zeros(len(up), np.float32), np.zeros(rows, np.float32)
    lowest, highest, pulled = 1.0 * times.sum(), 0.0, 0.0
    for step in range(steps):
        before[:] = moves
        _gather(indptr, terms, values, photos, balance, moves)
        if step > 0 and l2 > 0:
            highest = max(highest, pulled - _excess(before, moves, np.float32(l1)) / (4 * l2))
            if lowest - highest <= CLOSE * lowest:
                return best, step
        penalty = _move(weights, tried, moves, lengths, thresholds, shrinks, np.float32(l1), np.float32(l2))
        _score(indptr, terms, values, photos, tried, tried_scores)
        for row in range(rows):
            ahead[row] = tried_scores[row] + (tried_scores[row] - scores[row])
            scores[row] += np.float32(RELAXATION) * (tried_scores[row] - scores[row])
        balance[:] = 0
        loss, pulled = 0.0, 0.0
        for pair in range(len(up)):
            first, second = up[pair], down[pair]
            loss += times[pair] * max(one - tried_scores[first] + tried_scores[second], zero)
            pull = pulls[pair]
            new = pull + pair_steps[pair] * (one - ahead[first] + ahead[second])
            new = min(max(new, zero), times[pair])
            pulled += new
            pull += np.float32(RELAXATION) * (new - pull)
            pulls[pair] = pull
            balance[first] += pull
            balance[second] -= pull
        if loss + penalty < lowest:
            lowest = loss + penalty
            best[:] = tried
    return best, steps
