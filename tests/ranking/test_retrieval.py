"""Candidates are the listings that share a word with the query, found without reading them."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.ranking_text import Listing, candidates_by_reading

from shoplens.ranking.retrieval import InvertedIndex, candidates, inverted_index
from shoplens.ranking.text import tokenise

WORDS = st.lists(st.sampled_from(["sea", "SEA", "view", "pool", "Straße", "œuvre", "a", "x1", "!"]), max_size=4)
PHRASES = WORDS.map(" ".join)


def index(listings: list[Listing]) -> InvertedIndex:
    titles = pa.chunked_array([[title for title, _ in listings]], pa.string())
    return inverted_index(tokenise(titles, pa.chunked_array([[tags for _, tags in listings]], pa.list_(pa.string()))))


@settings(deadline=None)
@given(st.lists(st.tuples(PHRASES, st.lists(PHRASES, max_size=3)), max_size=6), PHRASES)
def test_candidates_are_those_found_by_reading_every_listing(listings, query: str) -> None:
    found = candidates(index(listings), query)
    assert found.dtype == np.int32
    assert found.tolist() == candidates_by_reading(listings, query)


def test_an_endless_word_is_no_term_and_widens_none() -> None:
    long, longest = "x" * 255, "y" * 256
    built = index([(f"{longest} sea", []), (f"{long} sea", ["pool"])])
    assert built.terms.to_pylist() == ["pool", "sea", long]
    assert candidates(built, "sea").tolist() == [0, 1]
    assert candidates(built, f"pool {longest}").tolist() == [1]
    assert candidates(built, long).tolist() == [1]


def test_terms_ascend_and_each_one_lists_its_listings_once_and_in_order() -> None:
    built = index([("desk red desk", ["desk"]), ("oak", []), ("red", ["oak desk"])])
    spans = zip(built.indptr[:-1], built.indptr[1:], strict=True)
    lists = [built.listings[low:high].tolist() for low, high in spans]
    assert dict(zip(built.terms.to_pylist(), lists, strict=True)) == {"desk": [0, 2], "oak": [1, 2], "red": [0, 2]}
    assert built.terms.to_pylist() == ["desk", "oak", "red"]
