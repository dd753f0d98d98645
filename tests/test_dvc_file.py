"""dvc.yaml is what the stage table says, and DVC understands it as the table means it."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from shoplens.dvc_file import CODE, dvc_yaml
from shoplens.params import read_params
from shoplens.stages import BY_NAME, STAGES, Stage

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
# What every stage stands on; see CODE.
FLOOR = {"artifacts", "errors", "files", "home", "params", "progress", "strict"}


def test_the_committed_file_is_the_generated_one() -> None:
    assert (ROOT / "dvc.yaml").read_text() == dvc_yaml(), "run: python -m shoplens.dvc_file > dvc.yaml"


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": ("data", "validate", "embed")},
        {"section": "embed"},
        {"name": "evaluate-star"},
        {"effect": True},
        {"metrics": ("other.json",)},
    ],
)
def test_a_change_of_the_table_alone_is_noticed(change: dict[str, object]) -> None:
    changed = [replace(stage, **change) if stage.name == "evaluate-stars" else stage for stage in STAGES]
    assert dvc_yaml(changed) != (ROOT / "dvc.yaml").read_text()


def test_metrics_and_plots_are_files_inside_outputs_and_no_outputs_of_their_own() -> None:
    content = yaml.safe_load(dvc_yaml())
    outputs = [
        next(iter(out)) if isinstance(out, dict) else out for s in content["stages"].values() for out in s["outs"]
    ]
    assert len(set(outputs)) == len(outputs) == len(STAGES)
    for file in [*content["metrics"], *(next(iter(plot)) for plot in content["plots"])]:
        assert str(Path(file).parent) in outputs


def test_params_yaml_spells_out_every_parameter() -> None:
    # DVC compares params.yaml, not the code: a parameter that is left out would change with its default unnoticed.
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    params = read_params(ROOT / "params.yaml")
    for section in sorted({stage.section for stage in STAGES if stage.section}):
        assert set(written.get(section, {})) == set(type(params.section(section)).model_fields), section


# --- code ------------------------------------------------------------------------------------------------------------


def imported(module: str) -> set[Path]:
    """The files below src/shoplens that a module needs, directly or not, wherever in it they are imported."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        base = SOURCE / name.replace(".", "/")
        file = next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)
        if file is None or file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("shoplens"):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names if alias.name.startswith("shoplens")]
    return found


@pytest.mark.parametrize("name", [stage.name for stage in STAGES if not stage.effect])
def test_dvc_is_told_the_code_of_a_stage(name: str) -> None:
    used = {f.relative_to(SOURCE / "shoplens") for f in imported(BY_NAME[name].function.split(":")[0])}
    used = {f for f in used if f.stem not in FLOOR | {"__init__"} or len(f.parts) > 1}
    told = {Path(path) for path in CODE[name]}
    missing = {str(f) for f in used if not told & {f, *f.parents} and f.name != "__init__.py"}
    assert not missing, f"add to CODE[{name!r}] in dvc_file.py"
    needless = {str(path) for path in told if not any(path in (f, *f.parents) for f in used)}
    assert not needless, f"remove from CODE[{name!r}] in dvc_file.py"


def test_effects_need_no_code_for_they_always_run() -> None:
    assert set(CODE) == {stage.name for stage in STAGES if not stage.effect}


# --- real DVC --------------------------------------------------------------------------------------------------------

TOY = (
    Stage("first", "toy:first", ("data",), "reads data", section="train", metrics=("metrics.json",)),
    Stage("effect", "toy:effect", ("first",), "acts on the outside world", effect=True),
    Stage("last", "toy:last", ("effect",), "reads the effect's receipt", plots={"p.csv": {"x": "a", "y": "b"}}),
)
SCRIPT = """#!/bin/sh
echo $1 >> ran.txt
mkdir -p artifacts/$1
case $1 in
  first) echo "{\\"seed\\": $(sed -n 's/.*seed: //p' params.yaml)}" > artifacts/first/metrics.json ;;
  effect) cp world.txt artifacts/effect/receipt ;;
  last) printf 'a,b\\n1,2\\n' > artifacts/last/p.csv ;;
esac
"""


class Project:
    """A small DVC project with the committed settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
        shutil.copy(ROOT / ".dvcignore", folder)
        (folder / "bin").mkdir()
        (folder / "bin/shoplens").write_text(SCRIPT)
        (folder / "bin/shoplens").chmod(0o755)
        (folder / ".gitignore").write_text("/artifacts/\n/data/\nran.txt\n")
        (folder / "dvc.yaml").write_text(dvc_yaml(TOY))
        (folder / "data").mkdir()
        (folder / "data/a.txt").write_text("a")
        (folder / "world.txt").write_text("before")
        (folder / "params.yaml").write_text("train:\n  seed: 1\n")
        self.call("git", "init", "-q")

    def call(self, *command: str) -> str:
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self) -> list[str]:
        """Run `dvc repro`; returns the stages that ran."""
        (self.folder / "ran.txt").write_text("")
        self.call("dvc", "repro", "-q")
        return (self.folder / "ran.txt").read_text().split()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    yield Project(tmp_path_factory.mktemp("dvc"))


def test_dvc_runs_effects_always_and_the_rest_when_something_changed(project: Project) -> None:
    assert project.repro() == ["first", "effect", "last"]
    assert project.repro() == ["effect"]  # the same receipt again: what follows is left alone
    (project.folder / "world.txt").write_text("after")
    assert project.repro() == ["effect", "last"]
    (project.folder / "params.yaml").write_text("train:\n  seed: 2\nembed:\n  seed: 7\n")
    assert project.repro() == ["first", "effect"]
    (project.folder / "params.yaml").write_text("train:\n  seed: 1\n")
    assert project.repro() == ["effect"]  # `first` comes back from the run cache, the effect does not
    assert json.loads((project.folder / "artifacts/first/metrics.json").read_text()) == {"seed": 1}


def test_dvc_reads_metrics_and_plots_inside_stage_folders(project: Project) -> None:
    project.repro()
    metrics = json.loads(project.call("dvc", "metrics", "show", "--json"))
    assert metrics[""]["data"]["artifacts/first/metrics.json"]["data"] == {"seed": 1}
    assert "artifacts/last/p.csv" in json.loads(project.call("dvc", "plots", "show", "--json"))["data"]


def test_dvc_overlooks_compiled_python_and_asks_nobody_for_updates(project: Project) -> None:
    compiled = "src/shoplens/data/__pycache__/photos.cpython-311.pyc"
    assert project.call("dvc", "check-ignore", compiled).strip() == compiled
    assert project.call("dvc", "config", "core.analytics").strip() == "false"
    assert project.call("dvc", "config", "core.check_update").strip() == "false"
