"""Neighbours are exact and in order of (distance, row), whatever faiss does with ties and rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.retrieval import bits_apart, nearest, squared_distances

from shoplens.errors import ShoplensError
from shoplens.retrieval import search
from shoplens.retrieval.codes import pack_codes
from shoplens.retrieval.search import search_binary, search_float


@st.composite
def vectors(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Small whole numbers far from 0: ties everywhere, and float32's |q|^2 + |c|^2 - 2qc cannot tell them apart.

    faiss computes by that formula from 20 queries on.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, spread = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    corpus = rng.integers(0, spread, (draw(st.integers(1, 60)), width))
    queries = rng.integers(0, spread, (draw(st.sampled_from([0, 1, 19, 20, 25])), width))
    offset = draw(st.sampled_from([0, 1000, 2**20]))
    return (corpus + offset).astype(np.float32), (queries + offset).astype(np.float32)


@given(vectors(), st.sampled_from([1, 2, 5, 20, 70]))
@settings(deadline=None)
def test_float_search_equals_sorting_exact_distances(case: tuple[np.ndarray, np.ndarray], k: int) -> None:
    corpus, queries = case
    found = search_float(corpus, queries, k)
    exact = squared_distances(corpus, queries)
    assert found.rows.shape == found.distances.shape == (len(queries), min(k, len(corpus)))
    assert found.rows.tolist() == nearest(exact, k)
    assert found.distances.tolist() == [[exact[q][row] for row in rows] for q, rows in enumerate(found.rows.tolist())]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-22, 1.0, 1e17]))
@settings(max_examples=40, deadline=None)
def test_float_search_at_any_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    corpus, queries = ((rng.normal(size=(n, 5)) * scale).astype(np.float32) for n in (40, 22))
    exact = squared_distances(corpus, queries)
    found = search_float(corpus, queries, 2)
    assert found.rows.tolist() == nearest(exact, 2)
    for distances, row, all_distances in zip(found.distances, found.rows, exact, strict=True):
        assert distances == pytest.approx([float(all_distances[place]) for place in row], rel=1e-14, abs=0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 60), st.integers(0, 9), st.integers(1, 70))
@settings(deadline=None)
def test_binary_search_equals_sorting_numpys_bitwise_count(seed: int, width: int, n: int, asked: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    corpus, queries = (pack_codes(rng.normal(size=(count, width))) for count in (n, asked))
    exact = bits_apart(corpus, queries)
    found = search_binary(corpus, queries, k)
    assert found.rows.tolist() == nearest(exact, k)
    assert found.distances.tolist() == [[exact[q][row] for row in rows] for q, rows in enumerate(found.rows.tolist())]


def test_long_codes() -> None:
    rng = np.random.default_rng(0)
    corpus, queries = (pack_codes(rng.normal(size=(count, 2048))) for count in (500, 30))
    assert search_binary(corpus, queries, 20).rows.tolist() == nearest(bits_apart(corpus, queries), 20)


@pytest.mark.parametrize("k", [1, 20, 2000])
def test_equal_photos_come_in_order_of_rows_even_if_the_whole_corpus_is_one_photo(k: int) -> None:
    point = np.random.default_rng(0).random((1, 64), np.float32)
    corpus, queries = np.repeat(point, 1500, axis=0), np.random.default_rng(1).random((25, 64), np.float32)
    expected = np.tile(np.arange(min(k, 1500)), (25, 1))
    assert np.array_equal(search_float(corpus, queries, k).rows, expected)
    assert np.array_equal(search_binary(pack_codes(corpus), pack_codes(queries - 0.5), k).rows, expected)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_ties_are_decided_even_if_those_with_the_smallest_rows_are_nominated_last(k: int) -> None:
    distances = np.random.default_rng(4).integers(0, 4, (10, 50)).astype(float)
    latest = np.array([np.lexsort((-np.arange(50), row)) for row in distances])

    def nominate(rows: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = latest[rows, :depth]
        exact = np.take_along_axis(distances[rows], found, axis=1)
        return found, exact, exact[:, -1]

    assert search._search(nominate, 10, 50, k).rows.tolist() == nearest(distances.tolist(), k)


def test_a_query_in_many_small_batches_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    corpus, queries = (rng.integers(0, 3, (n, 4)).astype(np.float32) for n in (300, 50))
    codes = pack_codes(corpus - 1), pack_codes(queries - 1)
    whole = search_float(corpus, queries, 7), search_binary(*codes, 7)
    monkeypatch.setattr(search, "_NOMINEES", 40)
    monkeypatch.setattr(search, "_ELEMENTS", 12)
    for one, other in zip(whole, (search_float(corpus, queries, 7), search_binary(*codes, 7)), strict=True):
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.distances, other.distances)


def test_arrays_need_not_be_in_one_piece() -> None:
    values = np.random.default_rng(3).random((80, 32), np.float32)
    corpus, queries = values[::2, ::2], values[1::8, ::2]
    assert search_float(corpus, queries, 4).rows.tolist() == nearest(squared_distances(corpus, queries), 4)
    codes = pack_codes(values - 0.5)[:, ::2]
    assert search_binary(codes[::2], codes[1::8], 4).rows.tolist() == nearest(bits_apart(codes[::2], codes[1::8]), 4)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_an_empty_corpus_is_an_error_for_the_user(dtype: type) -> None:
    find = search_float if dtype is np.float32 else search_binary
    with pytest.raises(ShoplensError, match=r"no corpus to search: labels\.parquet"):
        find(np.zeros((0, 8), dtype), np.zeros((2, 8), dtype), 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e19])
def test_embeddings_that_have_no_distance_are_refused(value: float) -> None:
    broken = np.zeros((5, 4), np.float32)
    broken[3, 2] = value
    for corpus, queries in ((broken, np.zeros((1, 4), np.float32)), (np.zeros((1, 4), np.float32), broken)):
        with pytest.raises(ValueError, match="finite"):
            search_float(corpus, queries, 1)


def test_arguments_that_do_not_fit_are_refused() -> None:
    floats, codes = np.zeros((5, 4), np.float32), np.zeros((5, 4), np.uint8)
    with pytest.raises(ValueError, match="must be float32"):
        search_float(floats, floats.astype(np.float64), 1)
    with pytest.raises(ValueError, match="must be uint8"):
        search_binary(floats, codes, 1)
    with pytest.raises(ValueError, match=r"shape \(5, 4\) cannot be searched"):
        search_binary(codes, codes[:, :3], 1)
    with pytest.raises(ValueError, match="0 neighbours"):
        search_float(floats, floats, 0)
