"""The ranking section: the Etsy paper's Table 1, nDCG by modality and model, what was left out, Figures 5 and 6."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.artifacts import Artifact
from shoplens.files import read_json
from shoplens.report.facts import thumbnail
from shoplens.report.figures import Group, groups
from shoplens.report.numbers import Estimate, finite, number
from shoplens.report.results import FITTED
from shoplens.report.verdict import MetricRow, estimate, metric_row

MODALITIES = {"text": "text", "image": "photos", "multimodal": "text and photos"}
POPULATIONS = {"all": "all queries", "moved": "moved to photos too"}
MEASURED = {
    "ranking/text_ndcg": "text",
    "ranking/image_ndcg": "photos",
    "ranking/multimodal_ndcg": "text and photos",
    "ranking/multimodal_gain": "text and photos minus text",
    "ranking/ndcg": "each query as it chose",
    "ranking/ndcg_at_10": "each query as it chose, nDCG@10",
    "ranking/shown_ndcg": "order as shown",
    "ranking/unseen_text_ndcg": "unseen listings: text",
    "ranking/unseen_multimodal_ndcg": "unseen listings: text and photos",
    "ranking/fair_pair_accuracy": "FairPairs ordered right",
}
DRAWN = ("text_ndcg", "image_ndcg", "multimodal_ndcg", "ndcg", "unseen_text_ndcg", "unseen_multimodal_ndcg")
LIFTED = ("image", "multimodal")


@dataclass(frozen=True)
class LiftRow:
    """A line of Table 1: one model over one population of queries, `share` of all.

    Attributes:
        lifts: photos, then text and photos: the lift over text in percent of its nDCG, and its Wilcoxon p as text.
    """

    model: str
    population: str
    queries: int
    share: float
    lifts: tuple[tuple[Estimate, str], ...]


@dataclass(frozen=True)
class Card:
    """A listing in a picture: its title in pieces, bold or not, and its first photo as a data address."""

    listing_id: str
    title: str
    pieces: tuple[tuple[str, bool], ...]
    photo: str | None


@dataclass(frozen=True)
class Pair:
    """Two listings close under text and far apart under text and photos (Etsy, Figure 5); `right` is the relevant one.

    Distances are in ranks, `lift` is the query's in percent.
    """

    query: str
    lift: float
    text_distance: int
    multimodal_distance: int
    left: Card
    right: Card


@dataclass(frozen=True)
class Bands:
    """One query's ranking by percentile under both models (Etsy, Figure 6); rows: percentile, text, multimodal."""

    query: str
    lift: float
    rows: tuple[tuple[int, tuple[Card, ...], tuple[Card, ...]], ...]


@dataclass(frozen=True)
class Ranking:
    """The ranking section."""

    figure: str | None
    lifts: tuple[LiftRow, ...]
    metrics: tuple[tuple[str, MetricRow], ...]
    counts: Mapping[str, Any]
    pairs: tuple[Pair, ...]
    bands: Bands | None


def read_ranking(evaluated: Artifact) -> Ranking | str:
    """The section's content, or the reason why ranking was not evaluated."""
    measured = read_json(evaluated.path / "metrics.json")
    if "skipped" in measured:
        return str(measured["skipped"])
    metrics = measured["metrics"]
    pictures = read_json(evaluated.path / "pictures.json")
    return Ranking(
        _figure(metrics),
        tuple(_lifts(evaluated.path / "table1.csv")),
        tuple((label, metric_row(name, metrics[name])) for name, label in MEASURED.items() if name in metrics),
        measured["counts"],
        tuple(_pair(entry, evaluated.path) for entry in pictures["pairs"]),
        _bands(pictures["bands"], evaluated.path) if pictures["bands"] else None,
    )


def _figure(metrics: Mapping[str, Any]) -> str | None:
    """nDCG with its interval by modality and model; what no photo model decides is drawn in a colour of its own."""
    rows = []
    for name in DRAWN:
        block = metrics.get(f"ranking/{name}", {})
        # The text model is the same for every encoder.
        models = {"ink": "candidate"} if name.endswith("text_ndcg") else {model: model for model in FITTED}
        points = {role: estimate(block[model]) for role, model in models.items() if model in block}
        if points:
            rows.append(Group(MEASURED[f"ranking/{name}"], points))
    orders = {"order as shown": ("ranking/shown_ndcg", "candidate"), "random order": ("ranking/ndcg", "chance")}
    for label, (metric, model) in orders.items():
        if model in metrics.get(metric, {}):
            rows.append(Group(label, {"ink": estimate(metrics[metric][model])}))
    return (
        None
        if not rows
        else groups(
            rows,
            title="nDCG on the test sessions by modality and model",
            x_label="nDCG, mean over queries (higher is better)",
            labels={"candidate": "candidate", "baseline": "baseline", "reference": "ImageNet", "ink": "no photos used"},
        )
    )


def _lifts(path: Path) -> Iterator[LiftRow]:
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    found = {(row["model"], row["population"], row["modality"]): row for row in rows}
    for model, population in dict.fromkeys((row["model"], row["population"]) for row in rows):
        both = [found[model, population, modality] for modality in LIFTED]
        yield LiftRow(
            model,
            population,
            int(both[0]["queries"]),
            float(both[0]["share"]),
            tuple((_percent(row), p_value(finite(row["wilcoxon_p"]))) for row in both),
        )


def _percent(row: Mapping[str, str]) -> Estimate:
    return Estimate(finite(row["lift"]), finite(row["low"]), finite(row["high"]), int(row["queries"]))


def p_value(p: float | None) -> str:
    """Two significant digits; below the paper's level of significance (0.0001) only that it is below."""
    return "< 0.0001" if p is not None and p < 1e-4 else number(None if p is None else float(f"{p:.2g}"))


def _pair(entry: Mapping[str, Any], folder: Path) -> Pair:
    left, right = (_card(entry[side], folder, entry["shared"]) for side in ("left", "right"))
    return Pair(entry["query"], entry["lift"], entry["text_distance"], entry["multimodal_distance"], left, right)


def _bands(entry: Mapping[str, Any], folder: Path) -> Bands:
    rows = [
        (row["percentile"], *(tuple(_card(card, folder) for card in row[side]) for side in ("text", "multimodal")))
        for row in entry["rows"]
    ]
    return Bands(entry["query"], entry["lift"], tuple(rows))


def _card(entry: Mapping[str, Any], folder: Path, shared: Sequence[str] = ()) -> Card:
    photo = None if entry["photo"] is None else thumbnail((folder / entry["photo"]).read_bytes())
    return Card(entry["listing_id"], entry["title"], _marked(entry["title"], frozenset(shared)), photo)


def _marked(title: str, shared: frozenset[str]) -> tuple[tuple[str, bool], ...]:
    """The title in pieces: words that both listings have are True, everything between them is False."""
    return tuple((piece, piece.lower() in shared) for piece in re.split(r"(\w+)", title) if piece)
