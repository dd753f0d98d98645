"""What a policy can see: how often it passes an identical model, and one that is worse by exactly the margin.

alpha, margin and n belong together. A margin that is narrow for its n blocks identical models; a wide one lets worse
models through. Normal theory for each rule (checked against simulation in the tests); for all rules together a
simulation that resamples the units, because one listing counts in several rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError
from shoplens.evaluation.statistics import Floats
from shoplens.promotion.gate import Measurements
from shoplens.promotion.policy import FloorRule, NonInferiorityRule, Policy
from shoplens.promotion.rules import paired_gains, restricted, slice_levels

_NORMAL = NormalDist()


def pass_rate(*, n: int, sd: float, threshold: float, alpha: float, true_gain: float = 0.0) -> float:
    """Probability that the one-sided bound of a mean gain over `n` units is at least `threshold` (normal theory).

    Args:
        n: units.
        sd: standard deviation of one unit's gain (candidate against baseline).
        threshold: required gain; minus the margin for non-inferiority.
        alpha: of the bound.
        true_gain: the gain in truth: 0 for an identical model, minus the margin for one worse by the margin.
    """
    error = sd / math.sqrt(n)
    if error == 0:
        return 1.0 if true_gain >= threshold else 0.0
    return _NORMAL.cdf((true_gain - threshold) / error - _NORMAL.inv_cdf(1 - alpha))


def margin_for(*, n: int, sd: float, alpha: float, rate: float = 0.9) -> float:
    """The margin with which an identical model passes at `rate`."""
    return (_NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(rate)) * sd / math.sqrt(n)


@dataclass(frozen=True)
class PowerRow:
    """One rule (or slice of it): its n, the spread of a unit's gain, and how often the named models pass.

    `identical` is, for a floor, how often a model with the gain that this candidate has clears it again; `worse` (by
    the margin) and `margin90` (what an identical model would need to pass 9 times in 10) belong to non-inferiority.
    """

    rule: str
    n: int
    sd: float
    threshold: float
    identical: float
    worse: float | None
    margin90: float | None


@dataclass(frozen=True)
class PolicyPower:
    """The table, and how often a model like this one passes all rules of the policy at once."""

    alpha: float
    rows: tuple[PowerRow, ...]
    all_rules: float


@dataclass(frozen=True)
class _Question:
    name: str
    units: NDArray[np.object_]
    gains: Floats
    threshold: float
    centred: bool


def policy_power(measurements: Measurements, policy: Policy, *, simulations: int = 2_000, seed: int = 0) -> PolicyPower:
    """The policy's power at the observed n and spread of the paired differences.

    Args:
        measurements: of a finished run with a baseline.
        policy: the policy.
        simulations: resamples of the units for the rate over all rules.
        seed: of the resampling.

    Raises:
        ShoplensError: if there is no baseline, or no rule has paired outcomes.
    """
    if not measurements.has_baseline:
        raise ShoplensError(
            "the gate's power follows from the differences between candidate and baseline, and there is no baseline "
            "yet: promote a first model and train a second one"
        )
    questions = list(_questions(measurements, policy))
    if not questions:
        raise ShoplensError("no rule of the policy has outcomes of two models: nothing to compute the power from")
    return PolicyPower(
        policy.alpha,
        tuple(_row(q, policy.alpha) for q in questions),
        _joint(questions, policy.alpha, simulations, seed),
    )


def power_text(power: PolicyPower) -> str:
    """The table for a person."""
    width = max(len(row.rule) for row in power.rows)
    head = f"{'rule':<{width}}  {'n':>6}  {'sd':>9}  {'required':>9}  {'identical':>9}  {'worse':>6}  {'margin90':>9}"
    lines = [head]
    for row in power.rows:
        worse = "" if row.worse is None else f"{row.worse:.1%}"
        margin = "" if row.margin90 is None else f"{row.margin90:.4f}"
        lines.append(
            f"{row.rule:<{width}}  {row.n:>6}  {row.sd:>9.4f}  {row.threshold:>9.4f}  {row.identical:>9.1%}  "
            f"{worse:>6}  {margin:>9}"
        )
    return "\n".join(
        [
            *lines,
            f"alpha {power.alpha}: an identical model passes all of them {power.all_rules:.1%} of the time.",
            "identical: passes; worse: a model worse by the margin passes; margin90: margin at which identical is 90%.",
        ]
    )


def _questions(measurements: Measurements, policy: Policy) -> Iterator[_Question]:
    for rule in policy.rules:
        measurement = measurements.metrics.get(rule.metric)
        if measurement is None or not measurement.scores:
            continue
        if isinstance(rule, FloorRule):
            if rule.against is not None and rule.at_least is not None:
                paired = paired_gains(measurement, rule.against)
                if not isinstance(paired, str):
                    yield _Question(rule.name, *paired, rule.at_least, centred=False)
            continue
        paired = paired_gains(measurement, "baseline")
        if not isinstance(paired, str):
            yield _Question(rule.name, *paired, -rule.margin, centred=True)
        if rule.slices is not None:
            yield from _slice_questions(rule, measurements)


def _slice_questions(rule: NonInferiorityRule, measurements: Measurements) -> Iterator[_Question]:
    measurement, slices = measurements.metrics[rule.metric], rule.slices
    if slices is None:
        return
    for level in slice_levels(slices, measurement):
        paired = paired_gains(restricted(measurement, slices.column, level), "baseline")
        if not isinstance(paired, str):
            yield _Question(f"{rule.name} [{slices.column}={level}]", *paired, -slices.margin, centred=True)


def _row(question: _Question, alpha: float) -> PowerRow:
    n, sd = len(question.gains), float(question.gains.std(ddof=1))
    gain = 0.0 if question.centred else float(question.gains.mean())
    identical = pass_rate(n=n, sd=sd, threshold=question.threshold, alpha=alpha, true_gain=gain)
    if not question.centred:
        return PowerRow(question.name, n, sd, question.threshold, identical, None, None)
    worse = pass_rate(n=n, sd=sd, threshold=question.threshold, alpha=alpha, true_gain=question.threshold)
    return PowerRow(question.name, n, sd, question.threshold, identical, worse, margin_for(n=n, sd=sd, alpha=alpha))


def _joint(questions: list[_Question], alpha: float, simulations: int, seed: int) -> float:
    """Share of resampled hold-outs on which every rule passes; a listing drawn twice counts twice in each rule."""
    units = np.unique(np.concatenate([q.units for q in questions]).astype(str))
    reach = _NORMAL.inv_cdf(1 - alpha)
    generator = np.random.default_rng(seed)
    share = np.full(len(units), 1 / len(units))
    columns = [np.searchsorted(units, q.units.astype(str)) for q in questions]
    step = max(1, 4_000_000 // len(units))
    passed = 0
    for start in range(0, simulations, step):
        block = generator.multinomial(len(units), share, size=min(step, simulations - start))
        good = np.ones(len(block), dtype=bool)
        for question, column in zip(questions, columns, strict=True):
            gains = question.gains - question.gains.mean() if question.centred else question.gains
            part = block[:, column].astype(np.float64)
            n = np.maximum(part.sum(axis=1), 1)
            mean = part @ gains / n
            spread = np.sqrt(np.maximum(part @ gains**2 / n - mean**2, 0))
            good &= mean - reach * spread / np.sqrt(n) >= question.threshold
        passed += int(good.sum())
    return passed / simulations
