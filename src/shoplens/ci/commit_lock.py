"""dvc.lock and the record of a run, as a commit on main that triggers nothing."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from shoplens.ci.git import attempt, git
from shoplens.ci.record import RECORD, Record, read_record
from shoplens.errors import ShoplensError
from shoplens.progress import say

LOCK = "dvc.lock"
FILES = (LOCK, RECORD)
SKIP = "[skip ci]"
"""GitHub starts no workflow for a push whose last commit says this."""
NAME, ADDRESS = "github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"
AUTHOR = {
    "GIT_AUTHOR_NAME": NAME,
    "GIT_AUTHOR_EMAIL": ADDRESS,
    "GIT_COMMITTER_NAME": NAME,
    "GIT_COMMITTER_EMAIL": ADDRESS,
}


def commit_lock(root: Path, branch: str, attempts: int) -> str | None:
    """Commit dvc.lock and retrained.json on top of `branch` at origin, whatever that is by now.

    The commit is made beside the checkout, which stays as it is: a second call after a failure does the same again.

    Returns:
        The new commit, or None if the branch has both files already.

    Raises:
        ShoplensError: if there is no record of the commit that is checked out, if other files have changed, if the
            branch has another dvc.lock by now, if pushing is refused, or if the branch moved before every attempt.
    """
    trained = git(root, "rev-parse", "HEAD").strip()
    record = read_record(root / RECORD)
    if record is None or record.commit != trained:
        raise ShoplensError(
            f"{root / RECORD} is not about what is checked out: check out what was trained and run `shoplens ci finish`"
        )
    others = sorted(_changed(root) - set(FILES))
    if others:
        raise ShoplensError(
            f"not committed: other files have changed too ({', '.join(others)}). A run changes {' and '.join(FILES)} "
            "only; commit or undo the rest first"
        )
    refused = None
    for number in range(1, attempts + 1):
        git(root, "fetch", "-q", "origin", branch, environment=_token())
        parent = git(root, "rev-parse", "FETCH_HEAD").strip()
        if refused is not None and refused[0] == parent:
            raise ShoplensError(
                f"pushing to {branch} was refused: {refused[1]}\nGive the job `permissions: contents: write`, and let "
                f"its token by any protection of {branch}"
            )
        commit = _commit(root, trained, parent, record, branch)
        if commit is None:
            return None
        pushed = attempt(root, "push", "-q", "origin", f"{commit}:refs/heads/{branch}", environment=_token())
        if pushed.returncode == 0:
            return commit
        refused = (parent, pushed.stderr.strip())
        say(f"attempt {number} of {attempts} to push to {branch} failed; looking whether it has moved")
    raise ShoplensError(f"{branch} moved before each of {attempts} attempts: run this again")


def _changed(root: Path) -> set[str]:
    """Files that differ from the commit or are new, ignored ones aside."""
    listed = git(root, "status", "--porcelain", "--untracked-files=all", "--no-renames", "-z")
    return {entry[3:] for entry in listed.split("\0") if entry}


def _commit(root: Path, trained: str, parent: str, record: Record, branch: str) -> str | None:
    """The files of the checkout as a commit on `parent`; None if they are in it already."""
    present = [name for name in FILES if (root / name).is_file()]
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", parent, environment=index)
        git(root, "add", "--", *present, environment=index)
        tree = git(root, "write-tree", environment=index).strip()
    if tree == git(root, "rev-parse", f"{parent}^{{tree}}").strip():
        return None
    if _blobs(root, parent) != _blobs(root, trained):
        raise ShoplensError(
            f"{branch} has another {LOCK} or {RECORD} by now: one run at a time may commit them. That one stands; "
            "plan again from the newest commit"
        )
    subject = f"Retrained {record.commit[:7]}: {record.decision} {SKIP}"
    body = f"The outputs of the run on {record.commit}, which was {record.decision}."
    return git(root, "commit-tree", tree, "-p", parent, "-m", subject, "-m", body, environment=AUTHOR).strip()


def _blobs(root: Path, commit: str) -> str:
    return git(root, "ls-tree", "--full-tree", commit, "--", *FILES)


def _token() -> dict[str, str]:
    """Leave to push, for git's environment: command lines and .git/config can be read by others."""
    token, server = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_SERVER_URL")
    if not token or not server:
        return {}
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server.rstrip('/')}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {secret}",
    }
