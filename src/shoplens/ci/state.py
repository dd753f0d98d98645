"""What a model is made from, at a commit: the trees of code and settings, and the hash of the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from shoplens.ci.git import attempt, git
from shoplens.errors import ShoplensError
from shoplens.files import digest_json
from shoplens.strict import parse

CODE = ("src", "components", "pipeline.py", "dvc.yaml", "params.yaml", "gate.yaml", "requirements.lock")
"""Files and folders that decide which model a run gives and whether it is promoted; beside them, data.dvc."""
DATA = "data.dvc"


@dataclass(frozen=True)
class State:
    """Two commits with equal states give the same run.

    Attributes:
        code: sha256 (hex) over the git objects of `CODE`.
        data: DVC's hash of the data folder.
    """

    code: str
    data: str


class Out(BaseModel):
    """The part of data.dvc's `outs` that is read here."""

    md5: str


class Pin(BaseModel):
    """The part of data.dvc that is read here: a new description is no new data."""

    outs: tuple[Out]


def state_of(root: Path, commit: str) -> State:
    """The state of a commit.

    Raises:
        ShoplensError: if the commit has no valid data.dvc.
    """
    listed = git(root, "ls-tree", "--full-tree", "-z", commit, "--", *CODE)
    found = attempt(root, "show", f"{commit}:{DATA}")
    if found.returncode:
        raise ShoplensError(f"commit {commit[:7]} has no {DATA}: run `dvc add data` and commit what it writes")
    try:
        pin: Any = yaml.safe_load(found.stdout)
    except yaml.YAMLError as error:
        raise ShoplensError(f"{DATA} of commit {commit[:7]}: not valid YAML: {error}") from None
    (out,) = parse(Pin, pin, f"{DATA} of commit {commit[:7]}").outs
    return State(digest_json(sorted(listed.split("\0"))), out.md5)


def changed_code(root: Path, older: str, newer: str) -> tuple[str, ...]:
    """The files of `CODE` that differ between two commits, sorted; a moved file counts at both places."""
    listed = git(root, "diff", "--name-only", "--no-renames", "-z", older, newer, "--", *CODE)
    return tuple(sorted(filter(None, listed.split("\0"))))
