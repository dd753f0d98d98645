"""A component hands its artifacts and parameters to its stage, and does nothing else."""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import shoplens.kubeflow.component
from shoplens.artifacts import write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import canonical_json, write_json
from shoplens.kubeflow.component import section_text
from shoplens.kubeflow.gate_line import read_line
from shoplens.kubeflow.settings import Division
from shoplens.params import Params, read_params
from shoplens.stages import BY_NAME, STAGES, Stage

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # components/ stands beside src, not in it
OWN = {"check_params", "locate", "divide", "parts", "fetch", "embed_shard", "ranking_shard", "refuse", "finish"}
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


def test_there_is_one_component_a_stage_and_those_of_the_graph_itself() -> None:
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


@dataclass
class Calls:
    """What a component asked for, instead of doing it."""

    stages: list[tuple[Any, ...]]
    shown: list[dict[str, Any]]


def write_judged(out: Path, decision: dict[str, Any]) -> None:
    """What component gate reads after its stage: decision, and beside `given` which model it was compared with."""
    write_json(out / "decision.json", decision)
    write_json(out.parent / "in/champion/champion.json", {"version": "3"})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls([], [])

    def run_stage(*arguments: Any) -> None:
        made.stages.append(arguments)
        write_judged(arguments[2], {"promote": True, "rules": []})

    monkeypatch.setattr(shoplens.kubeflow.component, "run_stage", run_stage)
    monkeypatch.setattr(shoplens.kubeflow.component, "show", lambda _, arguments: made.shown.append(arguments))
    return made


PARAMS = Params.model_validate({"train": {"seed": 7}, "register": {"model": "mine"}, "evaluate-stars": {"seed": 9}})


def given(stage: Stage, folder: Path, params: Params = PARAMS) -> dict[str, Any]:
    """Arguments for a stage's component: all that its signature names."""
    names = inspect.signature(function(stage.keyword)).parameters
    arguments: dict[str, Any] = {name: artifact(folder / name) for name in names}
    arguments |= {name.replace("-", "_"): artifact(folder / "in" / name) for name in stage.inputs}
    if stage.section:
        arguments |= {"params": section_text(params, stage.section), "recipe": ""}
    plain: dict[str, Any] = {"parts": [artifact(folder / "part")], "nodes": 1, "gpus": 1, "image": ""}
    return arguments | {name: value for name, value in plain.items() if name in names}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_component_runs_its_stage_on_its_inputs_and_shows_it(stage: Stage, tmp_path: Path, calls: Calls) -> None:
    function(stage.keyword)(**given(stage, tmp_path))
    [(name, inputs, out, passed)] = calls.stages
    assert name == stage.name
    assert inputs == {input_name: tmp_path / "in" / input_name for input_name in stage.inputs}
    assert out == tmp_path / "out"
    if stage.section:
        assert passed.section(stage.section) == PARAMS.section(stage.section)
    assert set(calls.shown[0]) & {"metrics", "receipt", "decision", "page"}


@pytest.mark.parametrize("verdict", [True, False])
def test_the_gate_component_returns_the_verdict_as_a_boolean_and_prints_it_for_followers(
    verdict: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = {"promote": verdict, "reasons": ["it's fine"], "rules": []}
    monkeypatch.setattr(shoplens.kubeflow.component, "run_stage", lambda *_: write_judged(tmp_path / "out", decision))
    assert function("gate")(**given(BY_NAME["gate"], tmp_path)) == (verdict,)
    [line] = capsys.readouterr().out.splitlines()
    judged = read_line(line)
    assert (judged.promote, judged.baseline) == (verdict, "3")


def test_wrong_parameters_are_named_with_their_stage(tmp_path: Path) -> None:
    arguments = given(BY_NAME["train"], tmp_path) | {"params": '{"sed": 1}'}
    with pytest.raises(ShoplensError, match=r"parameters of train: train\.sed: unknown key; did you mean 'seed'"):
        function("train")(**arguments)


def test_a_recipe_is_taken_whole_and_the_sections_are_not(
    tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPLENS_RECIPES", str(ROOT / "recipes"))
    function("train")(**given(BY_NAME["train"], tmp_path) | {"recipe": "booking"})
    [(*_, passed)] = calls.stages
    assert passed.train == read_params(ROOT / "recipes/booking.yaml").train != PARAMS.train


# --- more than one machine -------------------------------------------------------------------------------------------


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, ...]]:
    """The modules that do a stage in shards or on several nodes, which here only say what they were asked for."""
    made: dict[str, tuple[Any, ...]] = {}

    def saying(name: str) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            made[name] = (*arguments, *options.items())

        return call

    for module in ("evaluation.embed_shards", "evaluation.ranking_shards"):
        shards = SimpleNamespace(run_shard=saying(f"{module} run"), merge=saying(f"{module} merge"))
        monkeypatch.setitem(sys.modules, f"shoplens.{module}", shards)
    job = SimpleNamespace(train_on_cluster=saying("job"))
    monkeypatch.setitem(sys.modules, "shoplens.training.train_job", job)
    processes = SimpleNamespace(train_in_processes=saying("processes"))
    monkeypatch.setitem(sys.modules, "shoplens.training.torchrun", processes)
    return made


SHARDED = {"embed": ("embed_shard", "embed_shards"), "evaluate-ranking": ("ranking_shard", "ranking_shards")}


