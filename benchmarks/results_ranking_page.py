"""docs/results-ranking.md from what the measured runs left in the work folder: no number is typed by hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.runs import SEARCH_RULES, git, rules_history
from benchmarks.timing import machine
from shoplens.artifacts import read_artifact
from shoplens.evaluation.outcomes import Outcomes, read_outcomes
from shoplens.evaluation.ranking_tables import wilcoxon_p
from shoplens.evaluation.statistics import lift_interval
from shoplens.files import read_json, write_text
from shoplens.params import Params

Floats = NDArray[np.float64]
RESAMPLES = 10_000
PAPER = {"image": "-2.2%", "multimodal": "+1.7%"}


@dataclass(frozen=True)
class World:
    """One run's queries: nDCG by modality (columns of `values`: text, image, multimodal), and who moved."""

    name: str
    queries: tuple[str, ...]
    values: Floats
    moved: NDArray[np.bool_]
    outcomes: Outcomes
    summary: Mapping[str, Any]


def _world(name: str, run: Path) -> World:
    artifact = read_artifact(run / "evaluate-ranking", "evaluate-ranking")
    outcomes = read_outcomes(artifact.path / "outcomes.parquet")
    columns = [outcomes[f"ranking/{kind}_ndcg"]["candidate"] for kind in ("text", "image", "multimodal")]
    units = columns[0].units.tolist()
    if any(column.units.tolist() != units for column in columns):
        raise ValueError(f"{run}: the modalities were judged on different queries")
    with (artifact.path / "queries.csv").open(newline="") as handle:
        chosen = {row["query"]: row["modality"] for row in csv.DictReader(handle)}
    return World(
        name,
        tuple(units),
        np.stack([column.values for column in columns], axis=1),
        np.array([chosen[unit] == "multimodal" for unit in units]),
        outcomes,
        read_json(artifact.path / "metrics.json"),
    )


def _lift(values: Floats, column: int) -> str:
    """Relative lift of the mean nDCG over text in percent, with the 95% bootstrap interval over queries, and p."""
    own, text = values[:, column], values[:, 0]
    lift, low, high = lift_interval(own, text, resamples=RESAMPLES, seed=0)
    return f"{lift:+.2f}% [{low:+.2f}, {high:+.2f}], p = {wilcoxon_p(own, text):.2g}"


def _pooled(worlds: Sequence[World]) -> list[World]:
    if len(worlds) < 2:
        return list(worlds)
    together = World(
        "pooled",
        tuple(f"{world.name}/{query}" for world in worlds for query in world.queries),
        np.concatenate([world.values for world in worlds]),
        np.concatenate([world.moved for world in worlds]),
        {},
        {},
    )
    return [*worlds, together]


def lift_table(worlds: Sequence[World]) -> str:
    """Table 1 of the paper, a block a world and one of all their queries together."""
    lines = [
        "| world | queries | text nDCG | image against text | multimodal against text |",
        "|---|---:|---:|---|---|",
    ]
    for world in _pooled(worlds):
        groups = [("all", np.ones(len(world.moved), bool)), (f"moved ({world.moved.mean():.1%})", world.moved)]
        for name, chosen in groups:
            if chosen.sum() < 2:
                lines.append(f"| {world.name}: {name} | {chosen.sum()} | | | |")
                continue
            values = world.values[chosen]
            lifts = [_lift(values, column) for column in (1, 2)]
            cells = [f"{world.name}: {name}", str(len(values)), f"{values[:, 0].mean():.4f}", *lifts]
            lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| the paper: moved (51.4%) | of 1,394 | | {PAPER['image']} | {PAPER['multimodal']} |")
    return "\n".join(lines)


def models_table(worlds: Sequence[World]) -> str:
    """Every ranking metric of every model, a row a world."""
    lines = ["| world | metric | model | value | n |", "|---|---|---|---|---:|"]
    for world in worlds:
        for metric, block in world.summary["metrics"].items():
            for model, entry in block.items():
                if isinstance(entry, dict) and entry["value"] is not None:
                    bounds = "" if entry["low"] is None else f" [{entry['low']:.4f}, {entry['high']:.4f}]"
                    lines.append(f"| {world.name} | {metric} | {model} | {entry['value']:.4f}{bounds} | {entry['n']} |")
    return "\n".join(lines)


