"""Timing two ways of doing the same work: same process, same threads, warmed up, taking turns."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured claim.

    Attributes:
        claim: what ours does.
        instead: what a user would pick instead.
        ours_s, instead_s: median seconds.
        limit: the ratio of multiply-adds (backward counted as two forward), or None where counting says nothing.
    """

    claim: str
    instead: str
    ours_s: float
    instead_s: float
    limit: float | None = None

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.instead_s / self.ours_s


def compare(
    claim: str,
    instead: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    repeats: int = 5,
    limit: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Row:
    """Run both once to warm up, then in turns; medians, in seconds of `clock`."""
    ours()
    theirs()
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for times, function in zip(taken, (ours, theirs), strict=True):
            start = clock()
            function()
            times.append(clock() - start)
    return Row(claim, instead, statistics.median(taken[0]), statistics.median(taken[1]), limit)


def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> str:
    """Processor, cores, threads and versions that the numbers depend on."""
    import numpy
    import torch

    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}, "
        f"numpy {numpy.__version__}, Python {platform.python_version()}{load}"
    )


def table(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = [
        "| ours | instead | ours, s | instead, s | times faster | multiply-adds alone |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:.1f}"
        lines.append(
            f"| {row.claim} | {row.instead} | {row.ours_s:.3f} | {row.instead_s:.3f} | {row.ratio:.1f} | {limit} |"
        )
    return "\n".join(lines)


def show(rows: Sequence[Row]) -> None:
    """Print one benchmark's result."""
    print(machine(), table(rows), sep="\n\n")