@pytest.mark.parametrize("stage", SHARDED)
def test_a_stage_with_several_parts_is_put_together_from_them(
    stage: str, tmp_path: Path, calls: Calls, modules: dict[str, tuple[Any, ...]]
) -> None:
    arguments = given(BY_NAME[stage], tmp_path)
    function(BY_NAME[stage].keyword)(**arguments | {"parts": [artifact(tmp_path / "0"), artifact(tmp_path / "1")]})
    parts, inputs, out, params = modules[f"evaluation.{SHARDED[stage][1]} merge"]
    assert parts == [tmp_path / "0", tmp_path / "1"]
    assert inputs == {name: tmp_path / "in" / name for name in BY_NAME[stage].inputs}
    assert (out, params) == (tmp_path / "out", PARAMS.section(stage))
    assert not calls.stages and calls.shown


@pytest.mark.parametrize("stage", SHARDED)
def test_a_shard_does_its_part_and_a_single_one_nothing(
    stage: str, tmp_path: Path, modules: dict[str, tuple[Any, ...]]
) -> None:
    component_name, module = SHARDED[stage]
    names = inspect.signature(function(component_name)).parameters
    arguments = {name: value for name, value in given(BY_NAME[stage], tmp_path).items() if name in names}
    function(component_name)(**arguments, part="0/1")
    assert not modules and not list((tmp_path / "out").iterdir())
    function(component_name)(**arguments, part="2/3")
    inputs, out, params, shard, shards = modules[f"evaluation.{module} run"]
    assert inputs == {name: tmp_path / "in" / name for name in BY_NAME[stage].inputs}
    assert (out, params, shard, shards) == (tmp_path / "out", PARAMS.section(stage), 2, 3)


def test_several_nodes_train_as_a_job(tmp_path: Path, calls: Calls, modules: dict[str, tuple[Any, ...]]) -> None:
    function("train")(**given(BY_NAME["train"], tmp_path) | {"nodes": 2, "gpus": 8, "image": "shoplens@sha256:1"})
    inputs, out, params, *options = modules["job"]
    assert inputs == {"data": tmp_path / "in/data", "prepare": tmp_path / "in/prepare"}
    assert (out, params) == (tmp_path / "out", PARAMS.train)
    assert dict(options) == {"nodes": 2, "gpus": 8, "image": "shoplens@sha256:1"}
    assert not calls.stages


def test_several_gpus_of_one_machine_train_as_so_many_processes(
    tmp_path: Path, calls: Calls, modules: dict[str, tuple[Any, ...]]
) -> None:
    function("train")(**given(BY_NAME["train"], tmp_path) | {"nodes": 1, "gpus": 4, "image": ""})
    inputs, out, params, processes = modules["processes"]
    assert inputs == {"data": tmp_path / "in/data", "prepare": tmp_path / "in/prepare"}
    assert (out, params, processes) == (tmp_path / "out", PARAMS.train, 4)
    assert not calls.stages


# --- the graph's own tasks -------------------------------------------------------------------------------------------


def test_locate_writes_the_policy_byte_for_byte(tmp_path: Path) -> None:
    rule = '{kind: floor, name: "it\'s", metric: stars/rps, at_most: 1}'
    text = f"# \u00e4\r\nversion: 1\r\nrules: [{rule}]\n\n"
    policy = artifact(tmp_path / "policy")
    origin = function("locate")(
        source=str(tmp_path), revision="", image="", policy_json=canonical_json(text), policy=policy
    )
    assert (tmp_path / "policy").read_bytes() == text.encode()
    assert origin.revision == "" and origin.fresh


def test_divide_returns_what_its_component_declares() -> None:
    names = component("divide").component_spec.outputs
    assert tuple(names) == Division._fields
    assert function("divide")(gpus=8, embed_gpus=1, nodes=1, embed_shards=2) == ("8", "0", "1")


def test_check_params_names_every_wrong_parameter_of_every_section() -> None:
    sections = {stage.section: section_text(PARAMS, stage.section) for stage in STAGES if stage.section}
    keywords = {name.replace("-", "_"): text for name, text in sections.items()}
    function("check_params")(recipe="", **keywords)
    wrong = keywords | {"package": '{"exampels": 2}', "train": '{"seed": -1}'}
    with pytest.raises(ShoplensError, match=r"train\.seed") as caught:
        function("check_params")(recipe="", **wrong)
    assert "package.exampels: unknown key; did you mean 'examples'?" in str(caught.value)


def test_fetch_uses_a_local_folder_in_place(tmp_path: Path) -> None:
    data = artifact(tmp_path / "unused")
    function("fetch")(source=str(tmp_path), revision="", fresh="x", sample_listings=0, data=data)
    assert data.uri == str(tmp_path)
    assert not (tmp_path / "unused").exists()


def test_refuse_fails_with_the_reasons(tmp_path: Path) -> None:
    with write_artifact(tmp_path / "gate", "gate", {}, {}) as folder:
        write_json(folder / "decision.json", {"promote": False, "reasons": ["stars: it's worse", "tasks: too few"]})
    with pytest.raises(ShoplensError) as caught:
        function("refuse")(gate=artifact(tmp_path / "gate"))
    assert "stars: it's worse\ntasks: too few" in str(caught.value)


@pytest.mark.parametrize(
    ("state", "said"), [("SUCCEEDED", "was promoted"), ("FAILED", "gate said no"), ("CANCELLED", "finished")]
)
def test_finish_says_how_the_run_ended_and_where_to_look(
    state: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = SimpleNamespace(state=state, error_message="Task train ended.")
    function("finish")(source="shop.git", revision="v1", status=status, outcome=artifact(tmp_path / "outcome"))
    text = capsys.readouterr().err
    assert f"shop.git at v1 ended: {state}: Task train ended." in text and said in text
    assert (tmp_path / "outcome").read_text().strip() == text.strip()
