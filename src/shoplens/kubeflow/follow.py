"""Follow a run on a cluster to its end: a line for every change of a task, whatever becomes of the connection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.kubeflow.client import get_run, version_spec
from shoplens.kubeflow.outcome import FINAL, OPEN, Outcome, Task, is_settled, outcome_of, tasks_of, titles
from shoplens.kubeflow.server import Missing, Passing, Server, Unanswered
from shoplens.progress import say

LONGEST_S = 60.0
"""The longest pause between two attempts to reach a server that does not answer."""
REACH_S = 60.0
"""Seconds after which a server that never answered is taken for one that is not there."""
PATIENCE = 3
"""How often an ended run is asked for the ends of its tasks."""


class Lost(ShoplensError):
    """Following ended before the run did; the run goes on."""


class Unreached(ShoplensError):
    """No server has answered, from the beginning."""


def follow(server: Server, run_id: str, poll_s: float, timeout_s: float, reached: bool) -> Outcome:
    """Say what the tasks of a run do until it ends.

    Args:
        server: where it runs.
        run_id: its id.
        poll_s: seconds between two questions.
        timeout_s: seconds after which to give up.
        reached: whether the server has answered already: then it is waited for until `timeout_s`.

    Raises:
        Unreached: after REACH_S or `timeout_s` without any answer.
        Lost: after `timeout_s`, or if the server does not let the run be seen any more.
    """
    begun = time.monotonic()
    seen: dict[str, str] = {}
    names: Mapping[str, str] | None = None
    lost = ended = 0
    while True:
        try:
            run = get_run(server, run_id)
            reached = True
            names = names_of(server, run) if names is None else names
            if lost:
                say("connected again")
            lost = 0
            for line in changes(seen, tasks_of(run, names)):
                say(line)
            if run.state in FINAL:
                ended += 1
                if is_settled(run, names) or ended > PATIENCE:
                    return outcome_of(server, run, names)
        except Passing as failure:
            reached = reached or not isinstance(failure, Unanswered)
            if not lost:
                say(f"{failure}; {'the run goes on, ' if reached else ''}trying to reach it again")
            lost += 1
        except ShoplensError as error:
            raise Lost(str(error)) from None
        limit_s = timeout_s if reached else min(timeout_s, REACH_S)
        left = begun + limit_s - time.monotonic()
        if left <= 0 and not reached:
            raise Unreached(
                f"{server.host} has not answered once in {limit_s:g} s: is --host right, and the server up?"
            )
        if left <= 0:
            raise Lost(f"not followed any longer after {timeout_s:g} s")
        time.sleep(min(pause_s(poll_s, lost), left))  # and looks once more at the very end


def pause_s(poll_s: float, lost: int) -> float:
    """Seconds until the next question, after so many in a row without an answer."""
    doubled = poll_s * 2.0 ** min(lost, 30)  # an outage of a day would be more than a float can hold
    return min(doubled, max(poll_s, LONGEST_S))


def changes(seen: dict[str, str], tasks: list[Task]) -> list[str]:
    """A line for every task whose state is new; `seen` (id -> state) is brought up to date."""
    lines = []
    for task in tasks:
        if seen.get(task.id) != task.state and task.state in (*FINAL, *OPEN):
            took = f" after {task.seconds:.0f} s" if task.seconds is not None and task.state in FINAL else ""
            lines.append(f"{task.title}: {task.state.lower()}{took}")
        seen[task.id] = task.state
    return lines


def names_of(server: Server, run: Any) -> Mapping[str, str]:
    """The tasks of a run's graph: its own, or that of the version that it was started from.

    Raises:
        ShoplensError: if the version was deleted.
    """
    version = run.pipeline_version_reference
    if version is None:
        return titles(run.pipeline_spec)
    try:
        return titles(version_spec(server, version.pipeline_id, version.pipeline_version_id))
    except Missing:
        raise ShoplensError(f"the graph of run {run.run_id} was deleted: look at it in the UI") from None
