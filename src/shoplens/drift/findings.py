"""What a comparison says: a finding for each test, and what could not be tested."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Area = Literal["task", "hold-out", "slice", "listings", "requests"]
Measure = Literal["w", "D", "shift"]

FLOORS: dict[Measure, float] = {"w": 0.1, "D": 0.08, "shift": 0.2}
"""Effects below these are not called drift, however sure they are: what Cohen (1988) calls small (w = 0.1, d = 0.2),
and the D that two normal distributions have at d = 0.2."""
REST = 10
"""Findings that are no drift and yet on the terminal."""


@dataclass(frozen=True)
class Finding:
    """One test.

    Attributes:
        area, name, what: what was compared: `task`, `city`, `values`.
        measure: what `effect` is: Cohen's w (shares of classes), Kolmogorov and Smirnov's D (numbers), or a shift of
            the cloud of embeddings in standard deviations; in excess of what chance alone gives.
        reference, incoming: how many listings or requests were compared.
        p, adjusted: p-value of the permutation test, alone and for the whole family (Holm).
        drifted: whether `adjusted` is at most alpha and the effect at least its floor.
        detail: what changed most, in words.
    """

    area: Area
    name: str
    what: str
    measure: Measure
    reference: int
    incoming: int
    effect: float
    p: float
    adjusted: float
    drifted: bool
    detail: str

    @property
    def floor(self) -> float:
        """The smallest effect that counts."""
        return FLOORS[self.measure]

    def status(self, alpha: float) -> str:
        """`drift`, `small` (sure, but below the floor) or `ok`."""
        return "drift" if self.drifted else "small" if self.adjusted <= alpha else "ok"


@dataclass(frozen=True)
class Skipped:
    """A comparison that could not be made, and why."""

    area: Area
    name: str
    what: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
        champion: what was compared with, in words.
        alpha: the probability that `drifted` is true of anything where nothing has changed is at most this.
        permutations: a test's.
        seed: of samples and permutations.
        findings: by area, the order of dataset.yaml within.
        skipped: what was not compared.
        notes: what was left out before comparing.
    """

    champion: str
    alpha: float
    permutations: int
    seed: int
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def drifted(self) -> list[Finding]:
        """The findings that are drift, the largest (in floors) first."""
        found = [finding for finding in self.findings if finding.drifted]
        return sorted(found, key=lambda finding: -finding.effect / finding.floor)

    @property
    def ordered(self) -> list[Finding]:
        """All findings: what is drift, then the rest, the surest first."""
        rest = [finding for finding in self.findings if not finding.drifted]
        return [*self.drifted, *sorted(rest, key=lambda finding: (finding.p, -finding.effect))]

    @property
    def verdict(self) -> str:
        """One sentence."""
        tests = f"{len(self.findings)} tests, false-alarm rate of the whole report {self.alpha:.3g}"
        if not self.drifted:
            return f"No drift from {self.champion} ({tests})"
        names = [f"{finding.name} ({finding.what})" for finding in self.drifted]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"Drift from {self.champion}: {', '.join(names[:3])}{more} ({tests})"

    def as_json(self) -> dict[str, Any]:
        """The content of drift.json."""
        findings = [{**asdict(finding), "floor": finding.floor} for finding in self.findings]
        return {**asdict(self), "findings": findings, "drifted": bool(self.drifted), "verdict": self.verdict}


def comparison_text(comparison: Comparison) -> str:
    """A table for a terminal: what drifted, and of the rest what came nearest to it."""
    shown = comparison.ordered[: len(comparison.drifted) + REST]
    head = ("", "what", "n before / since", "effect", "floor", "p", "adjusted", "")
    rows = [head, *(_row(one, comparison.alpha) for one in shown)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(shown) < len(comparison.findings):
        lines.append(f"and {len(comparison.findings) - len(shown)} more without drift")
    skipped = [f"not compared: {one.area} {one.name}, {one.what}: {one.reason}" for one in comparison.skipped]
    return "\n".join([comparison.verdict, *comparison.notes, "", *lines, *([""] if skipped else []), *skipped])


def _row(one: Finding, alpha: float) -> tuple[str, ...]:
    status = one.status(alpha)
    return (
        status.upper() if one.drifted else status,
        f"{one.area} {one.name}, {one.what}",
        f"{one.reference} / {one.incoming}",
        f"{one.measure} {one.effect:.3f}",
        f"{one.floor:g}",
        f"{one.p:.2g}",
        f"{one.adjusted:.2g}",
        one.detail,
    )
