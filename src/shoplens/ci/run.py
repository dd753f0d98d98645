"""What came of a run, from its artifacts: the decision and the metrics that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shoplens.artifacts import PASSPORT, read_artifact
from shoplens.ci.git import commit_of
from shoplens.ci.record import Record, write_record
from shoplens.ci.state import state_of
from shoplens.errors import ShoplensError
from shoplens.files import read_json
from shoplens.report.judged import Judged, read_judged

Outcome = Literal["promoted", "refused", "unfinished"]


@dataclass(frozen=True)
class Run:
    """A run as far as it got.

    Attributes:
        outcome: `unfinished` has no decision, or a yes that was not carried out.
        why: for an unfinished run, what is missing.
        reasons: the gate's, one sentence each.
        judged: the decision in numbers, or None.
        no_metrics: for a run on a cluster, why there is none, if there should be.
        version: the version that is served now, or None.
        page: for a run on a cluster, the address of its page.
    """

    outcome: Outcome
    why: str = ""
    reasons: tuple[str, ...] = ()
    judged: Judged | None = None
    no_metrics: str = ""
    version: str | None = None
    page: str | None = None


def read_run(artifacts: Path, policy: Path) -> Run:
    """Read a run; only what was made from what is there now counts, so that leftovers of an earlier run do not.

    Args:
        artifacts: one folder a stage; passports and JSON files are enough.
        policy: gate.yaml.
    """
    gate = artifacts / "gate"
    if not any(artifacts.glob(f"*/{PASSPORT}")):
        return Run("unfinished", f"no stage has finished in {artifacts}: `dvc repro` runs them")
    try:
        made_from = read_json(gate / PASSPORT)["inputs"]
        inputs = {name: policy if name == "policy" else artifacts / name for name in made_from}
        read_artifact(gate, "gate", inputs)
    except ShoplensError as error:
        return Run("unfinished", f"it ended before the gate: {error}")
    decision = read_json(gate / "decision.json")
    facts: dict[str, Any] = {"reasons": tuple(decision["reasons"]), "judged": read_judged(gate, inputs)}
    if not decision["promote"]:
        return Run("refused", **facts)
    try:
        read_artifact(artifacts / "register", "register", {"gate": gate})
        read_artifact(artifacts / "deploy", "deploy", {"register": artifacts / "register"})
    except ShoplensError as error:
        return Run("unfinished", f"the gate said yes, but that was not carried out: {error}", **facts)
    receipt = read_json(artifacts / "deploy" / "receipt.json")
    if "skipped" in receipt:
        return Run("unfinished", f"the gate said yes, but nothing was served: {receipt['skipped']}", **facts)
    return Run("promoted", **facts, version=str(receipt["version"]))


def finish(root: Path, run: Run, record: Path) -> Record:
    """Put a finished run on record, under the commit that is checked out.

    Raises:
        ShoplensError: if the run is unfinished.
    """
    if run.outcome == "unfinished":
        raise ShoplensError(f"the run did not finish: {run.why}")
    commit = commit_of(root, "HEAD")
    if commit is None:
        raise ShoplensError(f"{root} is not a git repository with a commit: run this where the run was started")
    state = state_of(root, commit)
    found = Record(commit=commit, code=state.code, data=state.data, decision=run.outcome)
    write_record(record, found)
    return found
