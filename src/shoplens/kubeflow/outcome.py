"""What a run on a cluster has come to, as far as the server tells.

The server lists the nodes of the workflow by name, with state and times. It has fields for a task's error and outputs
and leaves them empty, so that reasons and the gate's numbers are read from the logs of the tasks' pods, as long as the
cluster keeps them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from shoplens.errors import ShoplensError
from shoplens.kubeflow.argo import pods
from shoplens.kubeflow.client import pod_log
from shoplens.kubeflow.gate_line import read_line
from shoplens.kubeflow.last_words import last_words
from shoplens.kubeflow.server import Server
from shoplens.report.judged import Judged

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
OPEN = ("PENDING", "RUNNING", "PAUSED", "CANCELING")
DRIVER = "-driver"
"""Before each task, Kubeflow runs a node of this name's ending that prepares it."""
GATE, REFUSAL, LAST = "gate", "refuse", "deploy"
"""The task that decides, the one that ends a refused run, and the last one of a promoted run."""

Decision = Literal["promoted", "refused", "failed", "open"]


@dataclass(frozen=True)
class Task:
    """A task of the graph in a run.

    Attributes:
        id: of its node.
        name: in the graph.
        title: as the UI shows it.
        state: Kubeflow's word, as RUNNING.
        start: None before it started.
        seconds: that it took; None before it ended.
        children: ids of the nodes below it.
    """

    id: str
    name: str
    title: str
    state: str
    start: datetime | None
    seconds: float | None
    children: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A task that failed, and what it said; empty if that is not known."""

    task: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes:
        run_id: its id.
        name: its name.
        state: Kubeflow's word, as SUCCEEDED.
        decision: `open` has not ended.
        failures: the tasks that failed.
        judged: what the gate said in numbers, if that is known.
        no_metrics: why it is not; empty where there is nothing to know.
    """

    run_id: str
    name: str
    state: str
    decision: Decision
    failures: tuple[Failure, ...] = ()
    judged: Judged | None = None
    no_metrics: str = ""


def titles(spec: Mapping[str, Any]) -> dict[str, str]:
    """The tasks of a compiled graph that run something: name -> title.

    Args:
        spec: a PipelineSpec as JSON; or as the server gives it with what is for Kubernetes, under `pipeline_spec`.
    """
    spec = spec.get("pipeline_spec", spec)
    found: dict[str, str] = {}
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    for dag in dags:
        for name, task in dag["tasks"].items():
            if "dag" not in spec["components"][task["componentRef"]["name"]]:
                found[name] = task.get("taskInfo", {}).get("name") or name
    return found


def tasks_of(run: Any, names: Mapping[str, str]) -> list[Task]:
    """The tasks of the graph that a run (V2beta1Run) has begun, in the order of their start; those of a loop numbered.

    Args:
        run: as the server gave it.
        names: the graph's tasks, name -> title.
    """
    by_title = {title: name for name, title in names.items()}
    found = []
    for node in _nodes(run):
        name = by_title.get(node.display_name, node.display_name)
        if name in names:
            start = node.start_time if node.start_time and node.start_time.year > 1970 else None
            ended = start and node.end_time and node.end_time >= start
            seconds = (node.end_time - start).total_seconds() if ended else None
            children = tuple(child.pod_name for child in node.child_tasks or [] if child.pod_name)
            found.append(Task(str(node.task_id), name, names[name], str(node.state), start, seconds, children))
    found.sort(key=lambda task: (task.start is None, task.start.timestamp() if task.start else 0.0, task.id))
    alike = Counter(task.name for task in found)
    number: Counter[str] = Counter()
    for i, task in enumerate(found):
        number[task.name] += 1
        if alike[task.name] > 1:
            found[i] = replace(task, title=f"{task.title} {number[task.name]}")
    return found


def was_refused(run: Any) -> bool:
    """Did the gate refuse the candidate of this run? Asked of a run with the details of its tasks."""
    refusals = (REFUSAL, REFUSAL.capitalize())
    return any(node.display_name in refusals and node.state == "FAILED" for node in _nodes(run))


def is_settled(run: Any, names: Mapping[str, str]) -> bool:
    """Has the run ended, and have its tasks? The server takes note of a run's end before that of its tasks."""
    return run.state in FINAL and not any(task.state in OPEN for task in tasks_of(run, names))


def outcome_of(server: Server, run: Any, names: Mapping[str, str]) -> Outcome:
    """What a run (V2beta1Run) has come to, with what its failed tasks and its gate said."""
    tasks = tasks_of(run, names)
    failures: tuple[Failure, ...] = ()
    decision: Decision = "failed"
    if run.state not in FINAL:
        decision = "open"
    elif was_refused(run):
        decision = "refused"
        failures = tuple(_failure(server, run, task) for task in tasks if task.name == REFUSAL)
    elif run.state == "SUCCEEDED" and any(task.name == LAST and task.state == "SUCCEEDED" for task in tasks):
        decision = "promoted"
    else:
        failures = tuple(_failure(server, run, task) for task in tasks if task.state == "FAILED")
        failures += _drivers(run, names)
    outcome = Outcome(str(run.run_id), str(run.display_name), str(run.state), decision, failures)
    return outcome if decision == "open" else _with_judged(server, run, tasks, outcome)


def _with_judged(server: Server, run: Any, tasks: Sequence[Task], outcome: Outcome) -> Outcome:
    """Add what the gate printed, or why that is not known."""
    failed = outcome.decision == "failed"
    # A run that failed has numbers if its gate ended well: one that was never begun is among the tasks as well.
    gates = [task for task in tasks if task.name == GATE and (task.state == "SUCCEEDED" or not failed)]
    if not gates:
        return outcome if failed else replace(outcome, no_metrics="the run has no task gate")
    gate = gates[0]
    log = _log(server, run, gate)
    if not log:
        why = "the server gave none: the pod is gone, or logs may not be read here"
        return replace(outcome, no_metrics=f"log of task {gate.title}: {why}")
    try:
        judged = read_line(log)
    except ShoplensError as error:
        return replace(outcome, no_metrics=f"log of task {gate.title}: {error}")
    if not failed and judged.promote != (outcome.decision == "promoted"):
        said = "a yes" if judged.promote else "a no"
        return replace(outcome, no_metrics=f"log of task {gate.title}: it has {said}, and the run ended otherwise")
    return replace(outcome, judged=judged)


def _failure(server: Server, run: Any, task: Task) -> Failure:
    return Failure(task.title, last_words(_log(server, run, task).splitlines()))


def _log(server: Server, run: Any, task: Task) -> str:
    """What the last try of a task printed whose log the cluster still has; empty if it has none."""
    known = {child.pod_name for node in _nodes(run) for child in node.child_tasks or []}
    logs = (pod_log(server, run.run_id, pod) for node in task.children for pod in pods(node, known))
    return next((log for log in logs if log), "")


def _drivers(run: Any, names: Mapping[str, str]) -> tuple[Failure, ...]:
    """Tasks that failed before they started: their node that prepares them did."""
    failed = [node.display_name for node in _nodes(run) if node.state == "FAILED"]
    tasks = [name.removesuffix(DRIVER) for name in failed if name.endswith(DRIVER)]
    return tuple(Failure(names.get(task, task), "it could not be started") for task in tasks)


def _nodes(run: Any) -> Sequence[Any]:
    details = run.run_details
    return [node for node in (details.task_details if details else None) or [] if node.display_name]
