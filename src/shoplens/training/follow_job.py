"""A TrainJob from outside: how it stands, what its first process says, and why it failed."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.progress import say

NODE = "node"
"""The name of the job and of the container that train, in every runtime of Trainer."""
LAST_LINES = 20
"""Of a failed node's log, in the error's message; more are read, for torchrun's are left out."""
READ_LINES = 200
TORCHRUN_ENDS = "torch/distributed/elastic/multiprocessing/api.py"
"""In the line with which torchrun begins to report a process that failed, or that it ends the others."""
LOST_S = 600.0
"""How long the cluster may be out of reach before following is given up; the job is left alone."""


class JobGone(ShoplensError):
    """The job ended without an end of its own: it was deleted."""


@dataclass(frozen=True)
class Pod:
    """A node of a job: its pod's name and phase, and why it is not running yet, if that is known."""

    name: str
    phase: str
    reason: str


@dataclass(frozen=True)
class State:
    """A job as the cluster has it: `ended` is Complete, Failed or empty; `message` says why it ended."""

    ended: str
    message: str
    pods: tuple[Pod, ...]


def reason_of(error: BaseException) -> str:
    """What the API server said, from an error of the SDK."""
    cause = error.__cause__
    return str(getattr(cause, "body", None) or cause or "no reason was given").strip()


def look(client: Any, name: str) -> State:
    """Ask the cluster about a job.

    Raises:
        ApiException: what the API server answered, 404 if there is no such job.
    """
    from kubeflow.trainer.constants import constants

    backend = client.backend
    found = backend.custom_api.get_namespaced_custom_object(
        constants.GROUP, constants.VERSION, backend.namespace, constants.TRAINJOB_PLURAL, name
    )
    conditions = found.get("status", {}).get("conditions", [])
    ended = [one for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"]
    selector = constants.POD_LABEL_SELECTOR.format(trainjob_name=name)
    pods = backend.core_api.list_namespaced_pod(backend.namespace, label_selector=selector).items
    return State(
        ended=ended[0]["type"] if ended else "",
        message=ended[0].get("message", "") if ended else "",
        pods=tuple(Pod(one.metadata.name, one.status.phase, _why_not(one.status)) for one in pods),
    )


def _why_not(status: Any) -> str:
    """Why a pod does not run: what the scheduler says, or what its container waits for."""
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.message or condition.reason or ""
    for container in status.container_statuses or []:
        if container.state.waiting is not None:
            return container.state.waiting.message or container.state.waiting.reason or ""
    return ""


def follow(client: Any, name: str, nodes: int, pending_s: float, poll_s: float) -> State:
    """Look at a job until it ends, and pass on what its first process says.

    Raises:
        JobGone: if somebody deletes it, or it is not scheduled in time, upon which it is deleted.
        ShoplensError: if the cluster cannot be reached for long.
    """
    from kubernetes.client import ApiException  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    voice, said, answered, ran = _Voice(client, name), "", time.monotonic(), time.monotonic()
    while True:
        try:
            state = look(client, name)
            answered = time.monotonic()
        except (ApiException, HTTPError) as error:
            if isinstance(error, ApiException) and error.status == 404:
                raise JobGone(f"TrainJob {name} was deleted while it trained") from None
            if time.monotonic() - answered > LOST_S:
                raise ShoplensError(
                    f"TrainJob {name} is out of sight ({type(error).__name__}); it may still train: run the stage "
                    "again to follow it"
                ) from None
            time.sleep(poll_s)
            continue
        going = sum(pod.phase in ("Running", "Succeeded") for pod in state.pods)
        line = f"TrainJob {name}: {going} of {nodes} nodes run"
        if line != said and not state.ended:
            say(line)
            said = line
        voice.listen(state)
        if state.ended:
            voice.finish()
            return state
        if going >= nodes:
            ran = time.monotonic()
        elif time.monotonic() - ran > pending_s:
            reasons = dict.fromkeys(pod.reason for pod in state.pods if pod.reason)
            delete(client, name)
            raise JobGone(
                f"TrainJob {name}: only {going} of {nodes} nodes run after {pending_s:.0f} s"
                f"{': ' + '; '.join(reasons) if reasons else ''}. It was deleted; ask for fewer nodes or GPUs, or wait "
                "until some are free"
            )
        time.sleep(poll_s)


@dataclass
class _Voice:
    """Passes on what the first node prints, from a thread of its own, since a log is read until it ends."""

    client: Any
    job: str
    heard: dict[str, int] = field(default_factory=dict)
    thread: threading.Thread | None = None

    def listen(self, state: State) -> None:
        """Start listening if nobody does; a connection that was lost is taken up where it broke off."""
        first = next((pod for pod in state.pods if f"-{NODE}-0-0" in pod.name and pod.phase != "Pending"), None)
        if first is not None and not (self.thread and self.thread.is_alive()):
            self.thread = threading.Thread(target=self._read, args=(first.name,), daemon=True)
            self.thread.start()

    def finish(self) -> None:
        """Wait for the last lines."""
        if self.thread is not None:
            self.thread.join(timeout=10)

    def _read(self, pod: str) -> None:
        with contextlib.suppress(RuntimeError, TimeoutError):
            for number, line in enumerate(self.client.get_job_logs(self.job, follow=True)):
                if number >= self.heard.get(pod, 0):
                    print(line, file=sys.stderr, flush=True)
                    self.heard[pod] = number + 1


def last_words(client: Any, state: State) -> str:
    """The end of a failed node's log, without the pages that torchrun adds to its process's error."""
    from kubernetes.client import ApiException

    backend = client.backend
    for pod in (pod for pod in state.pods if pod.phase == "Failed"):
        with contextlib.suppress(ApiException):
            log = backend.core_api.read_namespaced_pod_log(
                pod.name, backend.namespace, container=NODE, tail_lines=READ_LINES
            )
            lines = log.rstrip().split("\n")
            own = list(itertools.takewhile(lambda line: TORCHRUN_ENDS not in line, lines))
            return "\n".join([f"\n{pod.name} said last:", *(own or lines)[-LAST_LINES:]])
    return ""


def delete(client: Any, name: str) -> None:
    """Delete a job with its pods; what prevents it is said, for the run has its result or its error already."""
    try:
        client.delete_job(name)
    except (RuntimeError, TimeoutError) as error:
        say(f"TrainJob {name} could not be deleted ({reason_of(error)}): kubectl delete trainjob {name}")
