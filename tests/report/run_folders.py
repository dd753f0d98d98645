"""The artifacts of a small run, written by hand through write_artifact, and judged by the real gate stage."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from report.ranking_folder import photo, write_ranking

from shoplens.artifacts import write_artifact
from shoplens.evaluation.outcomes import outcome_rows, read_outcomes, summarise, write_outcomes
from shoplens.files import read_json, write_csv, write_json, write_text
from shoplens.promotion.gate_stage import gate
from shoplens.report.report import report
from shoplens.serving.examples import Gallery, write_examples
from shoplens.stages import EVALUATED

SPLIT = "5" * 64
WEIGHTS = {"candidate": "c" * 64, "baseline": "b" * 64}


@dataclass(frozen=True)
class Run:
    """What differs between the runs of the tests.

    `worse` is added to the candidate's hold-out losses; `ranking` is whether there is a search log, or the output of a
    real stage evaluate-ranking to show; `retrieval` is the output of a real stage evaluate-retrieval, None: no sources.
    """

    folder: Path
    worse: float = 0.0
    baseline: bool = True
    score: str = "rps"
    tasks: tuple[tuple[str, str], ...] = (("has_pool", "binary"), ("country", "multiclass"), ("price", "regression"))
    n: int = 120
    message: str = "a listing has no title"
    fractions: tuple[float, ...] = (0.2, 0.6, 1.0)
    diverged: bool = False
    ranking: bool | Path = False
    retrieval: Path | None = None
    query: str = "sea view pool"
    title: str = "Villa {} with Pool"

    @property
    def models(self) -> tuple[str, ...]:
        return ("candidate", "baseline", "reference") if self.baseline else ("candidate", "reference")

    def path(self, name: str) -> Path:
        return self.folder / name

    def inputs(self, *names: str) -> dict[str, Path]:
        return {name: self.path(name) for name in names}

    def report(self, out: str = "report") -> str:
        """Run the stage and return the page."""
        names = ("validate", "prepare", "train", "champion", *EVALUATED, "package", "gate")
        report(**{name.replace("-", "_"): path for name, path in self.inputs(*names).items()}, out=self.path(out))
        return (self.path(out) / "report.html").read_text()


def build_run(folder: Path, **changes) -> Run:
    """All artifacts up to the gate's decision."""
    run = Run(folder, **changes)
    write_text(run.path("data") / "dataset.yaml", "name: tiny\n")
    _validate(run)
    _prepare(run)
    _train(run)
    _champion(run)
    chain = run.inputs("data", "prepare", "train", "champion")
    with write_artifact(run.path("embed"), "embed", chain, {}) as out:
        write_json(out / "embed.json", {})
    _tasks(run)
    _stars(run)
    _ranking(run)
    _retrieval(run)
    _package(run)
    rules = [
        {
            "kind": "floor",
            "name": "beats chance",
            "metric": f"stars/{run.score}",
            "against": "chance",
            "at_least": 0.01,
        },
        {"kind": "non_inferiority", "name": "stars not worse", "metric": f"stars/{run.score}", "margin": 0.02},
        {"kind": "floor", "name": "served as trained", "metric": "package/served_cosine", "at_least": 0.9999},
        {"kind": "floor", "name": "fast", "metric": "package/latency_p95_ms", "at_most": 900.0},
    ]
    policy = {"version": 1, "bootstrap": True, "resamples": 200, "rules": rules}
    write_text(run.path("gate.yaml"), yaml.safe_dump(policy))
    judged = run.inputs("prepare", "train", "champion", *EVALUATED, "package")
    judged = {name.replace("-", "_"): path for name, path in judged.items()}
    gate(policy=run.path("gate.yaml"), **judged, out=run.path("gate"))
    return run


def _validate(run: Run) -> None:
    finding = {"level": "warning", "check": "title-empty", "file": "listings.parquet", "row": 3, "column": "title"}
    finding |= {"message": run.message, "remedy": "write a title"}
    expectation = {"file": "images.parquet", "expectation": "expect_few_large_photos", "column": "width"}
    expectation |= {"severity": "warning", "success": False, "unexpected": 2}
    with write_artifact(run.path("validate"), "validate", run.inputs("data"), {}) as out:
        write_json(out / "findings.json", {"valid": True, "findings": [finding], "expectations": [expectation]})
        write_json(out / "metrics.json", {"warnings": 1})


