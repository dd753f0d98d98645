"""What came of a run on a cluster, from the summary that `python pipeline.py submit --summary FILE` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from shoplens.ci.run import Run
from shoplens.errors import ShoplensError
from shoplens.files import read_json
from shoplens.report.judged import Judged
from shoplens.strict import StrictModel, parse

SHOWN = 12
"""Digits of the commit in a run's name."""


class Failure(StrictModel):
    """A task that failed, and what it said, if the cluster still knows."""

    task: str
    message: str


class Summary(StrictModel):
    """The summary; `open` is a run that was not followed to its end, `no_metrics` why nothing was `judged`."""

    run_id: str
    name: str
    state: str
    decision: Literal["promoted", "refused", "failed", "open"]
    failures: tuple[Failure, ...]
    url: str
    reasons: tuple[str, ...]
    judged: Judged | None
    no_metrics: str


def read_submitted(path: Path, commit: str) -> Run:
    """Read the summary of a run on a cluster.

    Args:
        path: of the summary; without one the run was not started.
        commit: full id of what the run must be about.

    Raises:
        ShoplensError: if the file is no summary, or is about another commit.
    """
    if not path.exists():
        return Run("unfinished", "it was not started")
    found = parse(Summary, read_json(path), str(path))
    if found.name and commit[:SHOWN] not in found.name.split():
        raise ShoplensError(
            f"{path} is about the run {found.name!r}, not about commit {commit[:SHOWN]}: submit that one"
        )
    if found.decision == "promoted" or found.decision == "refused":
        return Run(found.decision, "", found.reasons, found.judged, found.no_metrics, page=found.url)
    if found.decision == "open":
        return Run("unfinished", "it was not followed to its end and may go on", page=found.url)
    said = "; ".join(f"task {failure.task} failed: {failure.message or 'no message'}" for failure in found.failures)
    why = said or f"it ended as {found.state.lower()}"
    return Run("unfinished", why, (), found.judged, found.no_metrics, page=found.url)
