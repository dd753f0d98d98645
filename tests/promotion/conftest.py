"""Small stage artifacts, made by hand, and a registry of their own for each test.

It is a real MLflow: on sqlite in the home folder, or (`on_every_registry`) a server on PostgreSQL and S3.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from ranking.tiny_ranker import small_plan, write_ranker
from stores.mlflow_server import MlflowServer

from shoplens.artifacts import write_artifact
from shoplens.evaluation.outcomes import outcome_rows, read_outcomes, summarise, write_outcomes
from shoplens.files import digest_json, write_json, write_text
from shoplens.params import RegisterParams
from shoplens.promotion.champion import champion
from shoplens.promotion.gate_stage import Evidence, gate
from shoplens.promotion.register import register
from shoplens.promotion.registry import champion_version
from shoplens.stages import EVALUATED

POLICY = """
version: 1
bootstrap: true
resamples: 300
rules:
  - {kind: floor, name: stars beat chance, metric: stars/rps, against: chance, at_least: 0.01}
  - {kind: non_inferiority, name: stars not worse, metric: stars/rps, margin: 0.01}
  - {kind: floor, name: served as trained, metric: package/served_cosine, at_least: 0.9999}
"""
N = 120
UNITS = [f"listing-{i:03}" for i in range(N)]
LOSSES = np.random.default_rng(0).normal(0.15, 0.03, N)


@dataclass(frozen=True)
class Run:
    """One run of the pipeline: a folder of artifacts made from a model of a given quality."""

    root: Path
    params: RegisterParams = field(default_factory=RegisterParams)

    def path(self, name: str) -> Path:
        return self.root / name

    @property
    def evidence(self) -> Evidence:
        names = ("prepare", "train", "champion", *EVALUATED, "package")
        return Evidence(self.path("gate.yaml"), *(self.path(name) for name in names))

    @property
    def named(self) -> dict[str, Path]:
        return {name.replace("-", "_"): path for name, path in self.evidence.named().items()}

    def train(self, weights: str, packaged: str = "1", ranker: int | None = None) -> "Run":
        """The stages up to package; `packaged` changes the package but not the weights, `ranker` seeds a ranker."""
        write_text(self.path("gate.yaml"), POLICY)
        data = self.path("data")
        write_text(data / "dataset.yaml", "name: tiny")
        with write_artifact(self.path("prepare"), "prepare", {"data": data}, {}) as folder:
            write_json(folder / "split.json", {"dataset": "homes", "hash": "split-1"})
        chain = {"data": data, "prepare": self.path("prepare")}
        with write_artifact(self.path("train"), "train", chain, {"seed": 1}) as folder:
            write_json(folder / "encoder" / "encoder.json", {"weights_digest": digest_json(weights)})
            write_text(folder / "encoder" / "encoder.safetensors", weights)
        chain["embed"] = self.path("train")
        with write_artifact(self.path("evaluate-ranking"), "evaluate-ranking", chain, {}) as folder:
            write_json(folder / "metrics.json", {"split": "split-1", "skipped": "no search log", "metrics": {}})
            if ranker is not None:
                write_ranker(folder / "ranker", small_plan(ranker), digest_json(weights))
        with write_artifact(self.path("evaluate-retrieval"), "evaluate-retrieval", chain, {}) as folder:
            write_json(folder / "metrics.json", {"split": "split-1", "skipped": "no sources", "metrics": {}})
        chain |= {"train": self.path("train"), "evaluate-ranking": self.path("evaluate-ranking")}
        with write_artifact(self.path("package"), "package", chain, {}) as folder:
            write_onnx(folder / "encoder.onnx")
            write_text(folder / "repository" / "embedded" / "gallery" / "config.pbtxt", f"# {weights} {packaged}")
            if ranker is not None:
                shutil.copytree(self.path("evaluate-ranking") / "ranker", folder / "repository" / "embedded" / "ranker")
            served = {"direction": "higher", "unit": "photo", "candidate": {"value": 0.99999}}
            write_json(folder / "metrics.json", {"split": "split-1", "metrics": {"package/served_cosine": served}})
        return self

    def compare(self) -> "Run":
        champion(train=self.path("train"), out=self.path("champion"), params=self.params)
        return self

    def evaluate(self, loss: float = 0.0, split: str = "split-1") -> "Run":
        """Evaluation artifacts in which the candidate is worse than the baseline by `loss`, and the gate's decision."""
        data, prepare, train = self.path("data"), self.path("prepare"), self.path("train")
        chain = {"data": data, "prepare": prepare, "embed": train}
        with write_artifact(self.path("evaluate-stars"), "evaluate-stars", chain, {"seed": 1}) as folder:
            tables = [
                outcome_rows("stars/rps", "candidate", UNITS, LOSSES + loss),
                outcome_rows("stars/rps", "chance", UNITS, LOSSES + 0.05),
            ]
            if (self.path("champion") / "encoder").exists():
                tables.append(outcome_rows("stars/rps", "baseline", UNITS, LOSSES))
            write_outcomes(folder / "outcomes.parquet", tables)
            outcomes = read_outcomes(folder / "outcomes.parquet")
            write_json(folder / "metrics.json", summarise(outcomes, {"stars/rps": "lower"}, split, resamples=100))
        chain |= {"train": train, "champion": self.path("champion")}
        with write_artifact(self.path("evaluate-tasks"), "evaluate-tasks", chain, {}) as folder:
            write_outcomes(folder / "outcomes.parquet", [outcome_rows("tasks/score", "candidate", UNITS, LOSSES)])
            outcomes = read_outcomes(folder / "outcomes.parquet")
            write_json(folder / "metrics.json", summarise(outcomes, {"tasks/score": "lower"}, "split-1", resamples=100))
        return self

    def search(self, gain: float, source: str = "shop", split: str = "split-1", embed: str = "train") -> "Run":
        """Retrieval's evaluation of one source, in which the candidate is better than the baseline by `gain`."""
        chain = {"data": self.path("data"), "prepare": self.path("prepare"), "embed": self.path(embed)}
        found = np.random.default_rng(3).random(N)
        values = {"candidate": found + gain, "chance": found - 0.3}
        if (self.path("champion") / "encoder").exists():
            values["baseline"] = found
        with write_artifact(self.path("evaluate-retrieval"), "evaluate-retrieval", chain, {}) as folder:
            slices = {"source": [source] * N}
            names = ("retrieval/score", f"retrieval/{source}_p_at_1")
            tables = [outcome_rows(name, model, UNITS, v, slices) for name in names for model, v in values.items()]
            write_outcomes(folder / "outcomes.parquet", tables)
            outcomes = read_outcomes(folder / "outcomes.parquet")
            directions = dict.fromkeys(names, "higher")
            write_json(folder / "metrics.json", summarise(outcomes, directions, split, unit="query", resamples=100))
        return self

    def decide(self) -> "Run":
        gate(**self.named, out=self.path("gate"))
        return self.report()

    def report(self) -> "Run":
        with write_artifact(self.path("report"), "report", {"gate": self.path("gate")}, {}) as folder:
            write_text(folder / "report.html", "<html></html>")
        return self

    def promote(self) -> "Run":
        inputs = self.named | {"gate": self.path("gate"), "report": self.path("report")}
        register(**inputs, out=self.path("register"), params=self.params)
        return self

    def ready(self, weights: str, loss: float = 0.0, packaged: str = "1", ranker: int | None = None) -> "Run":
        """Everything up to the registration."""
        return self.train(weights, packaged, ranker).compare().evaluate(loss).decide()

    def all(self, weights: str, loss: float = 0.0, packaged: str = "1", ranker: int | None = None) -> "Run":
        return self.ready(weights, loss, packaged, ranker).promote()

    @property
    def champion(self) -> str | None:
        return champion_version(self.params.model, self.params.alias)

    @property
    def ranker(self) -> str | None:
        return champion_version(self.params.ranker, self.params.alias)


def write_onnx(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["photos", 3]) for name in ("pixels", "embedding")
    }
    node = helper.make_node("Identity", ["pixels"], ["embedding"])
    graph = helper.make_graph([node], "tiny", [value["pixels"]], [value["embedding"]])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=opset), path)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty sqlite store to copy: creating one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert champion_version("nobody", "champion") is None
    return folder / "mlflow.db"


@pytest.fixture
def registry_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty registry of the test's own: a copy of the empty sqlite store, or a team's server, emptied."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("SHOPLENS_HOME", str(folder))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    if getattr(request, "param", "sqlite") == "sqlite":
        shutil.copy(request.getfixturevalue("empty_store"), folder / "mlflow.db")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        server: MlflowServer = request.getfixturevalue("team_mlflow")
        server.empty()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    return folder


@pytest.fixture
def run(registry_home: Path) -> Run:
    """A pipeline run against the test's registry."""
    return Run(registry_home.parent / "run")
