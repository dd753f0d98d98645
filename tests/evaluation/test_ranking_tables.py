"""The numbers of Table 1 that are its own: the Wilcoxon test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoplens.evaluation.ranking_tables import wilcoxon_p


def test_what_is_undefined_is_nan() -> None:
    nothing = np.empty(0)
    assert math.isnan(wilcoxon_p(nothing, nothing))
    assert math.isnan(wilcoxon_p(np.array([np.nan]), np.array([0.5])))


def test_wilcoxon_by_hand() -> None:
    """Five of five ranks positive: the most extreme of 2^5 sign patterns, on both sides."""
    text = np.full(5, 0.5)
    assert wilcoxon_p(text + np.arange(1, 6) / 100, text) == pytest.approx(2 / 32)
    assert wilcoxon_p(text, text) == 1.0
