"""The split follows from the id alone."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.contract.split import bucket, split_of, splits_of


@pytest.mark.parametrize(("listing_id", "expected"), [("a", 9), ("listing-1", 7), ("42", 3)])
def test_the_vectors_of_the_contract(listing_id: str, expected: int) -> None:
    assert bucket(listing_id) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_bucket_is_the_last_decimal_digit_of_the_digest(listing_id: str) -> None:
    assert bucket(listing_id) == int(str(int(sha256(listing_id.encode()).hexdigest(), 16))[-1])


def test_bucket_0_tests_1_validates_the_rest_trains() -> None:
    assert [split_of(number) for number in range(10)] == ["test", "validation"] + ["train"] * 8


def test_about_a_tenth_is_test_and_a_tenth_validation() -> None:
    splits = splits_of(f"listing-{number}" for number in range(20_000))
    for held_out in ("test", "validation"):
        assert 0.09 < splits.count(held_out) / 20_000 < 0.11
