"""The compiled graph is the stage table's, and every reference in it resolves."""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from shoplens.params import read_params
from shoplens.stages import STAGES, Stage

ROOT = Path(__file__).parents[1]
OWN = {"fetch", "refuse", "finish"}
IMAGE = f"registry.example.com/team/shoplens@sha256:{'a' * 64}"
Spec = dict[str, Any]


def call(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python pipeline.py ...`."""
    command = [sys.executable, str(ROOT / "pipeline.py"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    done = call("compile", "--image", IMAGE, "--out", path, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def spec(compiled: Path) -> Spec:
    found: Spec = next(yaml.safe_load_all(compiled.read_text()))
    return found


# --- reading a compiled graph ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A task that runs a component, with the groups around it (If, ExitHandler) taken away."""

    artifacts: Mapping[str, tuple[str, str]]  # input -> producing task and its output
    parameters: Mapping[str, Any]  # input -> name of a pipeline parameter, or a constant
    conditions: tuple[str, ...]
    cached: bool
    display_name: str
    accelerator: Mapping[str, str]


def contract(spec: Spec) -> dict[str, Task]:
    """All tasks by name. Every reference is followed.

    Raises:
        KeyError: if one leads nowhere.
    """
    found: dict[str, Task] = {}
    names = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    _walk(spec, spec["root"], {}, {name: name for name in names}, (), found)
    return found


def _walk(
    spec: Spec,
    group: Spec,
    artifacts: Mapping[str, tuple[str, str]],
    parameters: Mapping[str, Any],
    conditions: tuple[str, ...],
    found: dict[str, Task],
) -> None:
    tasks = group["dag"]["tasks"]
    for name, task in tasks.items():
        component = spec["components"][task["componentRef"]["name"]]
        for before in task.get("dependentTasks", []):
            tasks[before]
        wired = task.get("inputs", {})
        files = {key: _artifact(spec, tasks, artifacts, ref) for key, ref in wired.get("artifacts", {}).items()}
        values = {key: _parameter(spec, tasks, parameters, ref) for key, ref in wired.get("parameters", {}).items()}
        for value in values.values():
            _resolved(str(value), values)
        _check_declared(component, files, values)
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition:
            for inner in re.findall(r"parameter_values\['([^']+)'\]", condition):
                condition = condition.replace(f"inputs.parameter_values['{inner}']", ".".join(values[inner]))
        around = (*conditions, condition) if condition else conditions
        if "dag" in component:
            _walk(spec, component, files, values, around, found)
            continue
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        accelerator = container.get("resources", {}).get("accelerator", {})
        found[name] = Task(
            files,
            {key: value for key, value in values.items() if key in component["inputDefinitions"].get("parameters", {})},
            around,
            task["cachingOptions"].get("enableCache", False),
            task["taskInfo"]["name"],
            {key: _resolved(text, values) for key, text in accelerator.items()},
        )


def _resolved(text: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}", lambda match: str(values[match[1]]), text)


def _artifact(spec: Spec, tasks: Spec, outer: Mapping[str, tuple[str, str]], ref: Spec) -> tuple[str, str]:
    if "componentInputArtifact" in ref:
        return outer[ref["componentInputArtifact"]]
    producer, key = ref["taskOutputArtifact"]["producerTask"], ref["taskOutputArtifact"]["outputArtifactKey"]
    spec["components"][tasks[producer]["componentRef"]["name"]]["outputDefinitions"]["artifacts"][key]
    return producer, key


def _parameter(spec: Spec, tasks: Spec, outer: Mapping[str, Any], ref: Spec) -> Any:
    if "componentInputParameter" in ref:
        return outer[ref["componentInputParameter"]]
    if "taskOutputParameter" in ref:
        producer, key = ref["taskOutputParameter"]["producerTask"], ref["taskOutputParameter"]["outputParameterKey"]
        kinds = spec["components"][tasks[producer]["componentRef"]["name"]]["outputDefinitions"]["parameters"]
        assert kinds[key]["parameterType"] == "BOOLEAN"  # the only output that the graph looks at is the verdict
        return producer, key
    if "taskFinalStatus" in ref:
        tasks[ref["taskFinalStatus"]["producerTask"]]
        return "status"
    return ref["runtimeValue"]["constant"]


def _check_declared(component: Spec, artifacts: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """What a component or group declares is wired, and a group gets nothing that it does not declare."""
    declared = component.get("inputDefinitions", {})
    for wanted in declared.get("artifacts", {}):
        artifacts[wanted]
    for wanted in declared.get("parameters", {}):
        parameters[wanted]
    for given in artifacts:
        declared["artifacts"][given]
    if "dag" in component:
        for given in parameters:
            declared["parameters"][given]


def expected(stage: Stage) -> Task:
    """A stage's task, as the table has it."""
    sources = {"data": ("fetch", "data"), "policy": ("fetch", "policy")}
    artifacts = {name.replace("-", "_"): sources.get(name, (name, "out")) for name in stage.inputs}
    parameters = {"params": f"{stage.section.replace('-', '_')}_params"} if stage.section else {}
    return Task(
        artifacts,
        parameters,
        ("gate.promote == true",) if stage.name in ("register", "deploy") else (),
        cached=not stage.effect and stage.name != "gate",
        display_name=stage.name.replace("-", " ").capitalize(),
        accelerator={"resourceType": "accelerator", "resourceCount": "accelerators"}
        if stage.name in ("train", "embed")
        else {},
    )


def differences(spec: Spec, stages: Sequence[Stage] = STAGES) -> list[str]:
    """Where a compiled graph is not the table's."""
    tasks = contract(spec)
    wanted = {stage.name: expected(stage) for stage in stages}
    found = [f"task {name} is only in one of the two" for name in sorted((set(tasks) - OWN) ^ set(wanted))]
    for name in set(tasks) & set(wanted):
        if tasks[name] != wanted[name]:
            found.append(f"{name}: {tasks[name]} is not {wanted[name]}")
        component = next(
            spec["components"][task["componentRef"]["name"]]
            for group in (spec["root"], *spec["components"].values())
            for key, task in group.get("dag", {}).get("tasks", {}).items()
            if key == name
        )
        outputs = component["outputDefinitions"]
        if set(outputs["artifacts"]) != {"out"} or set(outputs.get("parameters", {})) != (
            {"promote"} if name == "gate" else set()
        ):
            found.append(f"{name}: outputs {outputs}")
    return found


# --- the graph -------------------------------------------------------------------------------------------------------


def test_the_graph_is_the_stage_table(spec: Spec) -> None:
    assert differences(spec) == []


def test_the_graphs_own_tasks(spec: Spec) -> None:
    tasks = contract(spec)
    assert tasks["fetch"].parameters == {name: name for name in ("source", "revision", "policy_json")}
    assert not tasks["fetch"].cached
    assert tasks["refuse"].artifacts == {"gate": ("gate", "out")}
    assert tasks["refuse"].conditions == ("!(gate.promote == true)",)
    assert tasks["finish"].parameters == {"source": "source", "revision": "revision", "status": "status"}


def test_a_refusal_and_a_registration_wait_for_the_report(spec: Spec) -> None:
    handler = next(c for c in spec["components"].values() if "gate" in c.get("dag", {}).get("tasks", {}))
    [branches] = [task for name, task in handler["dag"]["tasks"].items() if name.startswith("condition")]
    assert "report" in branches["dependentTasks"]


@pytest.mark.parametrize(
    "change",
    [{"inputs": ("data", "prepare", "train")}, {"section": "embed"}, {"name": "evaluate-star"}, {"effect": True}],
)
def test_a_change_of_the_table_alone_is_noticed(spec: Spec, change: dict[str, Any]) -> None:
    changed = [replace(stage, **change) if stage.name == "evaluate-stars" else stage for stage in STAGES]
    assert differences(spec, changed)


def _inputs(spec: Spec, task: str) -> Spec:
    for group in spec["components"].values():
        found = group.get("dag", {}).get("tasks", {}).get(task)
        if found:
            inputs: Spec = found["inputs"]
            return inputs
    raise KeyError(task)


def _swap_input(spec: Spec) -> None:
    artifacts = _inputs(spec, "embed")["artifacts"]
    artifacts["train"], artifacts["champion"] = artifacts["champion"], artifacts["train"]


def _other_parameter(spec: Spec) -> None:
    _inputs(spec, "evaluate-stars")["parameters"]["params"] = {
        "componentInputParameter": "pipelinechannel--evaluate_tasks_params"
    }


def _drop_input(spec: Spec) -> None:
    del _inputs(spec, "report")["artifacts"]["champion"]
    del spec["components"]["comp-report"]["inputDefinitions"]["artifacts"]["champion"]


@pytest.mark.parametrize("change", [_swap_input, _other_parameter, _drop_input])
def test_a_change_of_the_graph_alone_is_noticed(spec: Spec, change: Callable[[Spec], None]) -> None:
    change(spec)
    assert differences(spec)


def test_every_declared_name_is_needed_for_the_graph_to_resolve(spec: Spec) -> None:
    # kfp compiles references that lead nowhere (a GPU count as a parameter inside an exit handler): renaming any one
    # declared input or output of a component must therefore be seen here.
    places = [
        (component, side, kind, key)
        for component, content in spec["components"].items()
        for side in ("inputDefinitions", "outputDefinitions")
        for kind in ("artifacts", "parameters")
        for key in content.get(side, {}).get(kind, {})
        if (component, key) != ("comp-deploy", "out")  # nobody reads the deployment's receipt
    ]
    assert len(places) > 100
    for component, side, kind, key in places:
        changed = copy.deepcopy(spec)
        names = changed["components"][component][side][kind]
        names[f"{key}_renamed"] = names.pop(key)
        with pytest.raises(KeyError):
            contract(changed)


def test_kubeflow_can_parse_it(spec: Spec) -> None:
    message = json_format.ParseDict(spec, PipelineSpec())
    assert message.pipeline_info.name == "shoplens"
    assert {name.removeprefix("exec-") for name in message.deployment_spec["executors"]} == set(contract(spec))


def test_defaults_are_the_committed_parameters_and_policy(spec: Spec) -> None:
    given = spec["root"]["inputDefinitions"]["parameters"]
    params = read_params(ROOT / "params.yaml")
    for section in {stage.section for stage in STAGES if stage.section}:
        text = given[f"{section.replace('-', '_')}_params"]["defaultValue"]
        assert type(params.section(section)).model_validate(json.loads(text)) == params.section(section)
    assert json.loads(given["policy_json"]["defaultValue"]) == (ROOT / "gate.yaml").read_text()
    assert given["source"].get("defaultValue") is None
    assert all(parameter.get("description") for parameter in given.values())


def test_compiling_twice_gives_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    assert (
        call("compile", "--image", IMAGE, "--out", tmp_path / "again.yaml", cwd=tmp_path, PYTHONHASHSEED="2").returncode
        == 0
    )
    assert (tmp_path / "again.yaml").read_bytes() == compiled.read_bytes()
