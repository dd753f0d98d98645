"""The gate: a pure function from measurements and policy to a decision. Numbers only; no files, no clock, no network.

Bad numbers never raise and never promote: NaN, infinities, a missing metric or slice, too few units and models that
were judged on different units are failed rules with a reason. All rules must pass, so promotion needs no correction
for testing several of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shoplens.promotion.policy import Policy
from shoplens.promotion.rules import Measurement, RuleResult, judge_rule


@dataclass(frozen=True)
class Measurements:
    """Everything that the gate looks at.

    Attributes:
        split: hash of the split that all numbers come from.
        judged: name -> digest of what was judged; repeated in the decision.
        has_baseline: whether there is a model that the candidate must not fall behind.
        metrics: name -> its values.
    """

    split: str
    judged: Mapping[str, str]
    has_baseline: bool
    metrics: Mapping[str, Measurement]


@dataclass(frozen=True)
class Decision:
    """The verdict.

    Attributes:
        promote: yes or no.
        reasons: for a no, one sentence for each rule that did not pass; for a yes, one for every rule.
        rules: the whole table.
        judged, split: what the verdict is about.
    """

    promote: bool
    reasons: tuple[str, ...]
    rules: tuple[RuleResult, ...]
    judged: Mapping[str, str]
    split: str


def decide(measurements: Measurements, policy: Policy) -> Decision:
    """Judge a candidate by a policy. Deterministic, and independent of the order of units and rules."""
    with np.errstate(all="ignore"):
        lines = _baseline_lines(measurements, policy)
        for rule in policy.rules:
            lines += judge_rule(rule, measurements.metrics, measurements.has_baseline, policy)
    refused = [line for line in lines if line.status in ("fail", "inconclusive")]
    promote = not refused and any(line.status == "pass" for line in lines)
    reasons = tuple(f"{line.name}: {line.status}: {line.reason}" for line in (refused or lines))
    return Decision(promote, reasons, tuple(lines), dict(measurements.judged), measurements.split)


def _baseline_lines(measurements: Measurements, policy: Policy) -> list[RuleResult]:
    """The refusals that no rule states: no baseline without leave to start, and a baseline nobody admits to."""
    if measurements.has_baseline:
        return []
    scored = sorted(name for name, found in measurements.metrics.items() if found.scores.get("baseline") is not None)
    if scored:
        reason = f"{scored[0]} has outcomes of a baseline, although there is none: run the champion stage again"
        return [RuleResult("baseline", "baseline", scored[0], "fail", reason)]
    if not policy.bootstrap:
        reason = (
            "there is no baseline, and the policy lacks bootstrap: true, which promotes a first model on its floors"
        )
        return [RuleResult("baseline", "baseline", "baseline", "fail", reason)]
    return []


def decision_json(decision: Decision) -> dict[str, Any]:
    """The content of decision.json: plain values, every number finite or null."""
    return {
        "promote": decision.promote,
        "reasons": list(decision.reasons),
        "rules": [asdict(line) for line in decision.rules],
        "judged": dict(decision.judged),
        "split": decision.split,
    }


def decision_text(decision: Decision) -> str:
    """The verdict for a person: yes or no, then one line for each rule."""
    head = "PROMOTE: every rule passed" if decision.promote else "DO NOT PROMOTE: production is untouched"
    marks = {"pass": "ok", "fail": "NO", "inconclusive": "NO?", "skipped": "--"}
    return "\n".join([head, *(f"  {marks[line.status]:<3} {line.name}: {line.reason}" for line in decision.rules)])
