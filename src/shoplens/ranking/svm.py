"""The ranking SVM of the Etsy paper (section 2.2): summed hinge loss over preference pairs, elastic net, no intercept.

    sum over pairs of max(0, 1 - <w, better - worse>) + l1 |w|_1 + l2 |w|^2

The paper solves it by stochastic gradient descent over pair differences (Algorithm 2). Here no difference is ever
built: documents are scored once (X w), each pair compares two scores, and the gradient is X' times how often, on
balance, each document is on the losing side of an unsatisfied pair. FISTA (Beck and Teboulle 2009) on the hinge with a
rounded corner, the corner made sharper from stage to stage (Nesterov 2005), momentum dropped when it points uphill
(O'Donoghue and Candes 2015). The coin flips of Algorithm 2 leave this loss unchanged, as there is no intercept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoplens.ranking.compiled import compiled, reassociating

Floats = NDArray[np.float32]
Counts = NDArray[np.int32]

STEPS = 1000
CORNERS = (1.0, 0.1, 0.01)  # widths of the hinge's rounded corner, in units of the margin
POWER_STEPS = 30


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
        steps: gradient steps taken.
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

    Costs depend on the documents and terms that occur in pairs, not on n or V; other terms keep weight 0. Without
    pairs all weights are 0.

    Args:
        documents: features; rows are named by `better` and `worse`.
        better: (P,), the preferred document of each pair; a pair that occurs twice counts twice.
        worse: (P,), the other one.
        l1: weight of the sum of absolute weights, at least 0.
        l2: weight of the sum of squared weights, at least 0.
        rate: step as a share of the largest stable one, above 0 up to 1; less, with as many steps, fits less.
        steps: gradient steps; fewer are taken once the objective is nearly the smallest possible.

    Raises:
        ValueError: if shapes, rows or settings do not fit.
    """
    rows = _rows(documents)
    if len(better) != len(worse):
        raise ValueError(f"{len(better)} better documents and {len(worse)} worse ones")
    if l1 < 0 or l2 < 0 or not 0 < rate <= 1 or steps < 1:
        raise ValueError(f"l1 {l1}, l2 {l2}, rate {rate}, steps {steps}: l1, l2 >= 0, 0 < rate <= 1, steps >= 1")
    text, image = documents.text, documents.image
    if not len(better):
        zeros = [None if part is None else np.zeros(part.shape[1], np.float32) for part in (text, image)]
        return Fit(zeros[0], zeros[1], objective=0.0, steps=0)
    if min(better.min(), worse.min()) < 0 or max(better.max(), worse.max()) >= rows:
        raise ValueError(f"pairs name documents outside 0 to {rows - 1}")

    used, places = np.unique(np.concatenate([better, worse]), return_inverse=True)
    pairs = places.astype(np.int32).reshape(2, -1)
    columns = np.empty(0, np.int64)
    indptr, terms, values = np.zeros(len(used) + 1, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    if text is not None:
        part = text[used]
        columns, renamed = np.unique(part.indices, return_inverse=True)
        indptr, terms, values = part.indptr.astype(np.int32), renamed.astype(np.int32), part.data.astype(np.float32)
    photos = np.zeros((len(used), 0), np.float32) if image is None else np.ascontiguousarray(image[used], np.float32)
    found, taken = _fista(
        indptr, terms, values, photos, pairs[0], pairs[1], len(columns), l1, l2, rate, steps, np.array(CORNERS)
    )
    text_weights = None
    if text is not None:
        text_weights = np.zeros(text.shape[1], np.float32)
        text_weights[columns] = found[: len(columns)]
    image_weights = None if image is None else found[len(columns) :].copy()
    reached = objective(documents, better, worse, text_weights, image_weights, l1=l1, l2=l2)
    return Fit(text_weights, image_weights, reached, taken)


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
    width = len(weights) - photos.shape[1]
    for row in range(len(scores)):
        total = np.float32(0)
        for place in range(indptr[row], indptr[row + 1]):
            total += values[place] * weights[terms[place]]
        for column in range(photos.shape[1]):
            total += photos[row, column] * weights[width + column]
        scores[row] = total


@reassociating
def _gather(indptr: Counts, terms: Counts, values: Floats, photos: Floats, pull: Floats, sums: Floats) -> None:
    """sums = X' pull."""
    width = len(sums) - photos.shape[1]
    sums[:] = 0
    for row in range(len(pull)):
        if pull[row] != 0:
            for place in range(indptr[row], indptr[row + 1]):
                sums[terms[place]] += pull[row] * values[place]
            for column in range(photos.shape[1]):
                sums[width + column] += pull[row] * photos[row, column]


@compiled
def _largest(
    indptr: Counts, terms: Counts, values: Floats, photos: Floats, better: Counts, worse: Counts, width: int
) -> float:
    """Largest eigenvalue of the pair differences' X'X, by power iteration from a fixed start."""
    scores, pull = np.empty(len(indptr) - 1, np.float32), np.empty(len(indptr) - 1, np.float32)
    direction = np.empty(width, np.float32)
    for column in range(width):
        direction[column] = 1 + ((column * 7919) % 101) / 101  # not orthogonal to anything likely
    value = 0.0
    for _ in range(POWER_STEPS):
        size = np.sqrt((direction * direction).sum())
        if size == 0:
            return 0.0
        direction /= size
        _score(indptr, terms, values, photos, direction, scores)
        pull[:] = 0
        value = 0.0
        for pair in range(len(better)):
            gap = scores[better[pair]] - scores[worse[pair]]
            pull[better[pair]] += gap
            pull[worse[pair]] -= gap
            value += gap * gap
        _gather(indptr, terms, values, photos, pull, direction)
    return value


@compiled
def _fista(
    indptr: Counts,
    terms: Counts,
    values: Floats,
    photos: Floats,
    better: Counts,
    worse: Counts,
    columns: int,
    l1: float,
    l2: float,
    rate: float,
    steps: int,
    corners: NDArray[np.float64],
) -> tuple[Floats, int]:
    rows, width = len(indptr) - 1, columns + photos.shape[1]
    weights, before, ahead, sums = (
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
        np.zeros(width, np.float32),
    )
    scores, old, leading, pull = (
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
        np.zeros(rows, np.float32),
    )
    best, lowest = weights.copy(), 1.0 * len(better)
    curvature = 1.1 * _largest(indptr, terms, values, photos, better, worse, width)
    if curvature == 0:
        return best, 0
    stage, momentum = -1, 1.0
    for step in range(steps):
        if stage != step * len(corners) // steps:
            stage = step * len(corners) // steps
            momentum = 1.0
            ahead[:] = weights
            leading[:] = scores
        corner = np.float32(corners[stage])
        pull[:] = 0
        for pair in range(len(better)):
            short = (np.float32(1) - leading[better[pair]] + leading[worse[pair]]) / corner
            share = min(max(short, np.float32(0)), np.float32(1))
            pull[better[pair]] += share
            pull[worse[pair]] -= share
        _gather(indptr, terms, values, photos, pull, sums)
        length = np.float32(rate * corner / curvature)
        shrink = np.float32(1 / (1 + 2 * length * l2))
        threshold = np.float32(length * l1)
        uphill = 0.0
        before[:] = weights
        for column in range(width):
            moved = ahead[column] + length * sums[column]
            kept = max(moved - threshold, np.float32(0)) - max(-moved - threshold, np.float32(0))
            weights[column] = kept * shrink
            uphill += (ahead[column] - weights[column]) * (weights[column] - before[column])
        old[:] = scores
        _score(indptr, terms, values, photos, weights, scores)
        value = 0.0
        for pair in range(len(better)):
            value += max(np.float32(0), np.float32(1) - scores[better[pair]] + scores[worse[pair]])
        for column in range(width):
            value += l1 * abs(weights[column]) + l2 * weights[column] * weights[column]
        if value < lowest:
            lowest = value
            best[:] = weights
        if uphill > 0:
            momentum = 1.0
        following = (1 + (1 + 4 * momentum * momentum) ** 0.5) / 2
        push = np.float32((momentum - 1) / following)
        momentum = following
        for column in range(width):
            ahead[column] = weights[column] + push * (weights[column] - before[column])
        for row in range(rows):
            leading[row] = scores[row] + push * (scores[row] - old[row])
    return best, steps
