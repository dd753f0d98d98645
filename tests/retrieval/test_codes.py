"""Codes are the signs of the activations, packed in NumPy's order; their size and the density of their bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shoplens.retrieval.codes import bit_density, pack_codes

activations = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 5), st.integers(1, 40)), elements=st.floats(-2, 2, width=32)
)


@given(activations)
def test_a_bit_is_one_where_the_activation_is_above_zero(values: np.ndarray) -> None:
    codes = pack_codes(values)
    assert codes.dtype == np.uint8
    for row, code in zip(values.tolist(), codes.tolist(), strict=True):
        text = "".join(f"{byte:08b}" for byte in code)
        assert text == "".join("1" if value > 0 else "0" for value in row).ljust(len(text), "0")


def test_dimension_0_is_the_highest_bit_of_the_first_byte() -> None:
    values = np.full((1, 16), -1.0, np.float32)
    values[0, [0, 15]] = 1
    assert pack_codes(values).tolist() == [[0b10000000, 0b00000001]]


def test_a_code_takes_one_32nd_of_float32() -> None:
    values = np.zeros((3, 2048), np.float32)
    assert pack_codes(values).nbytes * 32 == values.nbytes


def test_an_activation_that_is_nan_has_no_code() -> None:
    values = np.zeros((5000, 8), np.float32)
    values[4999, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pack_codes(values)


@given(activations.filter(len))
def test_bit_density_is_the_share_of_positive_activations_of_each_dimension(values: np.ndarray) -> None:
    found = bit_density(pack_codes(values), values.shape[1])
    assert found == pytest.approx((values > 0).mean(axis=0, dtype=np.float64), abs=1e-15)


def test_more_codes_than_are_unpacked_at_a_time() -> None:
    values = np.random.default_rng(0).normal(size=(9001, 12)).astype(np.float32)
    codes = pack_codes(values)
    assert np.array_equal(codes, np.packbits(values > 0, axis=1))
    assert bit_density(codes, 12) == pytest.approx((values > 0).mean(axis=0), abs=1e-15)


@pytest.mark.parametrize(("codes", "width"), [((0, 2), 16), ((3, 2), 17), ((3, 2), 8)])
def test_codes_that_have_no_density_are_refused(codes: tuple[int, int], width: int) -> None:
    with pytest.raises(ValueError, match="no bit density"):
        bit_density(np.zeros(codes, np.uint8), width)
