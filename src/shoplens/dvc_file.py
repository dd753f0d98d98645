"""dvc.yaml, written from the stage table: `python -m shoplens.dvc_file > dvc.yaml`.

`dvc repro` runs a stage again when its inputs, its section of params.yaml or the code named in `CODE` has changed.
Metrics and plots are files inside stage folders. DVC refuses outputs that overlap, so they are not outputs of their
own but stand in the top-level `metrics` and `plots`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from shoplens.stages import STAGES, Stage

HEADER = """\
# Written from the stage table in src/shoplens/stages.py. Change it there, then: python -m shoplens.dvc_file > dvc.yaml
"""

# The code that decides what a stage writes, below src/shoplens: packages, or one module of a package of several stages.
# A test compares this with what the stages import. The modules that every stage stands on (artifacts, files ...)
# are left out: they do not decide what a stage measures. Effects run every time, so they need no entry.
CODE: Mapping[str, tuple[str, ...]] = {
    "validate": ("contract",),
    "prepare": ("contract", "data"),
    "train": ("contract", "data", "models", "training"),
    "embed": ("contract", "data", "models", "retrieval/codes.py", "evaluation/embed.py"),
    "evaluate-tasks": ("contract", "data", "models", "evaluation"),
    "evaluate-stars": ("contract", "data", "evaluation"),
    "evaluate-ranking": ("contract", "data", "ranking", "evaluation"),
    "evaluate-retrieval": ("contract", "data", "retrieval", "evaluation"),
    "package": ("contract", "data", "models", "ranking/scoring.py", "retrieval", "serving"),
    "gate": ("evaluation", "promotion"),
    "report": ("contract", "models", "ranking/scoring.py", "retrieval/index.py", "evaluation", "report", "serving"),
}


def path_of(name: str) -> str:
    """Where `dvc repro` keeps an input or a stage's output, relative to dvc.yaml."""
    return {"data": "data", "policy": "gate.yaml"}.get(name, f"artifacts/{name}")


def stage_entry(stage: Stage) -> dict[str, Any]:
    """One stage's entry in dvc.yaml.

    An effect is always run and never cached: its receipt from the run cache would hide that nothing was done.
    """
    code = [f"src/shoplens/{path}" for path in CODE.get(stage.name, ())]
    entry: dict[str, Any] = {"desc": stage.summary, "cmd": f"shoplens {stage.name}"}
    entry["deps"] = [path_of(name) for name in stage.inputs] + code
    if stage.section:
        entry["params"] = [stage.section]
    out = path_of(stage.name)
    entry["outs"] = [{out: {"cache": False}} if stage.effect else out]
    if stage.effect:
        entry["always_changed"] = True
    return entry


def dvc_yaml(stages: Sequence[Stage] = STAGES) -> str:
    """The text of dvc.yaml for a stage table."""
    content = {
        "stages": {stage.name: stage_entry(stage) for stage in stages},
        "metrics": [f"{path_of(stage.name)}/{file}" for stage in stages for file in stage.metrics],
        "plots": [
            {f"{path_of(stage.name)}/{file}": dict(axes)}
            for stage in stages
            for file, axes in (stage.plots or {}).items()
        ],
    }
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=120)


if __name__ == "__main__":
    sys.stdout.write(dvc_yaml())
