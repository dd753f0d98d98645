"""THE STAGE TABLE: every stage's name, function, inputs, outputs, parameters and whether it touches the outside world.

The command line runs stages from it, dvc.yaml is generated from it, and the compiled Kubeflow graph is compared with
it. An input is `data` (the contract folder), `policy` (gate.yaml) or the name of an earlier stage; a stage's function
takes one keyword path for each (hyphens become underscores), `out`, and `params` if it has a section in params.yaml.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.home import home
from shoplens.params import Params
from shoplens.progress import say


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: as in dvc.yaml and on the command line.
        function: "module:name", imported when the stage runs.
        inputs: `data`, `policy` and earlier stages.
        summary: one line for --help and the Kubeflow UI.
        section: its section in params.yaml, or None.
        effect: it acts on the outside world: always run, never cached.
        metrics: files of its output that `dvc metrics` reads.
        plots: files of its output that `dvc plots` reads, with their template and axes.
    """

    name: str
    function: str
    inputs: tuple[str, ...]
    summary: str
    section: str | None = None
    effect: bool = False
    metrics: tuple[str, ...] = ()
    plots: Mapping[str, Mapping[str, str]] | None = None

    @property
    def keyword(self) -> str:
        """Its name as a Python keyword."""
        return self.name.replace("-", "_")


EVALUATED = ("evaluate-tasks", "evaluate-stars", "evaluate-ranking", "evaluate-retrieval")
STAGES: tuple[Stage, ...] = (
    Stage(
        "validate",
        "shoplens.contract.validate:validate",
        ("data",),
        "check the data contract with Great Expectations",
        section="validate",
        metrics=("metrics.json",),
    ),
    Stage(
        "prepare",
        "shoplens.data.prepare:prepare",
        ("data", "validate"),
        "split the listings and leave out near duplicates",
        section="prepare",
        metrics=("split.json",),
    ),
    Stage(
        "train",
        "shoplens.training.train:train",
        ("data", "prepare"),
        "train the gallery encoder on all tasks at once",
        section="train",
        metrics=("metrics.json",),
        plots={"history.csv": {"x": "epoch", "y": "val_loss"}},
    ),
    Stage(
        "champion",
        "shoplens.promotion.champion:champion",
        ("train",),
        "fetch the baseline: the model that the candidate must not fall behind",
        section="register",
        effect=True,
    ),
    Stage(
        "embed",
        "shoplens.evaluation.embed:embed",
        ("data", "prepare", "train", "champion"),
        "embed every gallery with the candidate, the baseline and the ImageNet reference",
        section="embed",
    ),
    Stage(
        "evaluate-tasks",
        "shoplens.evaluation.tasks:evaluate_tasks",
        ("data", "prepare", "train", "champion", "embed"),
        "measure every training task on the test listings",
        section="evaluate-tasks",
        metrics=("metrics.json",),
    ),
    Stage(
        "evaluate-stars",
        "shoplens.evaluation.stars:evaluate_stars",
        ("data", "prepare", "embed"),
        "measure the hold-out task, which no encoder was trained on",
        section="evaluate-stars",
        metrics=("metrics.json",),
        plots={"stars.csv": {"x": "training_listings", "y": "gain"}},
    ),
    Stage(
        "evaluate-ranking",
        "shoplens.evaluation.ranking:evaluate_ranking",
        ("data", "prepare", "embed"),
        "learn to rank the search log's queries with text, photos and both, and measure nDCG",
        section="evaluate-ranking",
        metrics=("metrics.json",),
    ),
    Stage(
        "evaluate-retrieval",
        "shoplens.evaluation.retrieval:evaluate_retrieval",
        ("data", "prepare", "embed"),
        "search each image source's corpus by embedding and by code, and measure P@1 or Avg P@20",
        section="evaluate-retrieval",
        metrics=("metrics.json",),
    ),
    Stage(
        "package",
        "shoplens.serving.package:package",
        ("data", "prepare", "train", "embed", "evaluate-ranking"),
        "export to ONNX, build the Triton repository and try it in a real server",
        section="package",
        metrics=("metrics.json",),
    ),
    Stage(
        "gate",
        "shoplens.promotion.gate_stage:gate",
        ("policy", "prepare", "train", "champion", *EVALUATED, "package"),
        "decide whether the candidate may be promoted",
        metrics=("decision.json",),
    ),
    Stage(
        "report",
        "shoplens.report.report:report",
        ("validate", "prepare", "train", "champion", *EVALUATED, "package", "gate"),
        "write the page that a person reads",
    ),
    Stage(
        "register",
        "shoplens.promotion.register:register",
        ("policy", "prepare", "train", "champion", *EVALUATED, "package", "gate", "report"),
        "register the model in MLflow and move the champion alias, or refuse",
        section="register",
        effect=True,
    ),
    Stage(
        "deploy",
        "shoplens.serving.deploy:deploy",
        ("package", "register"),
        "load the promoted model beside the old one, compare, switch",
        section="register",
        effect=True,
    ),
)
BY_NAME: Mapping[str, Stage] = {stage.name: stage for stage in STAGES}


@dataclass(frozen=True)
class Layout:
    """Where a run's files are: the contract folder, the policy and the folder that holds one folder a stage."""

    data: Path
    policy: Path
    artifacts: Path

    def path(self, name: str) -> Path:
        """The path of an input: `data`, `policy` or a stage."""
        return {"data": self.data, "policy": self.policy}.get(name, self.artifacts / name)


def function_of(stage: Stage) -> Callable[..., None]:
    """Import a stage's function."""
    module, name = stage.function.split(":")
    found: Callable[..., None] = getattr(importlib.import_module(module), name)
    return found


def run_stage(name: str, inputs: Mapping[str, Path], out: Path, params: Params) -> None:
    """Run one stage; its duration is printed and added to timings.jsonl in the home folder.

    Args:
        name: the stage.
        inputs: a path for each of its inputs, by the input's name in the table.
        out: the folder it writes.
        params: the whole run's parameters; the stage gets its section.

    Raises:
        ShoplensError: if the stage is unknown, the data is no folder, or what the stage itself raises.
    """
    if name not in BY_NAME:
        raise ShoplensError(f"unknown stage {name!r}; stages: {', '.join(BY_NAME)}")
    stage = BY_NAME[name]
    if "data" in stage.inputs and not inputs["data"].is_dir():
        raise ShoplensError(f"{inputs['data']} is no folder: name the contract folder with --data")
    keywords: dict[str, Any] = {key.replace("-", "_"): inputs[key] for key in stage.inputs}
    if stage.section:
        keywords["params"] = params.section(stage.section)
    start = time.perf_counter()
    function_of(stage)(**keywords, out=out)
    seconds = time.perf_counter() - start
    say(f"Stage {name}: {seconds:.1f} s")
    row = json.dumps({"stage": name, "out": str(out.absolute()), "seconds": round(seconds, 2)}) + "\n"
    handle = os.open(home() / "timings.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, row.encode())
    finally:
        os.close(handle)
