"""The shallow head is scikit-learn's, its penalty chosen on validation; broken embeddings end as NaN."""

import numpy as np
import pytest
from oracles.evaluation import logistic_head, ridge_head

from shoplens.evaluation.shallow import PENALTIES, Hold, Kind, fit_shallow, score

SHAPES = [(200, 12), (60, 150)]  # more listings than features, and fewer


def listings(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of very different scales, and a number that some of them tell."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 8))
    features = hidden @ rng.normal(size=(8, width)) + 0.3 * rng.normal(size=(n, width))
    told = hidden[:, 0] - hidden[:, 1] + 0.7 * rng.normal(size=n)
    return (features * 10.0 ** rng.uniform(-2, 2, width) + 5).astype(np.float32), told


def classes_of(told: np.ndarray) -> np.ndarray:
    return np.digitize(told, [-1.5, 0.0, 1.0]).astype(np.int64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["ordinal", "nominal", "regression"])
def test_the_forecast_is_the_direct_fit_with_the_best_penalty_on_validation(kind: Kind, shape: tuple[int, int]) -> None:
    n = shape[0]
    features, told = listings(n + 200, shape[1])
    truth = told if kind == "regression" else classes_of(told)
    train, checked, tested = slice(0, n), slice(n, n + 100), slice(n + 100, None)
    fit = fit_shallow(
        kind, 4, Hold(features[train], truth[train]), Hold(features[checked], truth[checked]), features[tested]
    )
    head = ridge_head if kind == "regression" else logistic_head
    losses = {
        penalty: score(kind, head(features[train], truth[train], penalty, features[checked]), truth[checked]).mean()
        for penalty in PENALTIES
    }
    assert fit.penalty == min(losses, key=losses.__getitem__)
    assert fit.forecast == pytest.approx(head(features[train], truth[train], fit.penalty, features[tested]), abs=5e-3)


def test_scale_and_offset_of_a_feature_do_not_matter() -> None:
    features, told = listings(300, 10)
    truth = classes_of(told)

    def forecast(x: np.ndarray) -> np.ndarray:
        return fit_shallow("ordinal", 4, Hold(x[:150], truth[:150]), Hold(x[150:220], truth[150:220]), x[220:]).forecast

    changed = (features * np.array([3, -1, 0.5, 7, 1, 1, 2, -4, 1, 9]) - 2).astype(np.float32)
    assert forecast(changed) == pytest.approx(forecast(features), abs=5e-3)


def test_a_class_without_a_training_listing_has_probability_zero() -> None:
    features, told = listings(200, 6)
    truth = np.array([0, 1, 3])[np.digitize(told, [-1, 1])]
    fit = fit_shallow("nominal", 5, Hold(features[:100], truth[:100]), Hold(features[100:], truth[100:]), features)
    assert fit.forecast.sum(axis=1) == pytest.approx(1)
    assert not fit.forecast[:, [2, 4]].any()


def test_one_class_in_training_is_certain() -> None:
    features, _ = listings(20, 6)
    hold = Hold(features, np.full(20, 2, np.int64))
    assert (fit_shallow("ordinal", 3, hold, hold, features).forecast == [0, 0, 1]).all()


@pytest.mark.parametrize("kind", ["ordinal", "regression"])
def test_constant_embeddings_forecast_the_training_prior(kind: Kind) -> None:
    truth = np.array([0, 0, 0, 1, 1, 2]) if kind == "ordinal" else np.array([0.0, 1.0, 5.0, 2.0, 2.0, 2.0])
    hold = Hold(np.ones((6, 4), np.float32), truth)
    expected = [1 / 2, 1 / 3, 1 / 6] if kind == "ordinal" else 2.0
    assert fit_shallow(kind, 3, hold, hold, np.ones((2, 4), np.float32)).forecast == pytest.approx(
        np.broadcast_to(expected, (2, 3) if kind == "ordinal" else (2,)), abs=1e-3
    )


@pytest.mark.parametrize("kind", ["ordinal", "nominal", "regression"])
@pytest.mark.parametrize(("broken", "value"), [("train", np.nan), ("validation", np.inf)])
def test_a_diverged_models_forecasts_are_nan(kind: Kind, broken: str, value: float) -> None:
    features, told = listings(90, 5)
    truth = told if kind == "regression" else classes_of(told)
    parts = {name: features[i : i + 30].copy() for name, i in (("train", 0), ("validation", 30), ("test", 60))}
    parts[broken][3, 2] = value
    hold = {name: Hold(parts[name], truth[i : i + 30]) for name, i in (("train", 0), ("validation", 30))}
    fit = fit_shallow(kind, 4, hold["train"], hold["validation"], parts["test"])
    assert fit.forecast.shape == ((30,) if kind == "regression" else (30, 4))
    assert np.isnan(fit.forecast).all()
    assert np.isnan(fit.penalty)


def test_a_broken_test_embedding_spoils_only_its_own_forecast() -> None:
    features, told = listings(90, 5)
    truth = classes_of(told)
    broken = features[60:].copy()
    broken[7, 0] = np.nan
    train, checked = Hold(features[:30], truth[:30]), Hold(features[30:60], truth[30:60])
    whole = fit_shallow("ordinal", 4, train, checked, features[60:]).forecast
    found = fit_shallow("ordinal", 4, train, checked, broken).forecast
    assert np.isnan(found[7]).all()
    assert np.delete(found, 7, axis=0) == pytest.approx(np.delete(whole, 7, axis=0))


def test_no_usable_test_embedding_is_no_crash() -> None:
    features, told = listings(60, 5)
    hold = Hold(features, classes_of(told))
    assert np.isnan(fit_shallow("ordinal", 4, hold, hold, np.full((3, 5), np.nan, np.float32)).forecast).all()
