"""The ranker bundle is what its reader expects, for any models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.files import digest_folder, read_json
from shoplens.ranking.bundle import Served, write_bundle
from shoplens.ranking.modalities import MODALITIES, Modality
from shoplens.ranking.retrieval import candidates as retrieve
from shoplens.ranking.retrieval import inverted_index
from shoplens.ranking.scoring import candidates, load_ranker, score
from shoplens.ranking.text import tokenise
from shoplens.ranking.train import Weights

IDS = sorted(["a", "b/c", "häuschen", "listing-1", "listing-10", "日本"])
TITLES = ["sea view", "Sea pool", "Häuschen am Meer", "", "view view view", "海の家 pool"]
FEATURES, DIM = 12, 3
TOKENS = tokenise(pa.chunked_array([TITLES]), pa.chunked_array([[[] for _ in IDS]], pa.list_(pa.string())))
INDEX = inverted_index(TOKENS)


def weights(rng: np.random.Generator, modality: Modality) -> Weights:
    columns = np.flatnonzero(rng.random(FEATURES) < 0.5).astype(np.int32)
    if modality == "image":
        columns = columns[:0]
    image = np.empty(0) if modality == "text" else rng.normal(size=DIM)
    return Weights(columns, rng.normal(size=len(columns)).astype(np.float32), image.astype(np.float32))


def expected(model: tuple[Modality, Weights], text: np.ndarray, image: np.ndarray) -> np.ndarray:
    modality, found = model
    scores = text[:, found.columns] @ found.text.astype(float)
    return scores if modality == "text" else scores + image @ found.image.astype(float)


@settings(deadline=None)
@given(
    queries=st.lists(st.sampled_from(["sea view", "pool", "am meer", "海の家", "zzz"]), unique=True),
    modalities=st.lists(st.sampled_from(MODALITIES), min_size=6, max_size=6),
    seed=st.integers(0, 100),
)
def test_what_was_written_is_what_is_scored(
    tmp_path_factory: pytest.TempPathFactory, queries: list[str], modalities: list[Modality], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    text = (rng.random((len(IDS), FEATURES)) < 0.3).astype(np.float32)
    image = rng.normal(size=(len(IDS), DIM)).astype(np.float32)
    image[1] = 0
    own = {query: (kind, weights(rng, kind)) for query, kind in zip(sorted(queries), modalities, strict=False)}
    shared = (modalities[-1], weights(rng, modalities[-1]))
    served = Served("digest", own, ["few pairs"], *shared)
    folder = tmp_path_factory.mktemp("bundle") / "ranker"
    write_bundle(folder, served, IDS, scipy.sparse.csr_array(text), image, INDEX)
    ranker = load_ranker(folder)
    for query in [*own, "few pairs", "never seen"]:
        model = own.get(query, shared)
        answer = score(ranker, query, IDS)
        assert answer.scores == pytest.approx(expected(model, text, image), abs=1e-5)
        assert (answer.modality, answer.model) == (model[0], "own" if query in own else "global")
        assert candidates(ranker, query) == [IDS[row] for row in retrieve(INDEX, query)]
    assert set(read_json(folder / "queries.json")) == {*own, "few pairs"}


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    served = Served("digest", {"pool": ("multimodal", weights(rng, "multimodal"))}, [], "text", weights(rng, "text"))
    text = scipy.sparse.csr_array(np.eye(len(IDS), FEATURES, dtype=np.float32))
    for name in ("one", "two"):
        write_bundle(tmp_path / name, served, IDS, text, np.ones((len(IDS), DIM), np.float32), INDEX)
    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "two")
