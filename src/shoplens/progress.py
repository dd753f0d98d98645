"""Progress of long work, on standard error: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> tqdm[T]:
    """Wrap `items`; also usable as a context manager with `.update(n)` when `items` is `()` and `total` is given."""
    interactive = sys.stderr.isatty()
    return tqdm(
        items,
        desc=what,
        total=total,
        unit=unit,
        mininterval=0.2 if interactive else 10.0,
        maxinterval=10.0,
        dynamic_ncols=interactive,
        ascii=not interactive,
    )


def say(message: str) -> None:
    """One line for the person watching, on standard error."""
    print(message, file=sys.stderr, flush=True)
