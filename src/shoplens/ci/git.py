"""git, as a program: what it says, or its own words in an error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from shoplens.errors import ShoplensError


def attempt(root: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run git in `root`, whatever comes of it; it never asks for a password."""
    variables = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environment or {})}
    return subprocess.run(["git", *words], cwd=root, env=variables, capture_output=True, text=True, check=False)


def git(root: Path, *words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run git in `root`; its standard output.

    Raises:
        ShoplensError: with git's own words if it fails.
    """
    done = attempt(root, *words, environment=environment)
    if done.returncode:
        raise ShoplensError(f"git {' '.join(words)} failed in {root}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def commit_of(root: Path, revision: str) -> str | None:
    """The full id of a commit, or None where the repository does not have it (an empty name, zeros, a dropped one)."""
    done = attempt(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return done.stdout.strip() if revision and done.returncode == 0 else None


def is_ancestor(root: Path, older: str, newer: str) -> bool:
    """Is `older` in the history of `newer`? Both are commits of the repository."""
    return attempt(root, "merge-base", "--is-ancestor", older, newer).returncode == 0
