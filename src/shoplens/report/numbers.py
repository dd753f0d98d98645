"""Numbers as a person reads them: few digits, as many as the interval supports, and a dash for what does not exist."""

from __future__ import annotations

import math
from dataclasses import dataclass

ABSENT = "–"


@dataclass(frozen=True)
class Estimate:
    """A value with its interval and the number of units behind it; what is unknown or not finite is None."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


def finite(value: float | str | None) -> float | None:
    """A number from JSON or CSV, or None where there is none: null, an empty cell, NaN or an infinity."""
    if value is None or value == "":
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def or_nan(value: float | None) -> float:
    """A number for a drawing, where NaN is left out."""
    return math.nan if value is None else value


def number(value: float | None) -> str:
    """Four significant digits; up to seven decimals just below 1, where cosines live; thousands separated."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if 0.99 <= abs(value) < 1:
        return f"{value:.7f}".rstrip("0").rstrip(".")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def interval(estimate: Estimate | None) -> str:
    """`value [low, high]`, all with the decimals that show two digits of the interval's width."""
    if estimate is None or estimate.value is None:
        return ABSENT
    if estimate.low is None or estimate.high is None:
        return number(estimate.value)
    width = estimate.high - estimate.low
    if width <= 0:
        value = number(estimate.value)
        return f"{value} [{value}, {value}]"
    decimals = min(8, max(0, 1 - math.floor(math.log10(width))))
    texts = [f"{part:,.{decimals}f}" for part in (estimate.value, estimate.low, estimate.high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def short(digest: str | None) -> str:
    """The first 12 characters of a digest: enough to tell two apart."""
    return ABSENT if digest is None else digest[:12]
