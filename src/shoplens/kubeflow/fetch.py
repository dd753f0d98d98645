"""Where a run's data comes from: a revision of a DVC project, which may ask for a token, or a folder."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from shoplens.data.sample import sample_folder
from shoplens.errors import ShoplensError
from shoplens.progress import say

COMMIT = re.compile(r"[0-9a-f]{40}")
TOKEN = "GIT_TOKEN"
"""Environment variable with the token of the project's git server; unset: it lets everybody read."""
_HELPER = f"""[include]
    path = ~/.gitconfig
[credential]
    helper = "!f() {{ test \\"$1\\" = get && echo username=token && echo \\"password=${TOKEN}\\"; }}; f"
"""
_FAILURE_LINES = 5


@contextlib.contextmanager
def git_environment() -> Iterator[Mapping[str, str]]:
    """The environment for git and dvc: they take the token from it, so that it is on no command line and in no file.

    A file, because the git inside dvc knows no settings from the environment; what it names reads the variable.
    """
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    if not os.environ.get(TOKEN):
        yield settings
        return
    with NamedTemporaryFile("w", suffix=".gitconfig") as file:
        file.write(_HELPER)
        file.flush()
        yield {**settings, "GIT_CONFIG_GLOBAL": file.name}


def check_address(source: str) -> None:
    """Refuse an address with a name or a token in it, without repeating it.

    Raises:
        ShoplensError: if it has one.
    """
    if re.match(r"https?://[^/]*@", source, re.IGNORECASE):
        raise ShoplensError(
            "source holds a name or a token, which everybody could read in the run's parameters: leave it out, give "
            "this machine's git a credential helper, and the cluster a secret (cluster.yaml)"
        )


def commit_of(source: str, revision: str) -> str | None:
    """The commit that a branch, a tag or a whole commit name means now; None for what only a clone can tell (`HEAD~1`).

    Raises:
        ShoplensError: if git cannot read the source.
    """
    if COMMIT.fullmatch(revision):
        return revision
    found = _run(["git", "ls-remote", "--", source], f"read {source}")
    commits = {name: commit for commit, name in (line.split("\t") for line in found.splitlines())}
    names = (f"refs/tags/{revision}^{{}}", f"refs/tags/{revision}", f"refs/heads/{revision}", revision)
    return next((commits[name] for name in names if name in commits), None)


def get_data(source: str, revision: str, sample: int, out: Path) -> Path:
    """Make a run's contract folder available.

    Args:
        source: a git repository with data.dvc (address or path); with an empty revision, a contract folder.
        revision: commit, tag or branch; empty takes the folder as it is.
        sample: take only so many listings (`shoplens.data.sample`); 0 takes all.
        out: where to put what has to be written; the folder above exists or can be made.

    Returns:
        The contract folder: `out`, or the source where nothing had to be written.

    Raises:
        ShoplensError: if the data cannot be had, or the sample is smaller than nothing.
    """
    if sample < 0:
        raise ShoplensError(f"sample_listings: {sample} is less than 0; 0 takes all listings")
    if not revision and not sample:
        return Path(source).absolute()
    if not revision:
        sample_folder(Path(source), out, sample)
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    if not sample:
        _dvc_get(source, revision, out)
        return out
    with TemporaryDirectory(dir=out.parent) as folder:  # beside it, so that photos can be linked
        _dvc_get(source, revision, Path(folder) / "data")
        sample_folder(Path(folder) / "data", out, sample)
    return out


def _dvc_get(source: str, revision: str, out: Path) -> None:
    say(f"dvc get: data of {source} at {revision}")
    command = [sys.executable, "-m", "dvc", "get", source, "data", "--rev", revision, "--out", str(out)]
    _run(command, f"get data of {source} at {revision}")


def _run(command: list[str], what: str) -> str:
    with git_environment() as environment:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-_FAILURE_LINES:])
        raise ShoplensError(
            f"cannot {what}:\n{said}\ncheck the address, the revision, the remote, and the secrets that cluster.yaml "
            f"names ({TOKEN} for git, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3)"
        )
    return done.stdout
