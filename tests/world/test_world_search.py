"""The demo's own search engine: retrieval by words, pages, FairPairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.world.search import PAGE, RANDOMISED, Texts, fair_pairs, order_pages, standing, words_of

TEXTS = Texts(
    ["Our villa in Puerto Sol with sea view", "Barn house", "The Café in Ñu", ""],
    [("sea view", "bar"), ("mountain", "view of trees"), (), ("pool",)],
)


def test_words_have_two_letters_and_lower_case() -> None:
    assert words_of("A Café, 2 bars & ÉTÉ-20") == ["café", "bars", "été", "20"]


@pytest.mark.parametrize(
    ("query", "rows"),
    [("sea view", [0, 1]), ("BAR", [0]), ("café", [2]), ("nothing here", []), ("a", []), ("pool villa", [0, 3])],
)
def test_a_listing_is_retrieved_by_any_word_of_title_or_tags(query: str, rows: list[int]) -> None:
    assert TEXTS.retrieve(query).tolist() == rows


@pytest.mark.parametrize(
    ("phrase", "rows"),
    [("sea view", [0]), ("bar", [0]), ("mountain view", []), ("villa in Puerto", [0]), ("view", [0, 1])],
)
def test_a_phrase_is_said_word_for_word_within_one_field(phrase: str, rows: list[int]) -> None:
    assert np.flatnonzero(TEXTS.mentions(phrase)).tolist() == rows


def test_what_mentions_more_wishes_or_is_more_popular_stands_higher() -> None:
    rng = np.random.default_rng(1)
    matched = rng.integers(0, 3, 4000)
    popularity = rng.standard_normal(4000)
    stands = standing(rng, matched, popularity)
    assert np.corrcoef(stands, matched)[0, 1] > 0.5
    assert np.corrcoef(stands, popularity)[0, 1] > 0.2


def test_pages_differ_from_session_to_session_but_have_the_same_favourites() -> None:
    rng = np.random.default_rng(2)
    stands = rng.standard_normal(1000)
    pages = order_pages(rng, stands, 300)
    assert pages.shape == (300, PAGE)
    assert all(len(set(page)) == PAGE for page in pages.tolist())
    shown = np.bincount(pages.ravel(), minlength=1000)
    assert 50 < (shown > 0).sum() < 400
    assert np.corrcoef(shown, stands)[0, 1] > 0.3


def test_a_query_with_few_candidates_has_a_short_page() -> None:
    assert order_pages(np.random.default_rng(3), np.array([0.3]), 5).tolist() == [[0]] * 5


@given(sessions=st.integers(1, 8), length=st.integers(1, PAGE), seed=st.integers(0, 2**32))
def test_fair_pairs_swap_neighbours_and_number_them(sessions: int, length: int, seed: int) -> None:
    pages = np.arange(sessions * length).reshape(sessions, length)
    shown, pair = fair_pairs(np.random.default_rng(seed), pages)
    for before, after, numbers in zip(pages.tolist(), shown.tolist(), pair.tolist(), strict=True):
        assert sorted(after) == before
        for number in set(numbers) - {-1}:
            places = [place for place, value in enumerate(numbers) if value == number]
            assert len(places) == 2 and places[1] == places[0] + 1
            assert {before[place] for place in places} == {after[place] for place in places}
        for place, number in enumerate(numbers):
            assert number > 0 or (number == -1 and before[place] == after[place])


def test_half_of_the_pairs_are_swapped_and_every_place_can_be_first_of_a_pair() -> None:
    pages = np.tile(np.arange(10), (6000, 1))
    shown, pair = fair_pairs(np.random.default_rng(4), pages)
    paired = pair > 0
    assert abs((shown != pages)[paired].mean() - 0.5) < 0.01
    assert abs(paired.any(axis=1).mean() - RANDOMISED) < 0.02
    first = paired[:, :-1] & (pair[:, :-1] == pair[:, 1:])
    assert np.allclose(first.mean(axis=0), RANDOMISED / 2, atol=0.03)
