"""Progress of long work, on standard error: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> tqdm[T]:
    """Show progress while iterating over `items`."""
    return tqdm(items, desc=what, total=total, unit=unit, **_style())


def counter(what: str, total: int, unit: str = "it") -> tqdm[None]:
    """Progress for work that counts itself: `with counter(...) as bar: bar.update(n)`."""
    return tqdm(desc=what, total=total, unit=unit, **_style())


def _style() -> dict[str, Any]:
    interactive = sys.stderr.isatty()
    return {
        "delay": 1.0,
        "mininterval": 0.2 if interactive else 10.0,
        "maxinterval": 10.0,
        "dynamic_ncols": interactive,
        "ascii": not interactive,
    }


def say(message: str) -> None:
    """One line for the person watching, on standard error."""
    print(message, file=sys.stderr, flush=True)
