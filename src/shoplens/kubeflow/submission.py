"""Start a run on a cluster, once: the same graph is one version, and the same submission is one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from shoplens.errors import ShoplensError
from shoplens.files import digest_json
from shoplens.kubeflow.client import (
    create_experiment,
    create_pipeline,
    create_run,
    find_experiment,
    find_pipeline,
    find_version,
    get_run,
    runs_like,
    terminate_run,
    upload_version,
)
from shoplens.kubeflow.outcome import was_refused
from shoplens.kubeflow.server import Passing, Server
from shoplens.kubeflow.source import Source
from shoplens.progress import say

WAITS_S: tuple[float, ...] = (1.0, 5.0, 25.0)
"""Seconds before each further attempt."""
SETTLE_S = 2.0
"""Seconds after which a run that was started at the same moment is in the server's list."""
GOES_ON = ("PENDING", "RUNNING", "PAUSED")
"""States of a run that nobody stops."""
SHOWN = 12
"""Hex digits of a digest in names."""

T = TypeVar("T")


@dataclass(frozen=True)
class Submission:
    """A run to start.

    Attributes:
        pipeline: its name.
        description: of the pipeline.
        package: the compiled graph (YAML).
        arguments: of the run.
        source: what it is about.
        experiment: where the UI lists it.
        service_account: of the run's pods; None: the server's default.
    """

    pipeline: str
    description: str
    package: bytes
    arguments: Mapping[str, Any]
    source: Source
    experiment: str
    service_account: str | None

    @property
    def version(self) -> str:
        """The name of the pipeline's version: the same graph, the same name."""
        return f"{self.pipeline}-{sha256(self.package).hexdigest()[:SHOWN]}"

    @property
    def name(self) -> str:
        """The name of the run: commit, data, and a digest of these with the graph and the arguments."""
        about = [self.source.commit, self.source.data, sha256(self.package).hexdigest(), dict(self.arguments)]
        short = [text[:SHOWN] for text in (self.source.commit, self.source.data, digest_json(about))]
        return f"{self.pipeline} {short[0]} data {short[1]} run {short[2]}"


def submit(server: Server, submission: Submission, again: bool = False) -> tuple[Any, bool]:
    """Start the run, or find the one that does the same.

    A run counts that has not ended, that succeeded or that the gate refused; one that broke off is started anew. Every
    attempt looks before it makes anything, so that an answer that was lost does not make a second run. Two submissions
    at once both start one; the server's list tells both which was first, and the other ends itself. Two go on only if
    the server takes longer than SETTLE_S to list a run, or a submission dies in that time.

    Args:
        server: where.
        submission: what.
        again: start it although it was there before, under the name with the next number.

    Returns:
        The run (V2beta1Run), and whether it was started now.

    Raises:
        ShoplensError: if the server refuses, or does not answer after several attempts.
    """
    name = patiently(lambda: _next_name(server, submission.name)) if again else submission.name
    return patiently(lambda: _submit(server, submission, name))


def patiently(action: Callable[[], T]) -> T:
    """Try again after failures that pass.

    Raises:
        ShoplensError: after the last attempt.
    """
    for wait in (*WAITS_S, None):
        try:
            return action()
        except Passing as failure:
            if wait is None:
                raise ShoplensError(
                    f"{failure}; given up after {len(WAITS_S) + 1} attempts: is --host right, and the server up?"
                ) from None
            say(f"{failure}; trying again in {wait:g} s")
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _submit(server: Server, submission: Submission, name: str) -> tuple[Any, bool]:
    found = _twin(server, name)
    if found is not None:
        return found, False
    from kfp_server_api import (  # type: ignore[import-untyped]
        V2beta1PipelineVersionReference,
        V2beta1Run,
        V2beta1RuntimeConfig,
    )

    pipeline = find_pipeline(server, submission.pipeline) or create_pipeline(
        server, submission.pipeline, submission.description
    )
    version = find_version(server, pipeline, submission.version)
    if version is None:
        say(f"uploading version {submission.version}")
        version = upload_version(server, pipeline, submission.version, submission.package)
    experiment = find_experiment(server, submission.experiment) or create_experiment(server, submission.experiment)
    source = submission.source
    made = create_run(
        server,
        V2beta1Run(
            display_name=name,
            description=f"{source.address} at {source.commit}, data {source.data}",
            experiment_id=experiment,
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=pipeline, pipeline_version_id=version
            ),
            runtime_config=V2beta1RuntimeConfig(parameters=dict(submission.arguments)),
            service_account=submission.service_account,
        ),
    )
    first = patiently(lambda: _first(server, made))
    return first, first.run_id == made.run_id


def _next_name(server: Server, name: str) -> str:
    """The name with the number after the last one; the first run has none."""
    numbers = [_number(run.display_name, name) or 0 for run in runs_like(server, name)]
    return f"{name} #{max(numbers) + 1}" if any(numbers) else name


def _number(text: str, name: str) -> int | None:
    """Which run of this name it is; None for another name."""
    if text == name:
        return 1
    base, _, number = text.rpartition(" #")
    return int(number) if base == name and number.isdecimal() else None


def _twin(server: Server, name: str) -> Any | None:
    """The run that does the same: the first one that goes on, else the last one with a result."""
    runs = [run for run in runs_like(server, name) if _number(run.display_name, name) is not None]
    for run in runs:
        if run.state in GOES_ON:
            return run
    for run in reversed(runs):
        if run.state == "SUCCEEDED" or (run.state == "FAILED" and was_refused(get_run(server, run.run_id))):
            return run
    return None


def _first(server: Server, made: Any) -> Any:
    """The run that goes on: the one that was made, unless somebody else made the same one before it."""
    time.sleep(SETTLE_S)
    order = (made.created_at, made.run_id)
    for run in runs_like(server, made.display_name):
        same = run.display_name == made.display_name and run.state in GOES_ON
        if same and (run.created_at, run.run_id) < order:
            say("somebody else submitted the same at this moment: following that run")
            terminate_run(server, made.run_id)
            return run
    return made
