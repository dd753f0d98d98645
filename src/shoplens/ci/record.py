"""retrained.json: which state of the repository the last finished run was about, and what came of it.

It is committed together with dvc.lock, so that whoever plans the next run finds it in a fresh clone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from shoplens.ci.state import State
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.strict import StrictModel, parse

RECORD = "retrained.json"


class Record(StrictModel):
    """The last finished run: one that was promoted or refused. A run that broke off is not on record."""

    commit: str
    code: str
    data: str
    decision: Literal["promoted", "refused"]

    @property
    def state(self) -> State:
        """What the run was about."""
        return State(self.code, self.data)

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.commit[:7]}, {self.decision}"


def read_record(path: Path) -> Record | None:
    """The record, or None before the first finished run.

    Raises:
        ShoplensError: if the file is not a record.
    """
    if not path.exists():
        return None
    try:
        return parse(Record, read_json(path), str(path))
    except ShoplensError as error:
        raise ShoplensError(f"{error}\nWithout {path} the next plan asks for a run, which writes it anew") from None


def write_record(path: Path, record: Record) -> None:
    """Write the record, atomically."""
    write_json(path, record.model_dump())
