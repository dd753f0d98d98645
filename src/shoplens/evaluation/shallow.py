"""The shallow head of the hold-out task: the same one for every model's embeddings, with the same tuning.

Standardised features, multinomial logistic regression (classes) or ridge (numbers), the strength of the L2 penalty
chosen on validation by the metric that is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoplens.evaluation.scores import log_loss, ranked_probability_score

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Truth = NDArray[np.float64] | NDArray[np.int64]
Kind = Literal["ordinal", "nominal", "regression"]
PENALTIES = (1e1, 1e0, 1e-1, 1e-2, 1e-3)


@dataclass(frozen=True)
class Hold:
    """Features and truth of one part of the split: float32 (n, D) and class indices or numbers (n,)."""

    features: Singles
    truth: Truth


@dataclass(frozen=True)
class ShallowFit:
    """Forecasts on test: (m, K) probabilities, or (m,) numbers; and the penalty that validation chose."""

    forecast: Floats
    penalty: float


def score(kind: Kind, forecast: Floats, truth: Truth) -> Floats:
    """The gated score of each forecast, lower is better: RPS, log loss or squared error, (n,); NaN stays NaN."""
    if kind == "ordinal":
        return ranked_probability_score(forecast, truth.astype(np.int64))
    if kind == "nominal":
        return log_loss(forecast, truth.astype(np.int64))
    return np.square(forecast - truth)


def fit_shallow(kind: Kind, classes: int, train: Hold, validation: Hold, test: Singles) -> ShallowFit:
    """Fit one head per penalty (strongest first, each from the last one's solution), keep the best on validation.

    Embeddings that are not finite (a diverged model) give NaN forecasts: for every listing if training or validation
    has one, else for the test listings concerned.

    Args:
        kind: what the hold-out is.
        classes: number of classes K (ignored for regression).
        train: at least one listing.
        validation: chooses the penalty.
        test: float32 (m, D), only forecast.
    """
    import sklearn.linear_model  # noqa: F401 - loads every BLAS, which must be there to be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    shape = (len(test),) if kind == "regression" else (len(test), classes)
    if not (np.isfinite(train.features).all() and np.isfinite(validation.features).all()):
        return ShallowFit(np.full(shape, np.nan), float("nan"))
    usable = np.isfinite(test).all(axis=1)
    mean, spread = train.features.mean(axis=0), train.features.std(axis=0)
    spread[spread < 1e-6] = 1.0
    parts = [(x - mean) / spread for x in (train.features, validation.features, test[usable])]
    best: tuple[float, ShallowFit] | None = None
    # thousands of small products: on a busy machine BLAS threads mostly wait for each other (docs/speed.md)
    with threadpool_limits(1, "blas"):
        for penalty, forecast in _path(kind, classes, parts, train.truth):
            loss = float(score(kind, forecast[0], validation.truth).mean())
            if best is None or loss < best[0]:
                full = np.full(shape, np.nan)
                full[usable] = forecast[1]
                best = loss, ShallowFit(full, penalty)
    assert best is not None
    return best[1]


def _path(kind: Kind, classes: int, parts: list[Singles], truth: Truth) -> Iterator[tuple[float, list[Floats]]]:
    """For each penalty the forecasts on validation and test; `parts` are training, validation and test features."""
    from sklearn.linear_model import LogisticRegression, Ridge

    train, *asked = parts
    if kind == "regression":
        for penalty in PENALTIES:
            ridge = Ridge(alpha=penalty * len(truth)).fit(train, truth)
            yield penalty, [np.asarray(ridge.predict(x), np.float64) for x in asked]
        return
    # a class without a training listing is no part of the fit and gets probability 0
    seen = np.unique(truth).astype(np.int64)
    if len(seen) == 1:
        yield PENALTIES[0], [np.tile(np.eye(classes)[seen[0]], (len(x), 1)) for x in asked]
        return
    model = LogisticRegression(warm_start=True, max_iter=1000)
    for penalty in PENALTIES:
        model.set_params(C=1 / (penalty * len(truth))).fit(train, truth)
        yield penalty, [_all_classes(model, x, seen, classes) for x in asked]


def _all_classes(model: Any, features: Singles, seen: NDArray[np.int64], classes: int) -> Floats:
    full = np.zeros((len(features), classes))
    if len(features):
        full[:, seen] = model.predict_proba(features)
    return full
