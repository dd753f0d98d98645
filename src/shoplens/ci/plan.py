"""Is retraining wanted? Decided from git's history and the record of the last finished run.

Whatever the event, the question is whether main's state (code, settings, data) differs from that of the last finished
run. The commit before a push is asked only while there is no record: a push that waited for a run to end, or whose run
broke off, would otherwise be forgotten by the next one. dvc.lock, documents and tests are no part of a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoplens.ci.git import commit_of, is_ancestor
from shoplens.ci.record import Record
from shoplens.ci.state import State, changed_code, state_of
from shoplens.errors import ShoplensError

Event = Literal["push", "schedule", "manual"]
SHOWN = 3
"""Changed files that a reason names."""


@dataclass(frozen=True)
class Plan:
    """Whether to retrain, the reason in one line, and the commit (full id) that it is about."""

    retrain: bool
    reason: str
    head: str


def plan(root: Path, event: Event, base: str, head: str, last: Record | None) -> Plan:
    """Decide.

    Args:
        root: the repository, with its whole history.
        event: what happened; by hand means that a person wants a run.
        base: for a push, the commit before it; zeros or nothing for a new branch.
        head: the newest commit.
        last: the last finished run, if any.

    Raises:
        ShoplensError: if the head is unknown, or has no data.dvc.
    """
    commit = commit_of(root, head)
    if commit is None:
        raise ShoplensError(f"{root} has no commit {head}: fetch the whole history (git fetch --unshallow)")
    state = state_of(root, commit)
    retrain, reason = _verdict(root, event, base, commit, state, last)
    return Plan(retrain, " ".join(reason.split()), commit)


def _verdict(root: Path, event: Event, base: str, head: str, state: State, last: Record | None) -> tuple[bool, str]:
    if event == "manual":
        return True, "asked for by hand"
    if last is not None:
        if last.state == state:
            return False, f"code, settings and data are those of the last finished run ({last.title})"
        known = commit_of(root, last.commit)
        files = changed_code(root, known, head) if known else ()
        return True, f"since the last finished run ({last.title}): {_difference(last.state, state, files)}"
    if event == "schedule":
        return True, "no finished run is on record"
    before = commit_of(root, base)
    if before is None or not is_ancestor(root, before, head):
        return True, "what main was before is unknown or not in its history: a new branch or a force push"
    former = state_of(root, before)
    if former == state:
        return False, "the push changes nothing that a model is made from"
    return True, f"the push brings {_difference(former, state, changed_code(root, before, head))}"


def _difference(before: State, after: State, files: tuple[str, ...]) -> str:
    """What is new, in words."""
    parts = [f"new data ({after.data})"] if before.data != after.data else []
    if before.code != after.code:
        names = ", ".join(files[:SHOWN]) + (f" and {len(files) - SHOWN} more" if len(files) > SHOWN else "")
        parts.append("changed code or settings" + (f" ({names})" if files else ""))
    return " and ".join(parts)
