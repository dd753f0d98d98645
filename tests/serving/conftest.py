"""Packages made from tiny encoders, a home folder for what they serve, and stores of live repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ranking.tiny_ranker import QUERIES, small_plan, write_ranker
from ranking.tiny_ranker import expected as trained_score
from serving.tiny import SIZE, TinyEncoder, make_photo, training_code, training_path
from serving.tiny_search import some_corpora, some_searches
from stores.s3 import s3 as fake_s3

from shoplens.artifacts import write_artifact
from shoplens.serving.examples import (
    Gallery,
    Ranking,
    write_embeddings,
    write_examples,
    write_rankings,
    write_searches,
)
from shoplens.serving.package import write_models
from shoplens.serving.search_bundle import write_index
from shoplens.serving.store import S3Store, Store, open_store


@pytest.fixture(scope="session")
def galleries() -> list[Gallery]:
    return [
        Gallery(f"listing-{n}", [make_photo(10 * n + k, 160 + 20 * k, 120) for k in range(2 + n)]) for n in range(3)
    ]


MakePackage = Callable[..., Path]


@pytest.fixture(scope="session")
def make_package(tmp_path_factory: pytest.TempPathFactory, galleries: list[Gallery]) -> MakePackage:
    """Package a tiny encoder, once a seed, without the trial.

    `lie` claims answers that are not the encoder's, `ranker` is the seed of a ranker, if there is to be one, `search`
    adds visual search.
    """
    made: dict[tuple[int, bool, int | None, bool], Path] = {}

    def make(seed: int, lie: bool = False, ranker: int | None = None, search: bool = False) -> Path:
        key = (seed, lie, ranker, search)
        if key not in made:
            encoder = TinyEncoder(seed).eval()
            out = tmp_path_factory.mktemp("package") / "package"
            expected, codes = (
                np.stack([path(encoder, gallery.photos, SIZE) for gallery in galleries])
                for path in (training_path, training_code)
            )
            with write_artifact(out, "package", {}, {"seed": seed}) as folder:
                names = [[f"images/{k}.jpg" for k in range(len(gallery.photos))] for gallery in galleries]
                write_examples(folder / "examples", galleries, names)
                write_embeddings(folder / "examples", "served", expected[:, ::-1] if lie else expected, codes)
                weights, bundle, index = f"weights-{seed}", None, None
                if ranker is not None:
                    plan = small_plan(ranker)
                    bundle = write_ranker(tmp_path_factory.mktemp("ranker") / "ranker", plan, weights)
                    ids = list(plan.titles)
                    scores = {query: [trained_score(plan, query, listing) for listing in ids] for query in QUERIES}
                    rankings = [Ranking(query, ids, found, found) for query, found in scores.items()]
                    write_rankings(folder / "examples", rankings)
                if search:
                    index, corpora = tmp_path_factory.mktemp("search") / "search", some_corpora()
                    write_index(index, 16, weights, corpora)
                    searches = some_searches(encoder, corpora)
                    write_searches(folder / "examples", searches, ["query.jpg"] * len(searches))
                write_models(
                    folder,
                    encoder,
                    size=SIZE,
                    short_side=None,
                    dim=16,
                    weights=weights,
                    ranker=bundle,
                    search=index,
                )
            made[key] = out
        return made[key]

    return make


@pytest.fixture
def live_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own, outside DVC experiments."""
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def s3_root() -> Iterator[S3Store]:
    """A bucket of the fake."""
    with fake_s3() as server, pytest.MonkeyPatch.context() as patch:
        server.create("models")
        for name, value in (server.environment | {"AWS_ENDPOINT_URL": server.endpoint}).items():
            patch.setenv(name, value)
        found = open_store("s3://models")
        patch.undo()
        assert isinstance(found, S3Store)
        yield found


@pytest.fixture
def s3(s3_root: S3Store, tmp_path: Path) -> S3Store:
    """A prefix of its own."""
    return replace(s3_root, prefix=f"{tmp_path.name}/serving")


@pytest.fixture(params=["folder", "s3"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return request.getfixturevalue("s3")  # type: ignore[no-any-return]
    (tmp_path / "volume").mkdir()
    return open_store(str(tmp_path / "volume"))
