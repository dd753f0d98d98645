"""What the end-to-end tests drive and watch: a production of its own (registry, live server) and runs against it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shoplens.contract.store import PhotoStore
from shoplens.data.examples import BOX, read_examples
from shoplens.data.galleries import read_galleries
from shoplens.params import Params, read_params
from shoplens.promotion.registry import champion_version
from shoplens.retrieval.index import WHOLE
from shoplens.serving import live
from shoplens.serving.client import Box, embed_gallery, search
from shoplens.stages import BY_NAME, EVALUATED, Layout, run_stage

HERE = Path(__file__).parent
PARAMS = read_params(HERE / "small_world.yaml")
POLICY = HERE / "small_gate.yaml"
JUDGED = ("champion", "embed", *EVALUATED, "package", "gate", "report")
SHOWN, RESULTS = 4, 20


def changed(params: Params = PARAMS, **train: object) -> Params:
    """The parameters with other values in section train."""
    return params.model_copy(update={"train": params.train.model_copy(update=train)})


def run_stages(layout: Layout, params: Params, *names: str) -> None:
    """Run stages in this process, as the command line does."""
    for name in names:
        run_stage(name, {key: layout.path(key) for key in BY_NAME[name].inputs}, layout.path(name), params)


def decision_of(artifacts: Path) -> dict[str, Any]:
    """decision.json of a run."""
    found: dict[str, Any] = json.loads((artifacts / "gate" / "decision.json").read_text())
    return found


def baseline_of(artifacts: Path) -> str | None:
    """The version that a run was compared with."""
    found: str | None = json.loads((artifacts / "champion" / "champion.json").read_text())["version"]
    return found


@dataclass(frozen=True)
class Query:
    """A search of one image source's corpus: the query's unit, the photo's bytes and what of it is meant."""

    source: str
    unit: str
    photo: bytes
    box: Box


@dataclass(frozen=True)
class Shown:
    """What production is asked about: galleries (rows of the embeddings, and the photos' bytes) and searches."""

    rows: tuple[int, ...]
    photos: tuple[tuple[bytes, ...], ...]
    queries: tuple[Query, ...]


def shown_photos(layout: Layout) -> Shown:
    """The first test galleries, and the first query of each image source, as the files that a customer would send."""
    galleries, store = read_galleries(layout.path("prepare")), PhotoStore(layout.data)
    rows = np.flatnonzero(galleries.split == "test")[:SHOWN]
    photos = [[store.read(galleries.paths[i]) for i in galleries.photo_rows(np.array([row]))] for row in rows]
    return Shown(tuple(rows.tolist()), tuple(tuple(found) for found in photos), tuple(_first_queries(layout, store)))


def _first_queries(layout: Layout, store: PhotoStore) -> Iterator[Query]:
    examples = read_examples(layout.path("prepare"))
    assert examples is not None
    paths = dict(zip(examples["image_id"].to_pylist(), examples["path"].to_pylist(), strict=True))
    queries = pq.read_table(layout.path("evaluate-retrieval") / "queries.parquet")
    for source in sorted(set(queries["source"].to_pylist())):
        first = queries.filter(pc.equal(queries["source"], source)).slice(0, 1).to_pylist()[0]
        box = WHOLE if first["x0"] is None else tuple(first[side] for side in BOX)
        yield Query(source, first["query"], store.read(paths[first["image_id"]]), box)


def trained_answers(artifacts: Path, shown: Shown, model: str = "candidate") -> np.ndarray:
    """What the training path makes of the shown galleries, (SHOWN, D)."""
    index = pq.read_table(artifacts / "embed" / "listings.parquet")
    assert index["split"].take(list(shown.rows)).to_pylist() == ["test"] * SHOWN
    rows: np.ndarray = np.load(artifacts / "embed" / f"{model}.npy")[list(shown.rows)]
    return rows


def evaluated_distances(artifacts: Path, shown: Shown) -> np.ndarray:
    """How far the evaluation found the nearest codes from the shown queries, in bits, (sources, RESULTS)."""
    searched = ("query", "in", [query.unit for query in shown.queries])
    results = pq.read_table(
        artifacts / "evaluate-retrieval" / "results.parquet",
        filters=[("model", "=", "candidate"), ("kind", "=", "binary"), searched],
    )
    found = {(row["query"], row["rank"]): row["distance"] for row in results.to_pylist()}
    ranks = range(1, RESULTS + 1)
    return np.array([[found[query.unit, rank] for rank in ranks] for query in shown.queries])


@dataclass(frozen=True)
class Production:
    """A home folder of its own."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """For subprocesses: this home, and the tools beside the running Python."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        dropped = ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return kept | {"PATH": path, "SHOPLENS_HOME": str(self.home)}

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """For stages in this process: this home."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SHOPLENS_HOME", str(self.home))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            patch.delenv("DVC_EXP_NAME", raising=False)
            yield

    def call(self, *command: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command against this production."""
        words = [str(word) for word in command]
        environment = self.environment | more
        return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    def cli(self, layout: Layout, params: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`shoplens STAGE` on a run's folders."""
        places = ("--data", layout.data, "--policy", layout.policy, "--artifacts", layout.artifacts, "--params", params)
        return self.call("shoplens", *words, *places, **more)

    def alias(self) -> str | None:
        """The version that the registry's alias names."""
        with self.here():
            return champion_version(PARAMS.register_.model, PARAMS.register_.alias)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """`shoplens serve` in a process of its own, until the end of the block."""
        ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
        process = subprocess.Popen(["shoplens", "serve", *ports], env=self.environment)
        try:
            deadline = time.monotonic() + 120
            while self._url() is None:
                assert process.poll() is None, "shoplens serve ended"
                assert time.monotonic() < deadline, "shoplens serve does not answer"
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(60)

    def _url(self) -> str | None:
        with self.here():
            running = live.running_server()
            return running.url if running else None

    def answers(self, shown: Shown) -> np.ndarray:
        """What the live server makes of the shown galleries, (SHOWN, D)."""
        url = self._url()
        assert url is not None
        found = [embed_gallery(url, photos) for photos in shown.photos]
        assert [answer.corrupt for answer in found] == [0] * len(found)
        return np.stack([answer.embedding for answer in found])

    def distances(self, shown: Shown) -> np.ndarray:
        """How far the live server found the nearest codes from the shown queries, in bits, (sources, RESULTS)."""
        url = self._url()
        assert url is not None
        return np.stack([search(url, q.photo, q.source, RESULTS, q.box).distances for q in shown.queries])

    def take_cache(self, other: Production) -> Production:
        """Take over the frozen activations, which only save time."""
        shutil.copytree(other.home / "cache" / "frozen", self.home / "cache" / "frozen", dirs_exist_ok=True)
        return self


def check_searches(distances: np.ndarray, artifacts: Path, shown: Shown) -> None:
    """Searches were answered as the evaluation had them, but for a bit that rounding may turn."""
    assert np.abs(distances - evaluated_distances(artifacts, shown)).max() <= 1


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row."""
    found: np.ndarray = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return found
