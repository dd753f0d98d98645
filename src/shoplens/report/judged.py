"""What a comment about a run tells of the gate: decision, how many rules passed, the judged metrics of two models.

It is read from the artifacts, on this machine as in the task of a cluster, and then travels as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shoplens.files import read_json
from shoplens.report.numbers import Estimate, finite
from shoplens.report.verdict import REFUSING
from shoplens.strict import StrictModel


class JudgedMetric(StrictModel):
    """A metric that a rule is about: the candidate's, and that of the model beside it, where they have one."""

    name: str
    better: Literal["higher", "lower"]
    candidate: Estimate | None
    other: Estimate | None


class Judged(StrictModel):
    """The decision.

    Attributes:
        promote: yes or no.
        baseline: version of the model that the candidate was compared with; None: there is none yet, and the other
            model is ImageNet transfer.
        passed: how many rules passed.
        short: how many did not.
        metrics: those that rules are about, in their order.
        left_out: metrics that there was no room for, after those.
    """

    promote: bool
    baseline: str | None
    passed: int
    short: int
    metrics: tuple[JudgedMetric, ...]
    left_out: int = 0


def read_judged(gate: Path, inputs: Mapping[str, Path]) -> Judged:
    """Read what was judged from the artifacts of a run.

    Args:
        gate: the gate's folder.
        inputs: the paths that the gate was given, by the names of its inputs; JSON files are enough.

    Raises:
        ShoplensError: if a file is missing or not JSON.
    """
    decision = read_json(gate / "decision.json")
    rules = decision["rules"]
    version = read_json(inputs["champion"] / "champion.json")["version"]
    files = [inputs[name] / "metrics.json" for name in sorted(inputs)]
    known: dict[str, dict[str, Any]] = {}
    for file in files:
        known |= read_json(file).get("metrics", {}) if file.is_file() else {}
    names = dict.fromkeys(rule["metric"] for rule in rules)
    other = "reference" if version is None else "baseline"
    return Judged(
        promote=decision["promote"],
        baseline=None if version is None else str(version),
        passed=sum(rule["status"] == "pass" for rule in rules),
        short=sum(rule["status"] in REFUSING for rule in rules),
        metrics=tuple(_metric(name, known[name], other) for name in names if name in known),
    )


def _metric(name: str, entry: Mapping[str, Any], other: str) -> JudgedMetric:
    candidate, beside = (_estimate(entry.get(model)) for model in ("candidate", other))
    return JudgedMetric(name=name, better=entry["direction"], candidate=candidate, other=beside)


def _estimate(entry: Mapping[str, Any] | None) -> Estimate | None:
    """A scalar may have no interval and no count."""
    if entry is None:
        return None
    value, low, high = (finite(entry.get(key)) for key in ("value", "low", "high"))
    return Estimate(value, low, high, entry.get("n"))
