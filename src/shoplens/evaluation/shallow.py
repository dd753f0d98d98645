"""The shallow head of the hold-out task: the same one for every model's embeddings, with the same tuning.

Standardised features, multinomial logistic regression (classes) or ridge (numbers), the strength of the L2 penalty
chosen on validation by the metric that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoplens.evaluation.scores import log_loss, ranked_probability_score

Floats = NDArray[np.float64]
Kind = Literal["ordinal", "nominal", "regression"]
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Hold:
    """Features and truth of one part of the split: float32 (n, D) and class indices or numbers (n,)."""

    features: NDArray[np.float32]
    truth: NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class ShallowFit:
    """Forecasts on test: (n, K) probabilities, or (n,) numbers; and the penalty that validation chose."""

    forecast: Floats
    penalty: float


def score(kind: Kind, forecast: Floats, truth: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
    """The gated score of each forecast, lower is better: RPS, log loss or squared error, (n,)."""
    if kind == "ordinal":
        return ranked_probability_score(forecast, truth.astype(np.int64))
    if kind == "nominal":
        return log_loss(forecast, truth.astype(np.int64))
    return np.square(forecast - truth)


def fit_shallow(kind: Kind, classes: int, train: Hold, validation: Hold, test: NDArray[np.float32]) -> ShallowFit:
    """Fit one head per penalty (strongest first, each from the last one's solution), keep the best on validation.

    Args:
        kind: what the hold-out is.
        classes: number of classes K (ignored for regression).
        train: at least one listing.
        validation: chooses the penalty.
        test: float32 (m, D), only forecast.
    """
    mean, spread = train.features.mean(axis=0), train.features.std(axis=0)
    spread[spread < 1e-6] = 1.0
    parts = [(x - mean) / spread for x in (train.features, validation.features, test)]
    best: tuple[float, ShallowFit] | None = None
    for penalty, forecasts in _path(kind, classes, parts, train.truth):
        loss = float(score(kind, forecasts[0], validation.truth).mean())
        if best is None or loss < best[0]:
            best = loss, ShallowFit(forecasts[1], penalty)
    assert best is not None
    return best[1]


def _path(
    kind: Kind, classes: int, parts: list[NDArray[np.float32]], truth: NDArray[np.float64] | NDArray[np.int64]
) -> list[tuple[float, list[Floats]]]:
    """For each penalty the forecasts on validation and test."""
    from sklearn.linear_model import LogisticRegression, Ridge

    n = len(truth)
    found = []
    if kind == "regression":
        for penalty in PENALTIES:
            ridge = Ridge(alpha=penalty * n).fit(parts[0], truth)
            found.append((penalty, [np.asarray(ridge.predict(x), np.float64) for x in parts[1:]]))
        return found
    seen = np.unique(truth).astype(np.int64)
    if len(seen) == 1:
        certain = np.eye(classes)[seen[0]]
        return [(PENALTIES[0], [np.tile(certain, (len(x), 1)) for x in parts[1:]])]
    model = LogisticRegression(warm_start=True, max_iter=300, tol=1e-4)
    for penalty in PENALTIES:
        model.set_params(C=1 / (penalty * n))
        model.fit(parts[0], truth)
        found.append((penalty, [_spread(model.predict_proba(x), seen, classes) for x in parts[1:]]))
    return found


def _spread(probabilities: Floats, seen: NDArray[np.int64], classes: int) -> Floats:
    """Columns for all K classes; a class without a training listing gets probability 0."""
    full = np.zeros((len(probabilities), classes))
    full[:, seen] = probabilities
    return full
