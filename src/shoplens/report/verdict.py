"""The top of the page: the decision in a sentence, what was compared, and the rule table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.files import read_json
from shoplens.report.numbers import ABSENT, Estimate, finite, interval, number, short

REFUSING = ("fail", "inconclusive")
MODELS = ("candidate", "baseline", "reference", "chance")


@dataclass(frozen=True)
class Models:
    """What was compared. `baseline_version` and `baseline_weights` are None where there is no baseline yet."""

    candidate_weights: str
    backbone: str
    baseline_version: str | None
    baseline_weights: str | None
    split: str

    @property
    def baseline(self) -> str:
        """The baseline in a sentence."""
        return "no baseline yet" if self.baseline_version is None else f"baseline version {self.baseline_version}"


@dataclass(frozen=True)
class RuleRow:
    """A line of the rule table, as text."""

    name: str
    slice: str | None
    metric: str
    candidate: str
    other: str
    interval: str
    required: str
    n: str
    status: str
    reason: str


@dataclass(frozen=True)
class MetricRow:
    """A metric of all models, with two-sided intervals; `n` units such as listings or queries."""

    metric: str
    better: str
    models: tuple[Estimate | None, ...]
    n: int | None
    unit: str


@dataclass(frozen=True)
class Verdict:
    """The decision: yes or no, one sentence, and a reason for each rule that did not pass."""

    promote: bool
    sentence: str
    reasons: tuple[str, ...]
    rules: tuple[RuleRow, ...]


def read_models(train: Path, champion: Path, prepare: Path) -> Models:
    """Who is the candidate, who the baseline, and on which split they were measured."""
    candidate = read_json(train / "encoder" / "encoder.json")
    version = read_json(champion / "champion.json")["version"]
    weights = None if version is None else read_json(champion / "encoder" / "encoder.json")["weights_digest"]
    return Models(
        candidate["weights_digest"],
        candidate["encoder"]["backbone"],
        None if version is None else str(version),
        weights,
        read_json(prepare / "split.json")["hash"],
    )


def read_verdict(gate: Path, models: Models, directions: Mapping[str, str]) -> Verdict:
    """The gate's decision for a person.

    Args:
        directions: metric -> `lower` or `higher` is better, which says which way a floor points.
    """
    decision = read_json(gate / "decision.json")
    rules = decision["rules"]
    counts = {status: sum(rule["status"] == status for rule in rules) for status in ("pass", "skipped", *REFUSING)}
    refused = sum(counts[status] for status in REFUSING)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    who = f"candidate {short(models.candidate_weights)}"
    if decision["promote"]:
        sentence = f"Promote {who}: all {counts['pass']} checks passed{skipped} ({models.baseline})."
    else:
        sentence = (
            f"Refused: {who} is not promoted, because {refused} of {refused + counts['pass']} checks did not pass"
            f"{skipped} ({models.baseline}). Production stays as it is."
        )
    return Verdict(
        decision["promote"],
        sentence,
        () if decision["promote"] else tuple(decision["reasons"]),
        tuple(_rule(rule, directions.get(rule["metric"])) for rule in rules),
    )


def _rule(rule: Mapping[str, Any], direction: str | None) -> RuleRow:
    paired = rule["improvement"] is not None
    middle = rule["improvement"] if paired else rule["candidate"]
    bounds = interval(Estimate(middle, rule["low"], rule["high"])) if rule["low"] is not None else ABSENT
    if rule["against"]:
        other = f"{rule['against']} {number(rule['other'])}"
    else:
        other = ABSENT if rule["threshold"] is None else f"floor {number(rule['threshold'])}"
    needed = f" (≈{rule['needed']:,} would decide)" if rule["needed"] else ""
    return RuleRow(
        rule["name"],
        rule["slice"],
        rule["metric"],
        number(rule["candidate"]),
        other,
        f"gain {bounds}" if paired else bounds,
        _required(rule, direction),
        ABSENT if rule["n"] is None else f"{rule['n']:,}{needed}",
        rule["status"],
        rule["reason"],
    )


def _required(rule: Mapping[str, Any], direction: str | None) -> str:
    threshold = rule["threshold"]
    if threshold is None:
        return ABSENT
    if rule["against"] is None:
        return f"at {'most' if direction == 'lower' else 'least'} {number(threshold)}"
    return f"gain at least {number(threshold)}"


def metric_row(metric: str, block: Mapping[str, Any]) -> MetricRow:
    """One metric of a metrics.json."""
    return MetricRow(
        metric,
        block["direction"],
        tuple(estimate(block[model]) if model in block else None for model in MODELS),
        block.get("candidate", {}).get("n"),
        block["unit"],
    )


def estimate(entry: Mapping[str, Any]) -> Estimate:
    """A value of a metrics.json."""
    return Estimate(finite(entry["value"]), finite(entry["low"]), finite(entry["high"]), entry["n"])
