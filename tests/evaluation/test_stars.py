"""The hold-out task on embeddings whose answer is known: perfect, useless, diverged; ordinal, nominal, regression."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from evaluation.hand_made import split_of_rows, write_data, write_embed, write_prepare

from shoplens.artifacts import read_artifact
from shoplens.errors import ShoplensError
from shoplens.evaluation import stars
from shoplens.evaluation.outcomes import read_outcomes
from shoplens.evaluation.stars import evaluate_stars
from shoplens.files import read_json
from shoplens.params import EvaluateStarsParams

N = 400
LEVELS = ["1", "2", "3", "4"]
HOLDOUTS: dict[str, dict[str, Any]] = {
    "ordinal": {"name": "stars", "kind": "multiclass", "levels": LEVELS},
    "nominal": {"name": "stars", "kind": "multiclass"},
    "regression": {"name": "stars", "kind": "regression"},
}
METRIC = {"ordinal": "stars/rps", "nominal": "stars/log_loss", "regression": "stars/squared_error"}
PARAMS = EvaluateStarsParams(resamples=200)


def truth_of(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(LEVELS), N)


def telling(truth: np.ndarray) -> np.ndarray:
    """Embeddings from which the class can be read."""
    return np.eye(len(LEVELS))[truth] + 0.01 * np.random.default_rng(1).normal(size=(N, len(LEVELS)))


def noise(width: int = 4) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(N, width))


def column(kind: str, truth: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
    mask = None if known is None else ~known
    if kind == "regression":
        return pa.array(truth.astype(np.float64), mask=mask)
    return pa.array(np.array(LEVELS)[truth], pa.string(), mask=mask)


class Run:
    """A folder with all that stage evaluate-stars reads, and what it wrote."""

    def __init__(self, root: Path, kind: str, labels: pa.Array, embeddings: Mapping[str, np.ndarray]) -> None:
        self.data = write_data(root / "data", {"stars": labels}, HOLDOUTS[kind])
        self.prepare = write_prepare(self.data, root / "prepare")
        self.split = split_of_rows(len(labels))
        self.embed = root / "embed"
        self.put(embeddings)
        self.out = root / "evaluate-stars"

    def put(self, embeddings: Mapping[str, np.ndarray]) -> None:
        write_embed({"data": self.data, "prepare": self.prepare}, self.embed, self.split, embeddings)

    def go(self, params: EvaluateStarsParams = PARAMS) -> "Run":
        evaluate_stars(data=self.data, prepare=self.prepare, embed=self.embed, out=self.out, params=params)
        return self

    @property
    def metrics(self) -> dict[str, Any]:
        return read_json(self.out / "metrics.json")["metrics"]

    @property
    def rows(self) -> list[dict[str, str]]:
        with (self.out / "stars.csv").open() as handle:
            return list(csv.DictReader(handle))


Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(kind: str, embeddings: Mapping[str, np.ndarray], labels: pa.Array | None = None) -> Run:
        return Run(tmp_path, kind, column(kind, truth_of()) if labels is None else labels, embeddings)

    return build


@pytest.mark.parametrize("kind", list(HOLDOUTS))
def test_embeddings_that_tell_the_answer_are_near_perfect_and_useless_ones_are_at_chance(make: Make, kind: str) -> None:
    run = make(kind, {"candidate": telling(truth_of()), "reference": noise()}).go()
    found = run.metrics[METRIC[kind]]
    assert found["direction"] == "lower"
    assert found["candidate"]["value"] < 0.05 * found["chance"]["value"]
    assert found["reference"]["low"] < found["chance"]["value"] < found["reference"]["high"] * 1.1
    assert {found[model]["n"] for model in ("candidate", "reference", "chance")} == {int((run.split == "test").sum())}
    if kind == "regression":
        assert "stars/accuracy" not in run.metrics
    else:
        assert run.metrics["stars/accuracy"]["candidate"]["value"] == 1.0
        assert run.metrics["stars/accuracy"]["direction"] == "higher"


def test_chance_forecasts_the_training_shares(make: Make) -> None:
    run = make("ordinal", {"candidate": noise(), "reference": noise()}).go()
    truth, test = truth_of(), run.split == "test"
    shares = np.bincount(truth[run.split == "train"]) / (run.split == "train").sum()
    by_hand = np.mean([np.mean((shares.cumsum()[:-1] - (level <= np.arange(3))) ** 2) for level in truth[test]])
    assert run.metrics["stars/rps"]["chance"]["value"] == pytest.approx(by_hand)


def test_every_model_at_every_size_has_a_row_with_its_paired_gain_over_the_reference(make: Make) -> None:
    run = make("ordinal", {"candidate": telling(truth_of()), "baseline": noise(), "reference": noise(3)}).go()
    train = int((run.split == "train").sum())
    sizes = {(float(row["share"]), int(row["training_listings"])) for row in run.rows}
    assert sizes == {(share, round(share * train)) for share in (0.2, 0.4, 0.6, 0.8, 1.0)}
    assert len(run.rows) == 5 * 3
    for row in run.rows:
        at_same_size = [r for r in run.rows if r["share"] == row["share"] and r["model"] == "reference"]
        assert float(row["gain"]) == pytest.approx(float(at_same_size[0]["rps"]) - float(row["rps"]), abs=1e-9)
        assert float(row["gain_low"]) <= float(row["gain"]) <= float(row["gain_high"])
    last = {row["model"]: row for row in run.rows if row["share"] == "1.0"}
    for model in ("candidate", "baseline", "reference"):
        assert float(last[model]["rps"]) == pytest.approx(run.metrics["stars/rps"][model]["value"])
    assert float(last["candidate"]["gain_low"]) > 0


def test_smaller_sizes_nest_in_larger_ones_and_are_the_same_for_every_model(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []
    fit = stars.fit_shallow

    def spy(kind: Any, classes: int, train: Any, *rest: Any) -> Any:
        seen.append({round(float(x)) for x in train.features[:, 0]})
        return fit(kind, classes, train, *rest)

    monkeypatch.setattr(stars, "fit_shallow", spy)
    numbered = np.column_stack([np.arange(N), noise()])
    run = make("ordinal", {"candidate": numbered, "reference": numbered}).go()
    assert [len(s) for s in seen] == sorted(len(s) for s in seen)
    assert all(seen[i] == seen[i + 1] for i in range(0, 10, 2)), "the two models got other listings"
    assert all(seen[i] < seen[i + 2] for i in range(0, 8, 2)), "a smaller size is not a part of the larger one"
    assert seen[-1] == set(np.flatnonzero(run.split == "train").tolist())


def test_listings_without_a_label_neither_train_nor_count(make: Make) -> None:
    truth = truth_of()
    known = np.random.default_rng(5).random(N) < 0.5
    broken = telling(truth)
    broken[~known] = np.nan  # would be noticed
    run = make("ordinal", {"candidate": broken, "reference": noise()}, column("ordinal", truth, known)).go()
    tested = np.flatnonzero(known & (run.split == "test"))
    outcome = read_outcomes(run.out / "outcomes.parquet")["stars/rps"]["candidate"]
    assert outcome.units.tolist() == [f"L{i:04d}" for i in tested]
    assert max(int(row["training_listings"]) for row in run.rows) == int((known & (run.split == "train")).sum())
    assert run.metrics["stars/accuracy"]["candidate"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": len(tested)}


def test_outcomes_carry_the_slices_of_their_listings(make: Make) -> None:
    run = make("ordinal", {"candidate": noise(), "reference": noise()}).go()
    outcome = read_outcomes(run.out / "outcomes.parquet")["stars/rps"]["candidate"]
    assert outcome.slices["market"].tolist() == [["north", "south"][int(unit[1:]) % 2] for unit in outcome.units]


def test_outcomes_of_every_size_are_kept_for_pooling(make: Make) -> None:
    run = make("ordinal", {"candidate": telling(truth_of()), "reference": noise()}).go()
    sizes, whole = read_outcomes(run.out / "sizes.parquet"), read_outcomes(run.out / "outcomes.parquet")
    for row in run.rows:
        found = sizes[f"stars/rps@{float(row['share']):g}"][row["model"]]
        assert found.values.mean() == pytest.approx(float(row["rps"]))
        assert found.units.tolist() == whole["stars/rps"]["candidate"].units.tolist()
    for model in ("candidate", "reference", "chance"):
        assert (sizes["stars/accuracy@1"][model].values == whole["stars/accuracy"][model].values).all()


def test_an_unknown_slice_stays_unknown() -> None:
    table = pa.table({"market": pa.array(["a", None]), "is_new": pa.array([None, True])})
    assert stars.slice_columns(table, ["market", "is_new"]) == {"market": ["a", None], "is_new": [None, "True"]}


def test_a_class_seen_only_in_test_is_a_miss_for_every_model_alike(make: Make) -> None:
    truth = truth_of() % 3
    truth[split_of_rows(N) == "test"] = 3
    run = make("nominal", {"candidate": telling(truth), "reference": noise()}, column("nominal", truth)).go()
    found = run.metrics["stars/log_loss"]
    for model in ("candidate", "reference", "chance"):
        assert found[model]["value"] == pytest.approx(-np.log(1e-6))


def test_a_diverged_candidate_ends_in_nan_outcomes_and_null_metrics(make: Make) -> None:
    run = make("ordinal", {"candidate": np.full((N, 4), np.nan), "reference": noise()}).go()
    outcome = read_outcomes(run.out / "outcomes.parquet")
    for metric in ("stars/rps", "stars/accuracy"):
        assert np.isnan(outcome[metric]["candidate"].values).all()
        assert np.isfinite(outcome[metric]["reference"].values).all()
        assert run.metrics[metric]["candidate"]["value"] is None
    assert {row["gain"] for row in run.rows if row["model"] == "candidate"} == {"nan"}


def test_the_same_inputs_give_the_same_bytes(make: Make) -> None:
    run = make("ordinal", {"candidate": noise(), "reference": noise(3)})
    first = {path.name: path.read_bytes() for path in run.go().out.iterdir()}
    assert {path.name: path.read_bytes() for path in run.go().out.iterdir()} == first
    assert read_json(run.out / "metrics.json")["split"] == "split-1"


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_part_without_a_label_is_refused_with_its_name(make: Make, part: str) -> None:
    known = split_of_rows(N) != part
    run = make("ordinal", {"candidate": noise(), "reference": noise()}, column("ordinal", truth_of(), known))
    with pytest.raises(ShoplensError, match=f"no {part} listing has a stars"):
        run.go()


def test_embeddings_of_another_split_are_refused(make: Make) -> None:
    run = make("ordinal", {"candidate": noise(), "reference": noise()})
    write_prepare(run.data, run.prepare, "split-2")
    with pytest.raises(ShoplensError, match="made from another prepare"):
        run.go()
    assert not run.out.exists()


def test_a_split_of_other_data_is_refused(make: Make) -> None:
    run = make("ordinal", {"candidate": noise(), "reference": noise()})
    (run.data / "dataset.yaml").write_text((run.data / "dataset.yaml").read_text().replace("hand-made", "changed"))
    with pytest.raises(ShoplensError, match="made from another data"):
        run.go()


def test_the_passport_names_all_inputs(make: Make) -> None:
    run = make("ordinal", {"candidate": noise(), "reference": noise()}).go()
    inputs = {"data": run.data, "prepare": run.prepare, "embed": run.embed}
    assert set(read_artifact(run.out, "evaluate-stars", inputs).inputs) == set(inputs)


@pytest.mark.parametrize("kind", ["ordinal", "nominal"])
def test_the_confusion_matrix_counts_every_test_listing_by_truth_and_choice(make: Make, kind: str) -> None:
    truth = truth_of()
    misled = np.where(truth == 1, 3, truth)  # every "2" looks like a "4"
    run = make(kind, {"candidate": telling(misled), "reference": noise()}).go()
    found = read_json(run.out / "confusion.json")
    counts = np.array(found["counts"])
    accuracy = run.metrics["stars/accuracy"]["candidate"]
    assert found["classes"] == LEVELS
    assert counts.sum() == accuracy["n"]
    assert counts.trace() / counts.sum() == pytest.approx(accuracy["value"])
    tested = truth[run.split == "test"]
    assert counts.sum(axis=1).tolist() == np.bincount(tested, minlength=4).tolist()
    assert counts[0, 0] == (tested == 0).sum()
    assert counts[1, [0, 2]].tolist() == [0, 0] and counts[1].sum() == (tested == 1).sum()


@pytest.mark.parametrize("kind", ["regression", "ordinal"])
def test_numbers_and_diverged_models_have_no_confusion_matrix(make: Make, kind: str) -> None:
    candidate = telling(truth_of()) if kind == "regression" else np.full((N, 4), np.nan)
    run = make(kind, {"candidate": candidate, "reference": noise()}).go()
    assert not (run.out / "confusion.json").exists()
