"""What `shoplens ci ...` does in the current folder; the exit codes are those of a workflow's steps."""

from __future__ import annotations

import os
from pathlib import Path

from shoplens.ci.comment import MARKER, comment_text
from shoplens.ci.commit_lock import commit_lock
from shoplens.ci.git import git
from shoplens.ci.github import repository_of_environment, write_comment
from shoplens.ci.outputs import write_outputs
from shoplens.ci.plan import Event, plan
from shoplens.ci.record import RECORD, read_record
from shoplens.ci.run import Run, finish, read_run
from shoplens.ci.submitted import read_submitted

ROOT = Path()


def run_plan(event: Event, base: str, head: str, last: Path) -> int:
    """Print whether to retrain and why; outputs `retrain` (true or false), `reason`, `head` (full id). Exit code 0."""
    found = plan(ROOT, event, base, head, read_record(last))
    print(f"{'Retrain' if found.retrain else 'Do not retrain'} {found.head[:7]}: {found.reason}")
    write_outputs({"retrain": str(found.retrain).lower(), "reason": found.reason, "head": found.head})
    return 0


def run_finish(artifacts: Path, policy: Path, summary: Path | None) -> int:
    """Put the run on record; output `decision`. Exit code 1 if it was refused.

    Args:
        artifacts: of a run on this machine.
        policy: gate.yaml of that run.
        summary: of a run on a cluster, which counts instead; None: it was on this machine.

    Raises:
        ShoplensError: if the run did not finish; it leaves no record.
    """
    run = _run(artifacts, policy, summary, "HEAD")
    record = finish(ROOT, run, Path(RECORD))
    print(f"Retraining of {record.commit[:7]}: {record.decision}", *run.reasons, sep="\n  ")
    write_outputs({"decision": record.decision})
    return int(record.decision == "refused")


def run_commit_lock(branch: str, attempts: int) -> int:
    """Commit the run's dvc.lock and record on the branch at origin. Exit code 0, also where that was done before."""
    commit = commit_lock(ROOT, branch, attempts)
    print(f"{branch} has this run already" if commit is None else f"Committed as {commit[:7]} on {branch}")
    return 0


def run_comment(artifacts: Path, policy: Path, summary: Path | None, commit: str, report: str | None) -> int:
    """Write the comment about the run on `commit` and print its address. Exit code 0, whatever came of the run.

    GitHub's own variables say where: GITHUB_REPOSITORY, GITHUB_API_URL, GITHUB_SERVER_URL, GITHUB_RUN_ID; GITHUB_TOKEN
    is the leave to write.

    Raises:
        ShoplensError: if a variable is missing, or GitHub refuses.
    """
    repository = repository_of_environment()
    server, number = os.environ.get("GITHUB_SERVER_URL") or "https://github.com", os.environ.get("GITHUB_RUN_ID")
    log = f"{server}/{repository.name}/actions/runs/{number}" if number else None
    full = _full(commit)
    text = comment_text(_run(artifacts, policy, summary, full), full, log, report)
    print(write_comment(repository, full, MARKER, text))
    return 0


def _full(commit: str) -> str:
    return git(ROOT, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").strip()


def _run(artifacts: Path, policy: Path, summary: Path | None, commit: str) -> Run:
    return read_run(artifacts, policy) if summary is None else read_submitted(summary, _full(commit))