def _prepare(run: Run) -> None:
    counts = {"train": 800, "validation": 100, "test": run.n}
    with write_artifact(run.path("prepare"), "prepare", run.inputs("data", "validate"), {}) as out:
        left_out = {"equal in bytes to a test photo": 7}
        emptied = {"training_galleries_emptied": 1}
        parts = {"listings": counts, "photos": counts, "left_out": left_out}
        write_json(out / "split.json", {"dataset": "homes (sample of 7 listings)", "hash": SPLIT, **parts, **emptied})
        write_json(out / "tasks.json", {"tasks": [], "skipped": ["always_true"]})


def _train(run: Run) -> None:
    with write_artifact(run.path("train"), "train", run.inputs("data", "prepare"), {"loss": "pseudo_uniform"}) as out:
        encoder = {"encoder": {"backbone": "efficientnet_lite0"}, "weights_digest": WEIGHTS["candidate"]}
        write_json(out / "encoder" / "encoder.json", encoder)
        rows = [{"epoch": i + 1, "train_loss": 9 / (i + 1), "val_loss": 10 / (i + 1)} for i in range(5)]
        write_csv(out / "history.csv", rows)
        facts = {"best_epoch": 5, "epochs": 5, "validation_loss": 2.0, "galleries_without_photos": 0}
        facts |= {"galleries": {"train": 799, "validation": 100}, "encoder_parameters": 1_000_000}
        write_json(out / "metrics.json", facts | {"head_parameters": 50_000})


def _champion(run: Run) -> None:
    with write_artifact(run.path("champion"), "champion", run.inputs("train"), {}) as out:
        write_json(out / "champion.json", {"version": "3" if run.baseline else None})
        if run.baseline:
            write_json(out / "encoder" / "encoder.json", {"weights_digest": WEIGHTS["baseline"]})


def _tasks(run: Run) -> None:
    rng = np.random.default_rng(1)
    units = [f"u{i:04}" for i in range(run.n)]
    tables, rows = [], []
    directions = {"tasks/score": "lower"}
    for position, (task, kind) in enumerate(run.tasks):
        directions[f"tasks/{task}"] = "lower" if kind == "regression" else "higher"
        for model, skill in (("candidate", 0.9 - 0.1 * position), ("baseline", 0.7), ("chance", 0.5)):
            if model == "baseline" and not run.baseline:
                continue
            hits = (rng.random(run.n) < skill).astype(float)
            each = 1.5 - hits if kind == "regression" else hits
            tables.append(outcome_rows(f"tasks/{task}", model, units, each))
            row = {"task": task, "kind": kind, "metric": "rmse" if kind == "regression" else "accuracy"}
            row |= {"model": model, "n": run.n, "value": skill, "low": skill - 0.05, "high": skill + 0.05}
            row |= {"normalised_loss": 1 - skill, "auc": "", "auc_low": "", "auc_high": ""}
            if kind == "binary" and model != "chance":
                row |= {"auc": skill, "auc_low": skill - 0.04, "auc_high": skill + 0.04}
            rows.append(row)
    models = ("candidate", "baseline", "chance") if run.baseline else ("candidate", "chance")
    tables += [outcome_rows("tasks/score", model, units, rng.normal(0.6, 0.1, run.n)) for model in models]
    chain = run.inputs("data", "prepare", "train", "champion", "embed")
    with write_artifact(run.path("evaluate-tasks"), "evaluate-tasks", chain, {"resamples": 200, "seed": 1}) as out:
        if not run.tasks:
            write_json(out / "metrics.json", {"split": SPLIT, "skipped": "the encoder learned none", "metrics": {}})
            return
        write_outcomes(out / "outcomes.parquet", tables)
        outcomes = read_outcomes(out / "outcomes.parquet")
        write_json(out / "metrics.json", summarise(outcomes, directions, SPLIT, resamples=200))
        write_csv(out / "tasks.csv", rows)


