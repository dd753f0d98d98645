"""One rule of the policy against the measurements: numbers in, a verdict with a readable reason out. No files.

An improvement is positive when the candidate is better, whichever way the metric points. `low` and `high` are
one-sided bounds: each one alone is wrong with probability alpha.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoplens.evaluation.outcomes import Direction, Scores
from shoplens.evaluation.statistics import Floats, mean_interval, units_to_decide
from shoplens.promotion.policy import FloorRule, NonInferiorityRule, Policy, Rule, SliceRule

Status = Literal["pass", "fail", "inconclusive", "skipped"]


@dataclass(frozen=True)
class Measurement:
    """What is known about one metric: values a unit for each model, or (without outcomes) one number a model."""

    direction: Direction
    scores: Mapping[str, Scores] = field(default_factory=dict)
    scalars: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleResult:
    """A line of the decision's table. Numbers that do not exist or are not finite are None.

    Attributes:
        name, kind, metric: of the rule; `slice` is `column=level` on a slice's line.
        candidate, other: mean values; `against` says whose value `other` is.
        improvement, low, high, threshold: for a paired comparison, the mean gain, its one-sided bounds and the gain
            required; for a floor on the candidate alone, bounds and floor in the metric's own terms.
        n: units judged. needed: how many would decide an inconclusive rule.
    """

    name: str
    kind: str
    metric: str
    status: Status
    reason: str
    slice: str | None = None
    candidate: float | None = None
    other: float | None = None
    against: str | None = None
    improvement: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    n: int | None = None
    needed: int | None = None


def judge_rule(rule: Rule, metrics: Mapping[str, Measurement], has_baseline: bool, policy: Policy) -> list[RuleResult]:
    """The lines of one rule: one, and for a rule with slices one more a level. Never raises on bad numbers."""
    measurement = metrics.get(rule.metric)
    if isinstance(rule, NonInferiorityRule) and not has_baseline and policy.bootstrap:
        return [_line(rule, "skipped", f"{rule.metric}: no baseline yet, so only the floors count (bootstrap)")]
    if measurement is None or not (measurement.scores or measurement.scalars):
        if rule.optional:
            return [_line(rule, "skipped", f"{rule.metric}: not evaluated, and the rule is optional")]
        family = rule.metric.split("/")[0] + "/"
        others = ", ".join(sorted(name for name in metrics if name.startswith(family))) or "nothing"
        reason = f"{rule.metric}: not evaluated; a missing metric is a no (of {family} there is {others})"
        return [_line(rule, "fail", reason)]
    if isinstance(rule, FloorRule):
        return [_floor(rule, measurement, policy)]
    if not has_baseline:
        return [_line(rule, "fail", f"{rule.metric}: there is no baseline to compare with")]
    lines = [_compare(rule, measurement, "baseline", -rule.margin, rule.min_n, policy)]
    return lines + _slices(rule, measurement, policy)


def _floor(rule: FloorRule, measurement: Measurement, policy: Policy) -> RuleResult:
    if rule.against is not None and rule.at_least is not None:
        return _compare(rule, measurement, rule.against, rule.at_least, rule.min_n, policy)
    higher = measurement.direction == "higher"
    floor = rule.at_least if higher else rule.at_most
    if floor is None:
        key = "at_least" if higher else "at_most"
        return _line(rule, "fail", f"{rule.metric}: {measurement.direction} is better, so the floor must be {key}")
    wanted = f"{'at least' if higher else 'at most'} {_text(floor)}"
    sign = 1.0 if higher else -1.0
    if not measurement.scores:
        value = measurement.scalars.get("candidate")
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return _line(rule, "fail", f"{rule.metric}: candidate {value} is not a number; required {wanted}")
        status: Status = "pass" if sign * value >= sign * floor else "fail"
        reason = f"{rule.metric}: candidate {_text(value)}, required {wanted} (one measurement, no interval)"
        return _line(rule, status, reason, candidate=float(value), threshold=floor)
    scores = measurement.scores.get("candidate")
    problem = _unusable(scores, "candidate", rule.min_n)
    if scores is None or problem:
        return _line(rule, "fail", f"{rule.metric}: {problem}; required {wanted}", n=_count(scores))
    found = _weigh(sign * scores.values, sign * floor, policy)
    low, high = sorted((sign * found.low, sign * found.high))
    reason = f"{rule.metric}: candidate {_text(sign * found.value)} {_bounds(low, high, policy)}, required {wanted}"
    return _line(
        rule,
        found.status,
        f"{reason}, n = {len(scores.values)}{_outlook(found)}",
        candidate=sign * found.value,
        low=low,
        high=high,
        threshold=floor,
        n=len(scores.values),
        needed=found.needed,
    )


def _slices(rule: NonInferiorityRule, measurement: Measurement, policy: Policy) -> list[RuleResult]:
    if rule.slices is None:
        return []
    column = rule.slices.column
    scores = measurement.scores.get("candidate")
    if scores is None or column not in scores.slices:
        return [_line(rule, "fail", f"{rule.metric}: the outcomes have no slice column {column!r}", slice=column)]
    levels = slice_levels(rule.slices, measurement)
    if not levels:
        return [_line(rule, "fail", f"{rule.metric}: no unit has a {column}", slice=column)]
    return [
        _compare(
            rule,
            restricted(measurement, column, level),
            "baseline",
            -rule.slices.margin,
            rule.slices.min_n,
            policy,
            slice_label=f"{column}={level}",
        )
        for level in levels
    ]


def slice_levels(rule: SliceRule, measurement: Measurement) -> tuple[str, ...]:
    """The levels to judge: those that the rule names, else those that the candidate's units have, sorted."""
    scores = measurement.scores.get("candidate")
    values = () if scores is None else scores.slices.get(rule.column, ())
    return rule.levels or tuple(sorted({str(v) for v in values if v is not None}))


