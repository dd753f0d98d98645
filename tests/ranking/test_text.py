"""Bag of words equals CountVectorizer, segment by segment; one-hot columns exist for what training has seen."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles.ranking_text import Listing, bag_of_words_by_sets
from sklearn.feature_extraction.text import CountVectorizer

from shoplens.ranking import text
from shoplens.ranking.text import Tokens, bag_of_words, text_features, tokenise

TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("abC _-'\n\t\r 1ßΣσςİıéÉ中文\u0307\u200d😀")))
LISTINGS = st.lists(st.tuples(st.none() | TEXTS, st.none() | st.lists(st.none() | TEXTS, max_size=4)), max_size=6)


def columns(listings: list[Listing]) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    return (
        pa.chunked_array([[title for title, _ in listings]], pa.string()),
        pa.chunked_array([[tags for _, tags in listings]], pa.list_(pa.string())),
    )


def cut(listings: list[Listing]) -> Tokens:
    return tokenise(*columns(listings))


def bags(terms: pa.StringArray, matrix) -> list[list[str]]:
    return [[terms[int(column)].as_py() for column in matrix[[row]].indices] for row in range(matrix.shape[0])]


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["ΟΔΟΣ ΟΔΟΣ", "İx ıx", "a\nb c\x1cd", "ab\ncd", "\u0130\u0130", "x_1 __", "𝒜𝒷 ab"])
def test_titles_alone_give_what_count_vectorizer_gives(titles: list[str]) -> None:
    terms, matrix = bag_of_words(cut([(title, None) for title in titles]), np.arange(len(titles)))
    theirs = CountVectorizer(binary=True, ngram_range=(1, 2))
    try:
        expected = theirs.fit_transform(titles).toarray()
    except ValueError:  # scikit-learn's answer to texts without any word
        assert len(terms) == 0
        return
    assert terms.to_pylist() == theirs.get_feature_names_out().tolist()
    assert np.array_equal(matrix.toarray(), expected)


@settings(deadline=None)
@given(LISTINGS, st.data(), st.sampled_from([1, 2, 100]))
def test_a_listing_has_the_union_of_its_segments_over_the_known_vocabulary(listings, data, block: int) -> None:
    known = data.draw(st.lists(st.integers(0, len(listings) - 1))) if listings else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", block)
        terms, matrix = bag_of_words(cut(listings), np.array(known, dtype=np.int32))
    vocabulary, expected = bag_of_words_by_sets(listings, known)
    assert terms.to_pylist() == vocabulary
    assert matrix.shape == (len(listings), len(vocabulary))
    assert bags(terms, matrix) == expected, "also says that column indices ascend in a row"
    assert np.all(matrix.data == 1)


def test_no_bigram_crosses_from_title_to_tag_or_from_tag_to_tag() -> None:
    terms, _ = bag_of_words(cut([("Sea view", ["pool bar", "garden"])]), np.array([0]))
    assert terms.to_pylist() == ["bar", "garden", "pool", "pool bar", "sea", "sea view", "view"]


def test_columns_may_come_in_several_chunks() -> None:
    listings: list[Listing] = [("red desk", ["oak"]), ("lamp", ["red", "oak desk"]), (None, None), ("oak desk", [])]
    titles, tags = columns(listings)
    cut_up = [pa.chunked_array([c[:1].chunk(0), c[1:3].chunk(0), c[3:].chunk(0)]) for c in (titles, tags)]
    terms, matrix = bag_of_words(tokenise(*cut_up), np.arange(4))
    assert (terms.to_pylist(), bags(terms, matrix)) == bag_of_words_by_sets(listings, range(4))


def test_known_listings_and_their_shops_have_a_column_each() -> None:
    listings: list[Listing] = [("sea view", []), ("sea pool", []), ("", ["x"]), ("sea view", [])]
    shops = pa.chunked_array([["b", "c", "a", "b"]])
    features = text_features(cut(listings), shops, np.array([2, 0, 2], dtype=np.int32))
    assert features.dtype == np.float32
    # sea, sea view, view; listings 0 and 2; shops a and b
    assert features.toarray().tolist() == [
        [1, 1, 1, 1, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 0],
        [1, 1, 1, 0, 0, 0, 1],
    ]
    assert features.has_sorted_indices


def test_a_listing_has_text_if_a_word_of_two_letters_is_in_title_or_tags() -> None:
    tokens = cut([("sea view", []), ("", ["x"]), (None, None), (None, ["x", "pool"])])
    assert tokens.with_text().tolist() == [True, False, False, True]


def test_a_listing_without_shop_or_text_still_has_its_row() -> None:
    features = text_features(cut([(None, None)]), pa.chunked_array([[None]], pa.string()), np.array([0]))
    assert features.toarray().tolist() == [[1]]
