"""docs/results.md from what the measured runs left in the work folder: no number is typed by hand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.runs import git, rules_history
from benchmarks.timing import machine
from shoplens.artifacts import read_artifact
from shoplens.evaluation.outcomes import Outcomes, Scores, read_outcomes
from shoplens.evaluation.statistics import Interval, mean_interval
from shoplens.files import read_json, write_text
from shoplens.params import Params

Floats = NDArray[np.float64]
SCORE_NAMES = {"rps": "ranked probability score", "log_loss": "log loss", "squared_error": "squared error"}
VGG16 = """\
## The paper's VGG16

`recipes/booking.yaml` is not part of these numbers: torchvision's ImageNet weights are a download, and on two cores an
epoch of VGG16 at 224 pixels over such a world takes hours. What is checked instead, in `tests/models/test_encoder.py`
and with random weights: 7,079,424 trainable encoder parameters, 5,695,165 in the heads with Table 1's cardinalities,
512 dimensions, and a real forward and backward step at 224 pixels.
"""


def _interval(found: Interval, scale: float = 1.0, digits: int = 4, signed: bool = False) -> str:
    sign = "+" if signed else ""
    value, low, high = (f"{scale * part:{sign}.{digits}f}" for part in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _gain(outcomes: Sequence[Mapping[str, Scores]], other: str, lower_is_better: bool) -> Floats:
    """The candidate's gain over another model on each listing of each run, one after the other."""
    parts = []
    for models in outcomes:
        candidate, reference = models["candidate"], models[other]
        if candidate.units.tolist() != reference.units.tolist():
            raise ValueError(f"candidate and {other} were judged on different listings")
        gain = reference.values - candidate.values
        parts.append(gain if lower_is_better else -gain)
    return np.concatenate(parts)