def restricted(measurement: Measurement, column: str, level: str) -> Measurement:
    """The measurement on the units of one slice."""
    parts = {model: _part(scores, column, level) for model, scores in measurement.scores.items()}
    return Measurement(measurement.direction, parts)


def paired_gains(measurement: Measurement, against: str, min_n: int = 2) -> tuple[NDArray[np.object_], Floats] | str:
    """Units (sorted) and the candidate's gain over another model on each, or what makes them incomparable."""
    candidate, other = measurement.scores.get("candidate"), measurement.scores.get(against)
    problem = _unusable(candidate, "candidate", min_n) or _unusable(other, against, min_n)
    if candidate is None or other is None or problem:
        return str(problem)
    order, other_order = np.argsort(candidate.units), np.argsort(other.units)
    units, other_units = candidate.units[order], other.units[other_order]
    if not np.array_equal(units, other_units):
        here, there = set(units.tolist()), set(other_units.tolist())
        return f"not judged on the same units: {len(here - there)} only here, {len(there - here)} only there"
    if (units[1:] == units[:-1]).any():
        return "a unit occurs twice"
    sign = 1.0 if measurement.direction == "higher" else -1.0
    gains = sign * (candidate.values[order] - other.values[other_order])
    if not np.isfinite(gains).all():
        return "the differences are too large for a number"
    return units, gains


def _part(scores: Scores, column: str, level: str) -> Scores:
    values = scores.slices.get(column)
    chosen = np.zeros(len(scores.units), bool) if values is None else np.asarray(values == level, dtype=bool)
    return Scores(scores.units[chosen], scores.values[chosen], {})


def _compare(
    rule: Rule,
    measurement: Measurement,
    against: str,
    threshold: float,
    min_n: int,
    policy: Policy,
    slice_label: str | None = None,
) -> RuleResult:
    """Candidate against another model on the same units: is the gain's bound at least `threshold`?"""
    place = f"{rule.metric} [{slice_label}]" if slice_label else rule.metric
    wanted = f"may be worse by {_text(-threshold)}" if threshold < 0 else f"must be better by {_text(threshold)}"
    candidate, other = measurement.scores.get("candidate"), measurement.scores.get(against)
    paired = paired_gains(measurement, against, min_n)
    means = {"candidate": _mean(candidate), "other": _mean(other)}
    if isinstance(paired, str):
        values = f"candidate {_text(means['candidate'])}, {against} {_text(means['other'])}"
        reason = f"{place}: {paired} ({values}; {wanted})"
        count = _count(candidate)
        return _line(rule, "fail", reason, slice=slice_label, against=against, threshold=threshold, n=count, **means)
    gains = paired[1]
    found = _weigh(gains, threshold, policy)
    size = f"{'better' if found.value >= 0 else 'worse'} by {_text(abs(found.value))}"
    reason = (
        f"{place}: candidate {_text(means['candidate'])}, {against} {_text(means['other'])}: {size} "
        f"{_bounds(found.low, found.high, policy)}, {wanted}, n = {len(gains)}{_outlook(found)}"
    )
    return _line(
        rule,
        found.status,
        reason,
        slice=slice_label,
        against=against,
        improvement=found.value,
        low=found.low,
        high=found.high,
        threshold=threshold,
        n=len(gains),
        needed=found.needed,
        **means,
    )


@dataclass(frozen=True)
class _Weighed:
    status: Status
    value: float
    low: float
    high: float
    needed: int | None


def _weigh(gains: Floats, threshold: float, policy: Policy) -> _Weighed:
    """Three answers: the cautious bound clears the threshold, not even the favourable one does, or undecided."""
    found = mean_interval(gains, alpha=policy.alpha, resamples=policy.resamples, seed=policy.seed, tails=1)
    if found.low >= threshold:
        return _Weighed("pass", found.value, found.low, found.high, None)
    if found.high < threshold:
        return _Weighed("fail", found.value, found.low, found.high, None)
    needed = units_to_decide(gains, threshold, alpha=policy.alpha)
    needed = None if needed is None else max(needed, found.n + 1)
    return _Weighed("inconclusive", found.value, found.low, found.high, needed)


def _outlook(found: _Weighed) -> str:
    if found.status != "inconclusive":
        return ""
    if found.needed is None:
        return "; not decided, and no number of units would decide it at this difference"
    return f"; not decided: at this difference and spread it takes about n = {found.needed}"


def _unusable(scores: Scores | None, model: str, min_n: int) -> str | None:
    if scores is None:
        return f"no outcomes of the {model}"
    if len(scores.units) != len(scores.values):
        return f"{len(scores.values)} values for {len(scores.units)} units of the {model}"
    if len(scores.values) < min_n:
        return f"too few units: n = {len(scores.values)}, required {min_n}"
    bad = int((~np.isfinite(scores.values)).sum())
    if bad:
        return f"{bad} of {len(scores.values)} values of the {model} are NaN or infinite"
    return None


def _line(rule: Rule, status: Status, reason: str, **numbers: object) -> RuleResult:
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()}
    return RuleResult(rule.name, rule.kind, rule.metric, status, reason, **clean)  # type: ignore[arg-type]


def _mean(scores: Scores | None) -> float | None:
    return None if scores is None or not len(scores.values) else float(np.sort(scores.values).mean())


def _count(scores: Scores | None) -> int | None:
    return None if scores is None else len(scores.values)


def _text(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.6g}" if 0.99 < abs(value) < 1 else f"{value:.4g}"  # cosines differ in the last digits only


def _bounds(low: float, high: float, policy: Policy) -> str:
    return f"({100 * (1 - policy.alpha):.4g}% bounds {_text(low)} .. {_text(high)})"
