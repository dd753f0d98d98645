"""Numbers as the page shows them."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.report.numbers import Estimate, finite, interval, number, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.15077, "0.1508"),
        (0.999987, "0.999987"),
        (0.9999996, "0.9999996"),
        (0, "0"),
        (12345.6, "12,346"),
        (0.00001, "1e-05"),
        (None, "–"),
        (math.nan, "–"),
        (-math.inf, "–"),
    ],
)
def test_a_number_has_the_digits_that_a_reader_needs(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.15321, 0.14781, 0.15902, 9), "0.153 [0.148, 0.159]"),
        (Estimate(-0.0613, -0.0632, -0.0595), "-0.0613 [-0.0632, -0.0595]"),
        (Estimate(1500.4, 1321.0, 1702.0), "1,500 [1,321, 1,702]"),
        (Estimate(0.5), "0.5"),
        (Estimate(1.0, 1.0, 1.0), "1 [1, 1]"),
        (Estimate(None, 0.1, 0.2), "–"),
        (None, "–"),
    ],
)
def test_an_interval_has_the_decimals_that_its_width_supports(estimate, text):
    assert interval(estimate) == text


@given(st.floats(-400, 400), st.floats(1e-4, 300), st.floats(1e-4, 300))
def test_rounding_never_moves_an_end_by_more_than_a_twentieth_of_the_width(value, below, above):
    shown = interval(Estimate(value, value - below, value + above))
    numbers = [float(text) for text in re.findall(r"-?[\d.]+", shown)]
    assert numbers == pytest.approx([value, value - below, value + above], abs=0.0501 * (below + above))


def test_cells_that_hold_no_number_are_none():
    assert [finite(cell) for cell in ("", None, "nan", "inf", "0.5", 2)] == [None, None, None, None, 0.5, 2.0]


def test_a_digest_is_shortened_and_its_absence_is_shown():
    assert (short("a" * 64), short(None)) == ("a" * 12, "–")
