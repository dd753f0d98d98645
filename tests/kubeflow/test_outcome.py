"""What the nodes of a workflow say about a run."""

from datetime import UTC, datetime, timedelta
from typing import Any

import kfp_server_api as api
from hypothesis import given
from hypothesis import strategies as st

from shoplens.kubeflow.argo import pods, try_of
from shoplens.kubeflow.follow import changes
from shoplens.kubeflow.last_words import last_words
from shoplens.kubeflow.outcome import Task, is_settled, tasks_of, titles, was_refused

NAMES = {"embed-shard": "Embed", "refuse": "Refuse"}
START = datetime(2026, 11, 2, tzinfo=UTC)


def node(name: str, state: str, second: int = 0, node_id: str = "") -> Any:
    start = START + timedelta(seconds=second)
    return api.V2beta1PipelineTaskDetail(
        task_id=node_id or name, display_name=name, state=state, start_time=start, end_time=start + timedelta(seconds=9)
    )


def run(state: str, *nodes: Any) -> Any:
    return api.V2beta1Run(run_id="r", state=state, run_details=api.V2beta1RunDetails(task_details=list(nodes)))


def test_tasks_of_a_loop_are_numbered_as_they_start() -> None:
    nodes = [
        node("embed-shard", "RUNNING", 2, "a"),
        node("embed-shard", "RUNNING", 1, "b"),
        node("executor", "RUNNING"),
    ]
    assert [(task.id, task.title) for task in tasks_of(run("RUNNING", *nodes), NAMES)] == [
        ("b", "Embed 1"),
        ("a", "Embed 2"),
    ]


def test_nodes_may_be_named_by_title_or_by_name() -> None:
    assert [task.name for task in tasks_of(run("RUNNING", node("Refuse", "FAILED")), NAMES)] == ["refuse"]
    assert was_refused(run("FAILED", node("Refuse", "FAILED"))) and was_refused(run("FAILED", node("refuse", "FAILED")))
    assert not was_refused(run("FAILED", node("refuse", "RUNNING"), node("gate", "FAILED")))


def test_a_run_without_details_has_no_tasks() -> None:
    assert tasks_of(api.V2beta1Run(run_id="r", state="PENDING"), NAMES) == []


def test_a_run_has_ended_when_its_tasks_have() -> None:
    assert not is_settled(run("RUNNING", node("refuse", "SUCCEEDED")), NAMES)
    assert not is_settled(run("FAILED", node("refuse", "RUNNING")), NAMES)
    assert is_settled(run("FAILED", node("refuse", "FAILED"), node("root", "RUNNING")), NAMES)


def test_a_graph_names_what_runs_and_not_what_groups() -> None:
    def ref(name: str, **more: Any) -> dict[str, Any]:
        return {"componentRef": {"name": name}, **more}

    spec = {
        "root": {"dag": {"tasks": {"finish": ref("comp-finish"), "loop": ref("comp-loop")}}},
        "components": {
            "comp-finish": {"executorLabel": "e"},
            "comp-loop": {"dag": {"tasks": {"embed": ref("comp-embed", taskInfo={"name": "Embed"})}}},
            "comp-embed": {"executorLabel": "e"},
        },
    }
    assert titles(spec) == {"finish": "finish", "embed": "Embed"}


@given(st.lists(st.lists(st.sampled_from(["PENDING", "RUNNING", "SUCCEEDED"]), min_size=2, max_size=2)))
def test_every_change_is_told_once(polls: list[list[str]]) -> None:
    seen: dict[str, str] = {}
    told = []
    for states in polls:
        tasks = [Task(str(i), "t", f"T{i}", state, START, 1.0, ()) for i, state in enumerate(states)]
        told += changes(seen, tasks)
        assert changes(seen, tasks) == []
    for i in range(2):
        states = [states[i] for states in polls]
        new = [state for before, state in zip([None, *states], states, strict=False) if state != before]
        assert [line.split()[1] for line in told if line.startswith(f"T{i}:")] == [state.lower() for state in new]


def test_pods_are_named_as_argo_names_them() -> None:
    # Ids of a workflow that Argo ran: a task of it, which is tried again, and its first try.
    task, first = "retry-random-failures-p9snt-3193641316", "retry-random-failures-p9snt-310421839"
    assert try_of(task, 0) == first
    assert pods(task, {task, first}) == ["retry-random-failures-p9snt-retry-system-container-impl-310421839"]
    assert pods(task, {task, first, try_of(task, 1)})[1:] == pods(task, {task, first})
    assert pods(task, {task}) == ["retry-random-failures-p9snt-system-container-impl-3193641316"]


def test_last_words_are_those_of_the_last_exception_and_not_the_launchers() -> None:
    log = """Traceback (most recent call last):
  File "a.py", line 1
ValueError: the cause

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2
shoplens.errors.ShoplensError: photos.parquet: row 3
  remedy: mend it
time="2026-11-02T09:00:00Z" level=info msg="sub-process exited"
F1102 09:00:02.000002 1 main.go:56] failed to execute component: exit status 1
Error: exit status 1
"""
    assert last_words(log.splitlines()) == "photos.parquet: row 3\n  remedy: mend it"
    assert last_words(["a", "b", "c", "d", "e", "Killed", "Error: exit status 137"]) == "b\nc\nd\ne\nKilled"