def _all(outcomes: Sequence[Mapping[str, Scores]], model: str) -> Floats:
    return np.concatenate([models[model].values for models in outcomes])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def stars_table(runs: Mapping[str, Path]) -> str:
    """Hold-out scores at each size: a block a run and, for several runs, one of all their listings together."""
    sizes = {name: read_outcomes(run / "evaluate-stars" / "sizes.parquet") for name, run in runs.items()}
    rows = {name: _rows(run / "evaluate-stars" / "stars.csv") for name, run in runs.items()}
    first = next(iter(sizes.values()))
    metric = next(key for key in SCORE_NAMES if f"stars/{key}@1" in first)
    with_accuracy = "stars/accuracy@1" in first
    shares = sorted({float(row["share"]) for row in next(iter(rows.values()))})
    lines = [
        f"Score: {SCORE_NAMES[metric]}, lower is better. Gain: ImageNet transfer's score minus ours on the same"
        " listing, above 0 is better; 95% intervals over listings.",
        "",
        "| world | labelled training listings | test n | ImageNet transfer | multi-task | gain |"
        + " accuracy gain, points |" * with_accuracy,
        "|---|---:|---:|---:|---:|---|" + "---|" * with_accuracy,
    ]
    groups = {name: [found] for name, found in sizes.items()}
    if len(groups) > 1:
        groups["pooled"] = list(sizes.values())
    for name, outcomes in groups.items():
        for share in shares:
            members = rows.values() if name == "pooled" else [rows[name]]
            count = sum(
                int(row["training_listings"])
                for table in members
                for row in table
                if float(row["share"]) == share and row["model"] == "candidate"
            )
            scored = [found[f"stars/{metric}@{share:g}"] for found in outcomes]
            gain = _gain(scored, "reference", lower_is_better=True)
            cells = [
                name,
                f"{count:,} ({share:.0%})",
                str(len(gain)),
                f"{_all(scored, 'reference').mean():.4f}",
                f"{_all(scored, 'candidate').mean():.4f}",
                _interval(mean_interval(gain), signed=True),
            ]
            if with_accuracy:
                hits = [found[f"stars/accuracy@{share:g}"] for found in outcomes]
                points = mean_interval(_gain(hits, "reference", lower_is_better=False))
                cells.append(_interval(points, 100, 1, signed=True))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tasks_table(runs: Mapping[str, Path]) -> str:
    """Every training task against the majority class or the mean, all runs' test listings together."""
    outcomes: list[Outcomes] = [read_outcomes(run / "evaluate-tasks" / "outcomes.parquet") for run in runs.values()]
    tables = [_rows(run / "evaluate-tasks" / "tasks.csv") for run in runs.values()]
    kinds = {row["task"]: row["kind"] for table in tables for row in table}
    areas: dict[str, list[str]] = {}
    for table in tables:
        for row in table:
            if row["model"] == "candidate" and row["auc"]:
                areas.setdefault(row["task"], []).append(f"{float(row['auc']):.2f}")
    lines = [
        "Binary and multiclass: accuracy against the majority class, gain in points. Regression: root mean squared"
        " error against the training mean, gain as the share of the squared error removed. 95% intervals over"
        " listings.",
        "",
        "| task | kind | test n | majority or mean | multi-task | gain | AUC, a run each |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for task, kind in kinds.items():
        found = [models[f"tasks/{task}"] for models in outcomes if f"tasks/{task}" in models]
        chance, ours = _all(found, "chance"), _all(found, "candidate")
        if kind == "regression":
            gain = mean_interval(_gain(found, "chance", lower_is_better=True))
            values = [f"{np.sqrt(chance.mean()):.4g}", f"{np.sqrt(ours.mean()):.4g}"]
            text = _interval(gain, 100 / chance.mean(), 1, signed=True) + " %"
        else:
            gain = mean_interval(_gain(found, "chance", lower_is_better=False))
            values = [f"{chance.mean():.1%}", f"{ours.mean():.1%}"]
            text = _interval(gain, 100, 1, signed=True)
        lines.append(
            f"| {task} | {kind} | {len(ours)} | {values[0]} | {values[1]} | {text} | {' '.join(areas.get(task, []))} |"
        )
    return "\n".join(lines)


def gate_table(found: Mapping[str, Any]) -> str:
    """The decisions on the candidates that differ from the baseline in their seed alone."""
    from scipy.stats import binomtest

    decisions = found["decisions"]
    passed = sum(decision["promote"] for decision in decisions)
    bounds = binomtest(passed, len(decisions)).proportion_ci(0.95)
    lines = [
        f"**{passed} of {len(decisions)}** pass (95% interval {bounds.low:.0%} to {bounds.high:.0%}). Baseline:"
        f" training seed {found['baseline']} on the world with seed {found['world']}.",
        "",
        "| training seed | decision | rules that did not pass |",
        "|---:|---|---|",
    ]
    for decision in decisions:
        reasons = "" if decision["promote"] else "; ".join(decision["reasons"])
        lines.append(f"| {decision['seed']} | {'promote' if decision['promote'] else 'refuse'} | {reasons} |")
    return "\n".join(lines)


def _missing(part: str) -> str:
    return f"Not measured yet: `python -m benchmarks.results --only {part}`."


def write_page(out: Path, work: Path, params: Params, date: str, trial: bool) -> None:
    """Write the page from all parts that the work folder has; a part that was not measured is named as such.

    Raises:
        ShoplensError: if a stage's output was changed since it was written.
    """
    worlds: dict[str, Path] = {}
    if (work / "stars.json").is_file():
        for number, entry in enumerate(read_json(work / "stars.json"), start=1):
            worlds[f"{number} (seed {entry['seed']})"] = work / entry["run"]
    icons = {"open-icons": work / read_json(work / "icons.json")["run"]} if (work / "icons.json").is_file() else {}
    for run in (*worlds.values(), *icons.values()):
        for name in ("evaluate-stars", "evaluate-tasks"):
            read_artifact(run / name, name)
    seconds = read_json(work / "seconds.json") if (work / "seconds.json").is_file() else {}
    dirty = " with changes that were not committed" if git("status", "--porcelain", "--", "src", "params.yaml") else ""
    train = ", ".join(f"{key} {value}" for key, value in params.train.model_dump(mode="json").items())
    page = [
        "# Results",
        "",
        "**A trial on small worlds of other seeds: it shows that the measurement runs, and no result.**"
        if trial
        else "Written by `make results`; no number here is typed by hand, and none is used to choose a setting.",
        "",
        "The seeds of the worlds follow from the hash of the last commit that touched the world's rules"
        f" (`sha256(hash + {'trial + ' if trial else ''}number) mod 2^31`), so nobody picked them.",
        "",
        f"- date: {date}",
        f"- commit: {git('rev-parse', 'HEAD')}{dirty}",
        "- commits that touched the world's rules, the latest first:",
        *(f"  - {line}" for line in rules_history()),
        f"- machine: {machine().split(', load')[0]}",
        f"- time: {sum(seconds.values()) / 60:.0f} minutes for {len(seconds)} steps",
        f"- world: {params.world.listings} listings, label noise {params.world.label_noise}",
        f"- training: {train}",
        "",
        "## Hold-out star rating: multi-task embeddings against ImageNet transfer",
        "",
        "The same shallow head, tuned in the same way on validation, on the mean of a gallery's photo embeddings: those"
        " of the trained encoder, and those of its backbone with ImageNet weights, as it was before training.",
        "",
        stars_table(worlds) if worlds else _missing("stars"),
        "",
        "## Training tasks against the majority class or the mean",
        "",
        tasks_table(worlds) if worlds else _missing("stars"),
        "",
        "## The gate and an equally good model",
        "",
        "How often `gate.yaml` passes the same configuration trained with another seed, against the first one.",
        "",
        gate_table(read_json(work / "gate.json")) if (work / "gate.json").is_file() else _missing("gate"),
        "",
        "## Open-icons: hold-out",
        "",
        "Emojis as four vendors draw them; the hold-out is the emoji's group (docs/open-icons.md).",
        "",
        stars_table(icons) if icons else _missing("icons"),
        "",
        "## Open-icons: training tasks",
        "",
        tasks_table(icons) if icons else _missing("icons"),
        "",
        VGG16,
    ]
    write_text(out, "\n".join(page))
