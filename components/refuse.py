"""Task refuse: ends a run whose gate said no, so that it fails with the reasons."""

from kfp import dsl

from components.base import component


@component
def refuse(gate: dsl.Input[dsl.Artifact]) -> None:
    """Fail with the reasons of the decision.

    Args:
        gate: the decision.
    """
    from pathlib import Path

    from shoplens.artifacts import read_artifact
    from shoplens.errors import ShoplensError
    from shoplens.files import read_json

    folder = read_artifact(Path(gate.path), "gate").path
    raise ShoplensError("\n".join(["the gate refused the candidate:", *read_json(folder / "decision.json")["reasons"]]))
