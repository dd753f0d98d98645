"""The index that serves visual search finds exactly what the evaluation's search finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.files import digest_folder, read_json, write_json
from shoplens.retrieval.index import WHOLE, Corpus, hamming, load_index, nearest
from shoplens.retrieval.search import search_binary
from shoplens.serving.search_bundle import texts_of, write_index


def corpus_of(codes: np.ndarray) -> Corpus:
    names = texts_of([f"photo-{row}" for row in range(len(codes))])
    return Corpus(codes, np.tile(WHOLE, (len(codes), 1)), names, texts_of([""] * len(codes)))


@settings(deadline=None)
@given(rows=st.integers(1, 40), width=st.integers(1, 20), values=st.integers(1, 255), seed=st.integers(0, 999))
def test_distances_are_the_bits_that_differ(rows: int, width: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, code = rng.integers(0, values + 1, (rows, width), np.uint8), rng.integers(0, values + 1, width, np.uint8)
    np.testing.assert_array_equal(hamming(codes, code), np.bitwise_count(codes ^ code).sum(axis=1))


def test_a_corpus_of_several_pieces_is_compared_whole() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (2500, 9), np.uint8)
    np.testing.assert_array_equal(hamming(codes, codes[7]), np.bitwise_count(codes ^ codes[7]).sum(axis=1))


@settings(deadline=None)
@given(rows=st.integers(1, 60), k=st.integers(1, 70), values=st.integers(1, 8), seed=st.integers(0, 999))
def test_nearest_is_the_search_of_the_evaluation_ties_included(rows: int, k: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, code = rng.integers(0, values, (rows, 3), np.uint8), rng.integers(0, values, 3, np.uint8)
    wanted = search_binary(codes, code[None], k)
    found, distances = nearest(corpus_of(codes), code, k)
    assert found.tolist() == wanted.rows[0].tolist()
    assert distances.tolist() == wanted.distances[0].tolist()


def test_a_code_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"code of shape \(3,\) cannot be compared with codes of shape \(2, 2\)"):
        nearest(corpus_of(np.zeros((2, 2), np.uint8)), np.zeros(3, np.uint8), 1)


def test_a_bundle_is_read_as_it_was_written_whatever_the_texts(tmp_path: Path) -> None:
    names = ["", "a\x00", "a\x00\x00", "b" * 300, "ä/東京"]
    boxes = np.linspace(0, 1, 20).reshape(5, 4)
    codes = np.arange(10, dtype=np.uint8).reshape(5, 2)
    written = {
        "shop the look/ä": Corpus(codes, boxes, texts_of(names), texts_of(["x", "", "lamp + vase", "", ""])),
        "lens": corpus_of(codes[:1]),
    }
    write_index(tmp_path / "search", 13, "weights", written)
    index = load_index(tmp_path / "search")
    assert index.width == 13
    assert list(index.corpora) == list(written)
    corpus = index.corpora["shop the look/ä"]
    rows = np.array([4, 0, 2, 1, 3])
    assert [text.decode() for text in corpus.image_ids[rows]] == [names[row] for row in rows]
    assert corpus.labels[rows] == [b"", b"x", b"lamp + vase", b"", b""]
    np.testing.assert_array_equal(corpus.boxes, boxes)
    np.testing.assert_array_equal(corpus.codes, codes)
    assert index.corpora["lens"].labels[np.array([0])] == [b""]

    write_index(tmp_path / "again", 13, "weights", written)
    assert digest_folder(tmp_path / "again") == digest_folder(tmp_path / "search")


def test_a_bundle_of_another_format_is_refused(tmp_path: Path) -> None:
    write_index(tmp_path / "search", 8, "weights", {"lens": corpus_of(np.zeros((1, 1), np.uint8))})
    write_json(tmp_path / "search" / "index.json", read_json(tmp_path / "search" / "index.json") | {"format": 2})
    with pytest.raises(ValueError, match="format 2, not 1: package the encoder again"):
        load_index(tmp_path / "search")
