"""What the Kubeflow graph and its components share: parameters as text, and a component's one call into shoplens."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoplens.files import canonical_json, read_json
from shoplens.kubeflow.gate_line import line_of
from shoplens.kubeflow.settings import part_of, resolved_params
from shoplens.kubeflow.shown import show
from shoplens.params import Params
from shoplens.report.judged import read_judged
from shoplens.stages import BY_NAME, run_stage

SHARDED = {"embed": "shoplens.evaluation.embed_shards", "evaluate-ranking": "shoplens.evaluation.ranking_shards"}
"""Stages that can be done in shards, and the modules that do so."""


def section_text(params: Params, section: str) -> str:
    """A section of the parameters as canonical JSON: the one form in which parameters travel through Kubeflow."""
    return canonical_json(params.section(section).model_dump(mode="json"))


def run_component(stage: str, arguments: Mapping[str, Any]) -> None:
    """Run a stage on the arguments of its component, and show what came of it.

    Args:
        stage: its name.
        arguments: the component's `locals()`: Kubeflow artifacts for the stage's inputs by keyword (hyphens as
            underscores) and for `out`; `params`, the canonical JSON of its section, and `recipe`, if it has one;
            `parts`, the folders of its shards, if it can be done in shards; for train `nodes`, `gpus` and `image`;
            the artifacts of `shoplens.kubeflow.shown`. Anything else is ignored.

    Raises:
        ShoplensError: if the parameters are not valid, or what the stage raises.
    """
    inputs, params, out = _inputs(stage, arguments), _params(stage, arguments), Path(arguments["out"].path)
    shards = [Path(part.path) for part in arguments.get("parts", ())]
    if len(shards) > 1:
        importlib.import_module(SHARDED[stage]).merge(shards, inputs, out, _section(stage, params))
    elif arguments.get("nodes", 1) > 1:
        from shoplens.training.train_job import train_on_cluster

        nodes, gpus, image = arguments["nodes"], arguments["gpus"], arguments["image"]
        train_on_cluster(inputs, out, params.train, nodes=nodes, gpus=gpus, image=image)
    elif arguments.get("gpus", 0) > 1:
        from shoplens.training.torchrun import train_in_processes

        train_in_processes(inputs, out, params.train, arguments["gpus"])
    else:
        run_stage(stage, inputs, out, params)
    show(out, arguments)


def tell_judged(arguments: Mapping[str, Any]) -> None:
    """Print what the gate judged as one line, for those who follow the run: a server hands out no outputs of tasks.

    Args:
        arguments: of component gate, after its stage has run.
    """
    print(line_of(read_judged(Path(arguments["out"].path), _inputs("gate", arguments))), flush=True)


def promotes(gate: str) -> bool:
    """The verdict in the gate's folder."""
    return bool(read_json(Path(gate) / "decision.json")["promote"])


def run_part(stage: str, arguments: Mapping[str, Any]) -> None:
    """Run one shard of a stage, or write an empty folder if the stage is not done in shards.

    Kubeflow's loop is gone through once even then: whether it may be gone through zero times, servers do not agree.

    Args:
        stage: its name.
        arguments: as of `run_component`, and `part`, the shard's name among `shoplens.kubeflow.settings.parts`.

    Raises:
        ShoplensError: as `run_component`.
    """
    out = Path(arguments["out"].path)
    shard, shards = part_of(arguments["part"])
    if shards == 1:
        out.mkdir(parents=True, exist_ok=True)
        return
    section = _section(stage, _params(stage, arguments))
    importlib.import_module(SHARDED[stage]).run_shard(_inputs(stage, arguments), out, section, shard, shards)


def _inputs(stage: str, arguments: Mapping[str, Any]) -> dict[str, Path]:
    return {name: Path(arguments[name.replace("-", "_")].path) for name in BY_NAME[stage].inputs}


def _params(stage: str, arguments: Mapping[str, Any]) -> Params:
    section = BY_NAME[stage].section
    return resolved_params(arguments["recipe"], {section: arguments["params"]}) if section else Params()


def _section(stage: str, params: Params) -> Any:
    section = BY_NAME[stage].section
    return params.section(section) if section else None
