"""What `pipeline.py submit` and `follow` print, write and answer with about a run on a cluster."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from shoplens.files import write_json
from shoplens.kubeflow.client import get_run
from shoplens.kubeflow.follow import Lost, Unreached, follow, names_of
from shoplens.kubeflow.outcome import Outcome, outcome_of
from shoplens.kubeflow.server import Server
from shoplens.kubeflow.submission import Submission, patiently, submit

PROMOTED, REFUSED_OR_FAILED, NOT_STARTED, LOST, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


@dataclass(frozen=True)
class Watch:
    """How a run is followed.

    Attributes:
        poll_s: seconds between two questions.
        timeout_s: seconds after which to give up.
        command: what follows a run again, without `--run ID`.
        summary: a file to write about the run, or None.
    """

    poll_s: float
    timeout_s: float
    command: str
    summary: Path | None


def submit_run(server: Server, submission: Submission, again: bool, wait: bool, watch: Watch) -> int:
    """Start the run or find it; the exit code. A run that has ended already is told about as if it were followed.

    Raises:
        ShoplensError: if it could not be started.
    """
    run, started = submit(server, submission, again)
    print(f"{'started' if started else 'found'} {run.display_name}: {server.run_url(run.run_id)}", flush=True)
    if not started:
        print("the same was submitted before, so nothing was started; --again starts it once more", flush=True)
    if wait:
        return follow_run(server, run.run_id, watch, reached=True)
    outcome = Outcome(run.run_id, run.display_name, run.state, "open")
    if not started:
        outcome = patiently(lambda: _now(server, run.run_id))
    if outcome.decision == "open":
        print(f"follow it: {watch.command} --run {run.run_id}")
    return _tell(server, outcome, watch)


def follow_run(server: Server, run_id: str, watch: Watch, reached: bool = False) -> int:
    """Follow a run to its end and print what it decided; the exit code. An interruption leaves the run as it is.

    Args:
        server: where it runs.
        run_id: its id.
        watch: how.
        reached: whether the server has answered already.
    """
    url = server.run_url(run_id)
    try:
        outcome = follow(server, run_id, watch.poll_s, watch.timeout_s, reached)
    except Unreached as unreached:  # the page and the command would name the same wrong address
        print(unreached, file=sys.stderr)
        write_summary(server, Outcome(run_id, "", "", "open"), watch)
        return LOST
    except Lost as lost:
        print(f"{lost}\nThe run may go on: {url}\nfollow it: {watch.command} --run {run_id}", file=sys.stderr)
        write_summary(server, Outcome(run_id, "", "", "open"), watch)
        return LOST
    except KeyboardInterrupt:
        print(
            f"\nThe run goes on: {url}\nfollow it: {watch.command} --run {run_id}\nstop it: Terminate on its page",
            file=sys.stderr,
        )
        write_summary(server, Outcome(run_id, "", "", "open"), watch)
        return INTERRUPTED
    return _tell(server, outcome, watch)


def told(outcome: Outcome, url: str) -> str:
    """The end of a run, for a person."""
    lines = [f"{outcome.name}: {outcome.decision}"]
    if outcome.decision == "refused":
        lines += [f"  {reason}" for reason in reasons(outcome)]
    if outcome.decision == "failed":
        lines += [f"  {failure.task}: {failure.message or 'no message'}" for failure in outcome.failures]
        if not outcome.failures:
            lines.append(
                f"  the run ended as {outcome.state.lower()}, without a failed task and without a deployed model"
            )
    known = all(failure.message for failure in outcome.failures)
    if outcome.decision in ("refused", "failed"):
        lines.append(f"  {'more' if known else 'the reasons are'} in the logs and artifacts of its tasks: {url}")
    return "\n".join(lines)


def reasons(outcome: Outcome) -> list[str]:
    """The gate's reasons, as far as they are known: what task refuse said, without its first line."""
    return [line for failure in outcome.failures for line in failure.message.splitlines()[1:]]


def _now(server: Server, run_id: str) -> Outcome:
    run = get_run(server, run_id)
    return outcome_of(server, run, names_of(server, run))


def _tell(server: Server, outcome: Outcome, watch: Watch) -> int:
    if outcome.decision != "open":
        print(told(outcome, server.run_url(outcome.run_id)))
    write_summary(server, outcome, watch)
    return REFUSED_OR_FAILED if outcome.decision in ("refused", "failed") else PROMOTED


def write_summary(server: Server, outcome: Outcome, watch: Watch) -> None:
    """Write what came of a run as JSON, if that is wanted; `shoplens ci` reads it."""
    if watch.summary is not None:
        about = asdict(outcome) | {"url": server.run_url(outcome.run_id), "reasons": []}
        if outcome.decision == "refused":
            about["reasons"] = reasons(outcome)
        if outcome.judged is not None:
            about["judged"] = outcome.judged.model_dump(mode="json")
        write_json(watch.summary, about)
