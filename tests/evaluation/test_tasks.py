"""Training tasks on the test listings: aligned classes, losses that compare across tasks, and the stage's outcomes."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from evaluation.hand_made import split_of_rows, write_data, write_embed, write_prepare
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from shoplens.artifacts import write_artifact
from shoplens.data.tasks import Task
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import read_outcomes
from shoplens.evaluation.tasks import (
    Forecast,
    aligned,
    evaluate_tasks,
    forecasts_of,
    normalised_loss,
    prior_forecast,
)
from shoplens.files import read_json, write_json
from shoplens.models.bundle import save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.params import EvaluateTasksParams

N, DIM = 200, 4
SCENES = ("beach", "city", "forest")
PARAMS = EvaluateTasksParams(resamples=200)
KINDS = (("pool", "binary"), ("scene", "multiclass"), ("price", "regression"))
HOLDOUT = {"name": "stars", "kind": "multiclass", "levels": ["1", "2"]}


def test_classes_that_a_model_does_not_know_get_probability_zero() -> None:
    forecast = Forecast(("city", "beach", "desert"), np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0]]))
    assert aligned(forecast, ("beach", "city", "forest")).tolist() == [[0.3, 0.5, 0.0], [0.9, 0.1, 0.0]]
    assert aligned(forecast, forecast.classes) is forecast.values


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8))
def test_the_normalised_loss_of_the_prior_is_one_in_expectation(weights: list[float]) -> None:
    prior = np.array(weights) / sum(weights)
    kind = "binary" if len(prior) == 2 else "multiclass"
    classes = () if kind == "binary" else tuple("abcdefgh"[: len(prior)])
    task = Task(name="t", kind=kind, n=9, classes=classes, prior=tuple(prior.tolist()))
    forecast = prior_forecast(task, len(prior)).values
    losses = normalised_loss(task, forecast, np.arange(len(prior)))
    assert float(prior @ losses) == pytest.approx(1)


@given(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=50, unique=True))
def test_the_normalised_loss_of_the_mean_is_one_over_the_training_labels(values: list[float]) -> None:
    labels = np.array(values)
    assume(labels.var(ddof=1) >= np.finfo(np.float32).tiny)  # others are no task, see data.tasks
    task = Task(name="t", kind="regression", n=len(labels), mean=labels.mean(), variance=labels.var(ddof=1))
    losses = normalised_loss(task, prior_forecast(task, len(labels)).values, labels)
    assert losses.sum() / (len(labels) - 1) == pytest.approx(1)


def test_the_normalised_loss_is_the_brier_skill_scores_complement() -> None:
    rng = np.random.default_rng(0)
    task = Task(name="t", kind="multiclass", n=9, classes=SCENES, prior=(0.2, 0.3, 0.5))
    probabilities, truth = rng.dirichlet([1, 1, 1], 50), rng.integers(0, 3, 50)
    brier = metrics.brier_score_loss(truth, probabilities, labels=[0, 1, 2], scale_by_half=False)
    assert normalised_loss(task, probabilities, truth).mean() == pytest.approx(brier / (1 - 0.04 - 0.09 - 0.25))


def test_one_confident_miss_is_bounded() -> None:
    task = Task(name="t", kind="binary", n=9, prior=(0.5, 0.5))
    assert normalised_loss(task, np.array([[1.0, 0.0]]), np.array([1])).tolist() == [4.0]


def tasks_of(scenes: tuple[str, ...] = SCENES) -> list[Task]:
    shares = tuple((np.arange(len(scenes)) + 1.0) / (np.arange(len(scenes)) + 1.0).sum())
    return [
        Task(name="pool", kind="binary", n=120, prior=(0.75, 0.25)),
        Task(name="scene", kind="multiclass", n=120, classes=scenes, prior=shares),
        Task(name="price", kind="regression", n=120, mean=50.0, variance=400.0),
    ]


def encoder() -> PhotoEncoder:
    return PhotoEncoder(
        EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=9, transform=Transform(size=32), embedding_dim=DIM)
    )


class Run:
    """A folder with all that stage evaluate-tasks reads: trained heads, a baseline's, embeddings; and what it wrote."""

    def __init__(self, root: Path, heads: Mapping[str, TaskHeads], embeddings: Mapping[str, np.ndarray]) -> None:
        rng = np.random.default_rng(3)
        self.pool, self.scene = rng.random(N) < 0.4, rng.integers(0, 4, N)
        self.price, self.known = rng.normal(50, 20, N), rng.random(N) < 0.7
        self.split = split_of_rows(N)
        labels = {
            "pool": pa.array(self.pool, mask=~self.known),
            "scene": pa.array(np.array([*SCENES, "moon"])[self.scene], pa.string()),  # no head knows the moon
            "price": pa.array(self.price),
            "stars": pa.nulls(N, pa.string()),
        }
        self.data = write_data(root / "data", labels, HOLDOUT, KINDS)
        self.prepare = write_prepare(self.data, root / "prepare")
        self.train, self.champion, self.embed, self.out = (root / x for x in ("train", "champion", "embed", "out"))
        with write_artifact(self.train, "train", {"data": self.data, "prepare": self.prepare}, {}) as folder:
            save_bundle(folder / "encoder", encoder(), heads["candidate"], 8)
        with write_artifact(self.champion, "champion", {"train": self.train}, {}) as folder:
            write_json(folder / "champion.json", {"version": "1" if "baseline" in heads else None})
            if "baseline" in heads:
                save_bundle(folder / "encoder", encoder(), heads["baseline"], 8)
        write_embed(self.inputs, self.embed, self.split, embeddings)

    @property
    def inputs(self) -> dict[str, Path]:
        return {"data": self.data, "prepare": self.prepare, "train": self.train, "champion": self.champion}

    @property
    def test(self) -> np.ndarray:
        return self.split == "test"

    def go(self) -> "Run":
        evaluate_tasks(**self.inputs, embed=self.embed, out=self.out, params=PARAMS)
        return self

    @property
    def outcomes(self) -> Any:
        return read_outcomes(self.out / "outcomes.parquet")

    @property
    def table(self) -> dict[tuple[str, str], dict[str, str]]:
        with (self.out / "tasks.csv").open() as handle:
            return {(row["task"], row["model"]): row for row in csv.DictReader(handle)}