def truthful_table(worlds: Sequence[World], truthful: Sequence[World]) -> str:
    """The multimodal lift with and without false claims on the same seeds, and the difference."""
    lines = ["| world | with false claims | without |", "|---|---|---|"]
    for world, other in zip(_pooled(worlds), _pooled(truthful), strict=True):
        lines.append(f"| {world.name} | {_lift(world.values, 2)} | {_lift(other.values, 2)} |")
    gains = [np.concatenate([w.values[:, 2] - w.values[:, 0] for w in part]) for part in (worlds, truthful)]
    generator = np.random.default_rng(0)
    means = [gain[generator.integers(0, len(gain), (RESAMPLES, len(gain)))].mean(axis=1) for gain in gains]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    difference = gains[0].mean() - gains[1].mean()
    lines += [
        "",
        f"Mean gain in nDCG (multimodal - text): {gains[0].mean():+.4f} with false claims, {gains[1].mean():+.4f} "
        f"without; it shrinks by {difference:+.4f} [{low:+.4f}, {high:+.4f}] (n = {len(gains[0])} and {len(gains[1])} "
        "queries, bootstrap over queries).",
    ]
    return "\n".join(lines)


def shuffled_table(work: Path, runs: Sequence[Mapping[str, Any]]) -> str:
    """What gate.yaml's ranking rules say about encoders trained on shuffled photos."""
    lines = ["| world | rule | verdict | reason |", "|---|---|---|---|"]
    for entry in runs:
        decision = read_json(work / entry["run"] / "gate" / "decision.json")
        for rule in decision["rules"]:
            if rule["metric"].startswith("ranking/"):
                cells = (f"seed {entry['seed']}", rule["name"], rule["status"], rule["reason"])
                lines.append(f"| {' | '.join(cells)} |")
        lines.append(f"| seed {entry['seed']} | whole policy | {'promote' if decision['promote'] else 'refuse'} | |")
    return "\n".join(lines)


def write_page(
    out: Path, work: Path, runs: Mapping[str, Sequence[Mapping[str, Any]]], params: Params, date: str, trial: bool
) -> None:
    """Write the page from the parts that were measured; one that was not is named as such.

    Args:
        out: the page.
        work: the work folder.
        runs: part -> its runs, {"seed", "run" (relative to work)}.
        params: of the runs.
        date: for the page.
        trial: whether the worlds are not those of the page.

    Raises:
        ShoplensError: if a stage's output was changed since it was written.
    """
    worlds = {
        part: [
            _world(f"seed {entry['seed']}" if part != "icons" else "open-icons", work / entry["run"]) for entry in found
        ]
        for part, found in runs.items()
        if part != "shuffled"
    }
    missing = "Not measured yet."
    table, truthful = worlds.get("table", []), worlds.get("truthful", [])
    ranking = ", ".join(f"{key} {value}" for key, value in params.evaluate_ranking.model_dump(mode="json").items())
    page = [
        "# Results: ranking",
        "",
        "**A trial on worlds of other seeds: it shows that the measurement runs, and no result.**"
        if trial
        else "Written by `python -m benchmarks.results_ranking` (part of `make results`); no number here is typed by "
        "hand, and none is used to choose a setting.",
        "",
        "The seeds of the worlds follow from the hash of the last commit that touched the rules of the search log "
        f"(`sha256(hash + {'trial + ' if trial else ''}number) mod 2^31`), so nobody picked them.",
        "",
        f"- date: {date}",
        f"- commit: {git('rev-parse', 'HEAD')}",
        "- commits that touched the rules of the search log, the latest first:",
        *(f"  - {line}" for line in rules_history(SEARCH_RULES)),
        f"- machine: {machine().split(', load')[0]}",
        f"- world: {params.world.listings} listings, {params.world.sessions_per_listing:g} sessions a listing, "
        f"{params.world.false_claims:.0%} of the tags untrue",
        f"- ranking: {ranking}",
        "",
        "## Table 1: relative lift in nDCG over text-only ranking",
        "",
        "nDCG a session, averaged a query, then over queries; relative to the text-only ranker. 95% bootstrap "
        "intervals over queries, Wilcoxon signed-rank p. `moved`: the queries whose validation sessions chose "
        "the multimodal ranker, the population of the paper's Table 1 (selected on validation, measured on test).",
        "",
        lift_table(table) if table else missing,
        "",
        "## The cause: sellers' false claims",
        "",
        "The same seeds, photos and shoppers; sellers claim nothing that is untrue (`false_claims: 0`).",
        "",
        truthful_table(table, truthful) if table and len(table) == len(truthful) else missing,
        "",
        "## The cause: what the encoder learned",
        "",
        "An encoder trained on the same photos, shuffled between the training listings (their labels move, so that "
        "whatever is judged keeps its photos), against the honest encoder as baseline, under gate.yaml.",
        "",
        shuffled_table(work, runs["shuffled"]) if "shuffled" in runs else missing,
        "",
        "## Open-icons",
        "",
        "Emojis; titles and tags from emojibase, relevance from emojilib, simulated sessions (docs/open-icons.md).",
        "",
        lift_table(worlds["icons"]) if "icons" in worlds else missing,
        "",
        "## Every metric",
        "",
        models_table([*table, *worlds.get("icons", [])]) if table else missing,
        "",
    ]
    write_text(out, "\n".join(page))
