"""The visual search section: each source's precision by model and kind, categories, bits of codes, what is found."""

from __future__ import annotations

import base64
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from shoplens.artifacts import Artifact
from shoplens.files import read_json
from shoplens.report.figures import Group, Series, curves, groups
from shoplens.report.numbers import Estimate, finite
from shoplens.report.results import FITTED
from shoplens.report.verdict import MetricRow, metric_row

METRICS = {"p_at_1": "P@1", "avg_p_at_20": "Avg P@20"}
KINDS = {"": "embeddings", "_binary": "codes"}
SCORES = {"retrieval/score": "embeddings", "retrieval/binary_score": "codes"}
DRAWN = {"candidate": "candidate", "baseline": "baseline", "reference": "ImageNet", "chance": "random order"}
QUANTILES = np.linspace(0, 100, 21)


@dataclass(frozen=True)
class ScoreRow:
    """One source (or all) searched by embeddings or codes: every model's metric, and what the best order reaches."""

    source: str
    kind: str
    measure: str
    found: MetricRow
    best: float | None


@dataclass(frozen=True)
class CodeRow:
    """Codes of one source's corpus under one model; None where the model has diverged.

    Attributes:
        bytes_per_item: of a code; `float_bytes` of an embedding.
        density: mean share of ones over the bits, with the least and the greatest as bounds.
        dead_bits: bits that are the same in all codes.
    """

    source: str
    model: str
    bytes_per_item: float | None
    float_bytes: float | None
    density: Estimate
    dead_bits: float | None


@dataclass(frozen=True)
class CategoryRow:
    """A category's queries under both models; `delta` in percent, `gain` absolute, paired by query."""

    source: str
    category: str
    n: int
    candidate: float | None
    other: float | None
    delta: float | None
    gain: Estimate


@dataclass(frozen=True)
class Shown:
    """Queries of a source with results of two models, as a data address; `names` says what the queries are."""

    source: str
    picture: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Retrieval:
    """The visual search section; `other` is the model that categories and pictures compare the candidate with."""

    figure: str
    scores: tuple[ScoreRow, ...]
    sources: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]
    diverged: tuple[str, ...]
    codes: tuple[CodeRow, ...]
    density: str | None
    categories: tuple[CategoryRow, ...]
    other: str
    pictures: tuple[Shown, ...]


def read_retrieval(evaluated: Artifact) -> Retrieval | str:
    """The section's content, or the reason why retrieval was not evaluated."""
    folder = evaluated.path
    measured = read_json(folder / "metrics.json")
    if "skipped" in measured:
        return str(measured["skipped"])
    facts = measured["counts"]
    shown = read_json(folder / "pictures.json")
    scores = tuple(_scores(measured["metrics"], facts["sources"]))
    return Retrieval(
        _figure(scores),
        scores,
        {name: {**source, "known": _known(source["in_training"])} for name, source in facts["sources"].items()},
        facts["left_out"],
        tuple(facts["diverged"]),
        tuple(_codes(_read_csv(folder / "retrieval.csv"))),
        _density(folder / "bits.parquet"),
        tuple(_category(row) for row in _read_csv(folder / "categories.csv")),
        shown["other"],
        tuple(
            Shown(entry["source"], _address(folder / entry["picture"]), _names(entry["labels"], entry["categories"]))
            for entry in shown["pictures"]
        ),
    )


def _scores(metrics: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> list[ScoreRow]:
    rows = []
    for name, source in sources.items():
        for suffix, kind in KINDS.items():
            metric = f"retrieval/{name}_{source['metric']}{suffix}"
            found = metric_row(metric, metrics[metric])
            rows.append(ScoreRow(name, kind, METRICS[source["metric"]], found, round(source["best_reachable"], 3)))
    if len(sources) > 1:
        best = np.average(
            [s["best_reachable"] for s in sources.values()], weights=[s["queries"] for s in sources.values()]
        )
        rows += [
            ScoreRow("all sources", kind, "each its own", metric_row(metric, metrics[metric]), round(float(best), 3))
            for metric, kind in SCORES.items()
        ]
    return rows


def _figure(scores: tuple[ScoreRow, ...]) -> str:
    rows = []
    for row in scores:
        cells = zip((*FITTED, "chance"), row.found.models, strict=True)
        rows.append(Group(f"{row.source}, {row.kind}", {model: cell for model, cell in cells if cell is not None}))
    return groups(
        rows,
        title="Precision of visual search by source, model and kind of distance",
        x_label="P@1 or Avg P@20, mean over queries (higher is better)",
        labels={role: label for role, label in DRAWN.items() if any(role in row.points for row in rows)},
    )


def _known(share: float) -> str:
    """Whether the classes that are searched for occur in training."""
    if share in (0, 1):
        return "none of them: new classes" if share == 0 else "all of them: known classes, other photos"
    return f"those of {100 * share:.1f}% of the queries"


def _codes(table: list[dict[str, str]]) -> list[CodeRow]:
    sizes = {(row["source"], row["model"]): finite(row["bytes_per_item"]) for row in table if row["kind"] == "float"}
    return [
        CodeRow(
            row["source"],
            row["model"],
            finite(row["bytes_per_item"]),
            sizes[row["source"], row["model"]],
            Estimate(finite(row["bit_density"]), finite(row["least_bit"]), finite(row["greatest_bit"])),
            finite(row["dead_bits"]),
        )
        for row in table
        if row["kind"] == "binary"
    ]


def _density(path: Path) -> str | None:
    """How often bits are 1, from the least to the greatest; None if no model has codes."""
    table = pq.read_table(path)
    model, density = table["model"].to_numpy(), table["density"].to_numpy()
    series = [
        Series(DRAWN[name], name, QUANTILES.tolist(), np.percentile(density[model == name], QUANTILES).tolist())
        for name in FITTED
        if (model == name).any()
    ]
    return (
        None
        if not series
        else curves(
            series,
            title="Share of codes in which a bit is 1, over the bits from the least to the greatest",
            x_label="bits, in order of their share (%)",
            y_label="share of codes with a 1",
            level=("half", 0.5),
        )
    )


def _category(row: Mapping[str, str]) -> CategoryRow:
    return CategoryRow(
        row["source"],
        row["category"],
        int(row["n"]),
        finite(row["candidate"]),
        finite(row["other"]),
        finite(row["delta"]),
        Estimate(finite(row["gain"]), finite(row["gain_low"]), finite(row["gain_high"])),
    )


def _names(labels: Sequence[str], categories: Sequence[str | None]) -> tuple[str, ...]:
    """Categories, for which a label may be a number; labels where there is none."""
    return tuple(category or label for label, category in zip(labels, categories, strict=True))


def _address(path: Path) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a table; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))
