"""The numbers of Table 1: lift with its interval, and the Wilcoxon test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shoplens.evaluation.ranking_tables import lift_interval, wilcoxon_p

NDCG = arrays.arrays(np.float64, st.integers(2, 20), elements=st.floats(0.1, 1.0))
OPTIONS = {"resamples": 400, "seed": 3}


@given(NDCG, st.floats(0.5, 2.0))
def test_the_same_change_of_every_query_is_the_lift_without_doubt(text: np.ndarray, factor: float) -> None:
    assert lift_interval(factor * text, text, **OPTIONS) == pytest.approx([100 * (factor - 1)] * 3, abs=1e-9)


def test_the_bounds_are_those_of_all_resamples() -> None:
    """Three queries can be drawn in 27 ways, each as likely."""
    text, values = np.array([0.5, 0.6, 0.9]), np.array([0.6, 0.6, 0.85])
    ways = [list(way) for way in itertools.product(range(3), repeat=3)]
    lifts = np.sort([100 * (values[way].mean() / text[way].mean() - 1) for way in ways])
    lift, low, high = lift_interval(values, text, resamples=20_000, seed=0)
    assert lift == pytest.approx(100 * (values.mean() / text.mean() - 1))
    assert (low, high) == pytest.approx(tuple(np.quantile(lifts, [0.025, 0.975], method="inverted_cdf")), abs=0.05)


def test_queries_are_drawn_in_pairs() -> None:
    """Drawn apart, queries as different as these would drown a change that all of them have."""
    text = np.linspace(0.1, 0.9, 30)
    _, low, high = lift_interval(text + 0.01, text, **OPTIONS)
    assert 0 < low < high < 4


def test_what_is_undefined_is_nan() -> None:
    nothing = np.empty(0)
    assert np.isnan(lift_interval(nothing, nothing, **OPTIONS)).all()
    assert np.isnan(lift_interval(np.array([np.nan, 0.5]), np.array([0.5, 0.5]), **OPTIONS)).all()
    lift, low, high = lift_interval(np.array([0.6]), np.array([0.5]), **OPTIONS)
    assert lift == pytest.approx(20)
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(wilcoxon_p(nothing, nothing))
    assert math.isnan(wilcoxon_p(np.array([np.nan]), np.array([0.5])))


def test_wilcoxon_by_hand() -> None:
    """Five of five ranks positive: the most extreme of 2^5 sign patterns, on both sides."""
    text = np.full(5, 0.5)
    assert wilcoxon_p(text + np.arange(1, 6) / 100, text) == pytest.approx(2 / 32)
    assert wilcoxon_p(text, text) == 1.0
