"""A component hands its artifacts and parameters to its stage, and does nothing else."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import shoplens.kubeflow.component
from shoplens.artifacts import write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import canonical_json, write_json
from shoplens.kubeflow.component import section_text
from shoplens.params import Params
from shoplens.stages import STAGES, Stage

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # components/ stands beside src, not in it
OWN = {"fetch", "refuse", "finish"}
FILES = sorted(file for file in (ROOT / "components").glob("*.py") if file.stem not in ("__init__", "base"))


def component(name: str) -> Any:
    """The component in components/<name>.py."""
    return getattr(importlib.import_module(f"components.{name}"), name)


def function(name: str) -> Callable[..., Any]:
    """The plain function of a component."""
    found: Callable[..., Any] = component(name).python_func
    return found


def artifact(path: Path) -> SimpleNamespace:
    """As much of a Kubeflow artifact as components use."""
    return SimpleNamespace(path=str(path), uri=str(path))


def test_there_is_one_component_a_stage_and_three_more() -> None:
    assert {file.stem for file in FILES} == {stage.keyword for stage in STAGES} | OWN


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_component_is_short_and_carries_no_setup(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 30
    assert "from __future__" not in text  # kfp could not read the types of artifacts
    container = component(file.stem).component_spec.implementation.container
    assert container.image == importlib.import_module("components.base").IMAGE
    assert not any("pip install" in part for part in container.command)
    assert component(file.stem).description


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_component_runs_its_stage_on_its_inputs(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run_stage(name: str, inputs: dict[str, Path], out: Path, params: Params) -> None:
        calls.append((name, inputs, out, params))
        write_json(out / "decision.json", {"promote": True})

    monkeypatch.setattr(shoplens.kubeflow.component, "run_stage", run_stage)
    given: dict[str, Any] = {name.replace("-", "_"): artifact(tmp_path / "in" / name) for name in stage.inputs}
    params = Params.model_validate({"train": {"seed": 7}, "register": {"model": "mine"}, "evaluate-stars": {"seed": 9}})
    if stage.section:
        given["params"] = section_text(params, stage.section)
    function(stage.keyword)(**given, out=artifact(tmp_path / "out"))
    [(name, inputs, out, passed)] = calls
    assert name == stage.name
    assert inputs == {input_name: tmp_path / "in" / input_name for input_name in stage.inputs}
    assert out == tmp_path / "out"
    if stage.section:
        assert passed.section(stage.section) == params.section(stage.section)


@pytest.mark.parametrize("verdict", [True, False])
def test_the_gate_component_returns_the_verdict_as_a_boolean(
    verdict: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_stage(*_: object) -> None:
        write_json(tmp_path / "out/decision.json", {"promote": verdict, "reasons": ["it's fine"]})

    monkeypatch.setattr(shoplens.kubeflow.component, "run_stage", run_stage)
    [stage] = [stage for stage in STAGES if stage.name == "gate"]
    given = {name.replace("-", "_"): artifact(tmp_path / name) for name in stage.inputs}
    assert function("gate")(**given, out=artifact(tmp_path / "out")) == (verdict,)


def test_wrong_parameters_are_named_with_their_stage(tmp_path: Path) -> None:
    given = {"data": artifact(tmp_path), "prepare": artifact(tmp_path), "out": artifact(tmp_path / "out")}
    with pytest.raises(ShoplensError, match=r"parameters of train: train\.sed: unknown key; did you mean 'seed'"):
        function("train")(**given, params='{"sed": 1}')


# --- the graph's own tasks -------------------------------------------------------------------------------------------


def test_fetch_uses_a_local_folder_in_place_and_writes_the_policy_byte_for_byte(tmp_path: Path) -> None:
    data, policy = artifact(tmp_path / "unused"), artifact(tmp_path / "policy")
    text = '# it\'s a "policy"\r\nalpha: 0.05 # \u00e4\n\n'
    function("fetch")(source=str(tmp_path), revision="", policy_json=canonical_json(text), data=data, policy=policy)
    assert data.uri == str(tmp_path)
    assert (tmp_path / "policy").read_bytes() == text.encode()
    assert not (tmp_path / "unused").exists()


def test_fetch_gets_a_revision_of_a_dvc_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)

    def call(*command: str) -> None:
        subprocess.run(command, cwd=project, check=True, capture_output=True)

    dvc = (sys.executable, "-m", "dvc")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    call("git", "init", "-q")
    call(*dvc, "init", "-q")
    for version in ("first", "second"):
        (project / "data/dataset.yaml").write_text(version)
        call(*dvc, "add", "-q", "data")
        call(*git, "add", "-A")
        call(*git, "commit", "-qm", version)
    function("fetch")(
        source=str(project),
        revision="HEAD~1",
        policy_json='"alpha: 0.05"',
        data=artifact(tmp_path / "fetched"),
        policy=artifact(tmp_path / "policy"),
    )
    assert (tmp_path / "fetched/dataset.yaml").read_text() == "first"


def test_refuse_fails_with_the_reasons(tmp_path: Path) -> None:
    with write_artifact(tmp_path / "gate", "gate", {}, {}) as folder:
        write_json(folder / "decision.json", {"promote": False, "reasons": ["stars: it's worse", "tasks: too few"]})
    with pytest.raises(ShoplensError) as caught:
        function("refuse")(gate=artifact(tmp_path / "gate"))
    assert "stars: it's worse\ntasks: too few" in str(caught.value)


def test_finish_says_how_the_run_ended(capsys: pytest.CaptureFixture[str]) -> None:
    status = SimpleNamespace(state="FAILED", error_message="Task train failed.")
    function("finish")(source="shop.git", revision="v1", status=status)
    assert "shop.git at v1 ended: FAILED Task train failed." in capsys.readouterr().err