def _stars(run: Run) -> None:
    hard = np.random.default_rng(2).normal(0.15, 0.05, run.n)
    units = [f"u{i:04}" for i in range(run.n)]
    levels = {"candidate": run.worse, "baseline": 0.0, "reference": 0.01, "chance": 0.08}
    tables, rows = [], []
    classes = run.score != "squared_error"
    for seed, (model, level) in enumerate(levels.items()):
        if model not in (*run.models, "chance"):
            continue
        losses = hard + level + np.random.default_rng(seed).normal(0, 0.01, run.n)
        if run.diverged and model == "candidate":
            losses[5] = np.nan
        tables.append(outcome_rows(f"stars/{run.score}", model, units, losses))
        if classes:
            tables.append(outcome_rows("stars/accuracy", model, units, 1.0 * (hard < 0.18 - level)))
        for share in run.fractions if model != "chance" else ():
            row = {"share": share, "training_listings": round(800 * share), "model": model, "n": run.n}
            value = 0.15 + level + 0.05 * (1 - share)
            row |= {run.score: value, f"{run.score}_low": value - 0.01, f"{run.score}_high": value + 0.01}
            if classes:
                row |= {"accuracy": 0.7 - level, "accuracy_low": 0.65 - level, "accuracy_high": 0.75 - level}
            row |= {"gain": 0.01 - level, "gain_low": 0.004 - level, "gain_high": 0.016 - level, "penalty": 1.0}
            rows.append(row)
    directions = {f"stars/{run.score}": "lower", "stars/accuracy": "higher"}
    with write_artifact(
        run.path("evaluate-stars"), "evaluate-stars", run.inputs("data", "prepare", "embed"), {}
    ) as out:
        write_outcomes(out / "outcomes.parquet", tables)
        outcomes = read_outcomes(out / "outcomes.parquet")
        write_json(out / "metrics.json", summarise(outcomes, directions, SPLIT, resamples=200))
        write_csv(out / "stars.csv", rows)


def _ranking(run: Run) -> None:
    with write_artifact(
        run.path("evaluate-ranking"), "evaluate-ranking", run.inputs("data", "prepare", "embed"), {}
    ) as out:
        if isinstance(run.ranking, Path):
            shutil.copytree(run.ranking, out, ignore=shutil.ignore_patterns("artifact.json"), dirs_exist_ok=True)
            write_json(out / "metrics.json", read_json(out / "metrics.json") | {"split": SPLIT})
        elif run.ranking:
            write_ranking(out, SPLIT, run.models, query=run.query, title=run.title, diverged=run.diverged)
        else:
            reason = "data has no search_log.parquet"
            write_json(out / "metrics.json", {"split": SPLIT, "skipped": reason, "metrics": {}})


def _retrieval(run: Run) -> None:
    with write_artifact(
        run.path("evaluate-retrieval"), "evaluate-retrieval", run.inputs("data", "prepare", "embed"), {}
    ) as out:
        if run.retrieval:
            shutil.copytree(run.retrieval, out, ignore=shutil.ignore_patterns("artifact.json"), dirs_exist_ok=True)
            write_json(out / "metrics.json", read_json(out / "metrics.json") | {"split": SPLIT})
        else:
            reason = "dataset.yaml names no sources"
            write_json(out / "metrics.json", {"split": SPLIT, "skipped": reason, "metrics": {}})


def _package(run: Run) -> None:
    measured = {
        "package/parity_cosine": ("higher", "photo", 0.9999996),
        "package/parity_difference": ("lower", "photo", 0.00001),
        "package/served_cosine": ("higher", "gallery", 0.999987),
        "package/served_corrupt": ("lower", "gallery", 0.0),
        "package/latency_p50_ms": ("lower", "request", 41.7),
        "package/latency_p95_ms": ("lower", "request", 55.1),
    }
    if run.ranking:
        measured["package/ranker_difference"] = ("lower", "score", 0.0000125)
        measured["package/ranker_latency_p50_ms"] = ("lower", "request", 3.25)
    metrics = {
        name: {"direction": direction, "unit": unit, "candidate": {"value": value, "low": None, "high": None, "n": 8}}
        for name, (direction, unit, value) in measured.items()
    }
    galleries = [Gallery(f"listing-{i}", [photo(10 * i + k) for k in range(3 + 2 * i)]) for i in range(3)]
    galleries[1].photos[0] = b"not a photo"
    embeddings = np.random.default_rng(3).normal(size=(3, 8)).astype(np.float32)
    inputs = run.inputs("data", "prepare", "train", "embed", "evaluate-ranking")
    with write_artifact(run.path("package"), "package", inputs, {}) as out:
        names = [[f"{k}.jpg" for k in range(len(gallery.photos))] for gallery in galleries]
        write_examples(out / "examples", galleries, names)
        for name in ("expected", "served"):
            np.save(out / "examples" / f"{name}.npy", embeddings)
        write_json(out / "metrics.json", {"split": SPLIT, "metrics": metrics})