def embeddings(seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, DIM)).astype(np.float32)


def heads_of(scenes: tuple[str, ...] = SCENES, seed: int = 0) -> TaskHeads:
    torch.manual_seed(seed)
    return TaskHeads(tasks_of(scenes), DIM, 8)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Candidate and baseline; the baseline learned the scenes city, beach and desert."""
    heads = {"candidate": heads_of(), "baseline": heads_of(("beach", "city", "desert"), seed=1)}
    return Run(tmp_path, heads, {"candidate": embeddings(), "baseline": embeddings(8), "reference": embeddings()})


def test_outcomes_are_the_heads_answers_against_the_labels(run: Run) -> None:
    outcomes, chosen = run.go().outcomes, np.flatnonzero(run.test)
    with torch.inference_mode():
        logits = heads_of()(torch.from_numpy(embeddings()[chosen]))
    scenes = outcomes["tasks/scene"]["candidate"]
    assert scenes.units.tolist() == [f"L{i:04d}" for i in chosen]
    assert scenes.values.tolist() == (logits["scene"].argmax(1).numpy() == run.scene[chosen]).tolist()
    assert outcomes["tasks/price"]["candidate"].values == pytest.approx(
        np.square(logits["price"].numpy() - run.price[chosen]), rel=1e-4
    )
    known = run.known[chosen]
    pools = outcomes["tasks/pool"]["candidate"]
    assert pools.units.tolist() == [f"L{i:04d}" for i in chosen[known]]
    assert pools.values.tolist() == ((logits["pool"].numpy() > 0) == run.pool[chosen])[known].tolist()
    assert pools.slices["market"].tolist() == [["north", "south"][i % 2] for i in chosen[known]]


def test_the_table_holds_sklearns_auc_and_the_root_of_the_mean_square(run: Run) -> None:
    table, chosen = run.go().table, np.flatnonzero(run.test & run.known)
    with torch.inference_mode():
        logits = heads_of()(torch.from_numpy(embeddings()))
    row = table["pool", "candidate"]
    assert float(row["auc"]) == pytest.approx(metrics.roc_auc_score(run.pool[chosen], logits["pool"].numpy()[chosen]))
    assert float(row["auc_low"]) < float(row["auc"]) < float(row["auc_high"])
    assert table["pool", "chance"]["auc"] == ""
    price = metrics.root_mean_squared_error(run.price[run.test], logits["price"].numpy()[run.test])
    assert float(table["price", "candidate"]["value"]) == pytest.approx(price, rel=1e-4)
    assert {row["metric"] for row in table.values()} == {"accuracy", "rmse"}


def test_chance_is_the_majority_class_and_the_mean(run: Run) -> None:
    table = run.go().table
    assert float(table["pool", "chance"]["value"]) == pytest.approx(np.mean(~run.pool[run.test & run.known]))
    assert float(table["scene", "chance"]["value"]) == pytest.approx(np.mean(run.scene[run.test] == 2))
    assert float(table["price", "chance"]["value"]) == pytest.approx(np.sqrt(np.mean((run.price[run.test] - 50) ** 2)))


def test_a_baseline_with_other_classes_is_judged_on_the_candidates(run: Run) -> None:
    found = run.go().outcomes["tasks/scene"]["baseline"].values
    with torch.inference_mode():
        logits = heads_of(("beach", "city", "desert"), seed=1)(torch.from_numpy(embeddings(8)))["scene"].numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    beach, city = probabilities[run.test, 0], probabilities[run.test, 1]
    guess = np.where(beach >= city, 0, 1)  # the desert exists no more, of the forest it knows nothing
    assert found.tolist() == (guess == run.scene[run.test]).tolist()


def test_a_class_unseen_in_training_is_a_miss_for_everyone(run: Run) -> None:
    moon = [f"L{i:04d}" for i in np.flatnonzero(run.test & (run.scene == 3))]
    for model, scores in run.go().outcomes["tasks/scene"].items():
        missed = dict(zip(scores.units.tolist(), scores.values.tolist(), strict=True))
        assert {missed[unit] for unit in moon} == {0.0}, model


def test_the_overall_score_is_the_mean_normalised_loss_over_a_listings_labelled_tasks(run: Run) -> None:
    scores = run.go().outcomes["tasks/score"]
    first = np.flatnonzero(run.test & ~run.known & (run.scene < 3))[0]  # has no pool label
    forecasts = {name: f.values[[first]] for name, f in forecasts_of(heads_of(), embeddings()).items()}
    scene, price = tasks_of()[1:]
    by_hand = (
        normalised_loss(scene, forecasts["scene"], run.scene[[first]])[0]
        + normalised_loss(price, forecasts["price"], run.price[[first]])[0]
    ) / 2
    place = scores["candidate"].units.tolist().index(f"L{first:04d}")
    assert scores["candidate"].values[place] == pytest.approx(by_hand, rel=1e-4)
    assert set(scores) == {"candidate", "baseline", "chance"}
    assert read_json(run.out / "metrics.json")["metrics"]["tasks/score"]["direction"] == "lower"


def test_a_diverged_candidate_ends_in_nan_outcomes_and_leaves_the_others_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, {"candidate": heads_of()}, {"candidate": np.full((N, DIM), np.nan), "reference": embeddings()})
    outcomes = run.go().outcomes
    for metric in ("tasks/pool", "tasks/scene", "tasks/price", "tasks/score"):
        assert np.isnan(outcomes[metric]["candidate"].values).all(), metric
        assert np.isfinite(outcomes[metric]["chance"].values).all(), metric
        assert "baseline" not in outcomes[metric]
        assert read_json(run.out / "metrics.json")["metrics"][metric]["candidate"]["value"] is None
    assert run.table["pool", "candidate"]["value"] == "nan"


def test_no_labelled_test_listing_is_said_and_not_a_crash(tmp_path: Path) -> None:
    run = Run(tmp_path, {"candidate": heads_of()}, {"candidate": embeddings(), "reference": embeddings()})
    run.split[run.split == "test"] = "train"
    write_embed(run.inputs, run.embed, run.split, {"candidate": embeddings()})
    with pytest.raises(ShoplensError, match="no test listing has a label"):
        run.go()


def test_an_encoder_of_image_sources_alone_leaves_no_outcomes_but_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path, {"candidate": TaskHeads([], DIM, 8)}, {"candidate": embeddings(), "reference": embeddings()})
    run.go()
    reason = "the encoder learned no task of listings"
    assert read_json(run.out / "metrics.json") == {"split": "split-1", "skipped": reason, "metrics": {}}
    assert not (run.out / "outcomes.parquet").exists()
    assert f"tasks not evaluated: {reason}" in capsys.readouterr().err


@pytest.mark.parametrize(("changed", "named"), [("prepare", "prepare"), ("train", "train"), ("embed", "train")])
def test_artifacts_of_another_split_or_candidate_are_refused(run: Run, changed: str, named: str) -> None:
    if changed == "prepare":
        write_prepare(run.data, run.prepare, "split-2")
    if changed == "train":
        with write_artifact(run.train, "train", {"data": run.data, "prepare": run.prepare}, {"seed": 2}) as folder:
            save_bundle(folder / "encoder", encoder(), heads_of(seed=5), 8)
    if changed == "embed":
        other = {**run.inputs, "train": run.champion}
        write_embed(other, run.embed, run.split, {"candidate": embeddings()})
    with pytest.raises(ShoplensError, match=f"made from another {named}"):
        run.go()
    assert not run.out.exists()
