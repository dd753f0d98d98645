"""The references of a compiled graph, followed to their ends: kfp compiles ones that lead nowhere, and runs break."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from shoplens.errors import ShoplensError

PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
"""A parameter of a task, in the text of its container or of another parameter."""
IN_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\]")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Wired:
    """What a task is wired to, with the groups around it (exit handler, branches, loops) taken away.

    Attributes:
        artifacts: input -> producing task and its output.
        parameters: input -> name of a parameter of the graph, producing task and its output, or a constant.
        conditions: of the branches around it, outermost first.
        container: what it runs, with each placeholder replaced by what it stands for; empty if kfp itself does it.
    """

    artifacts: Mapping[str, tuple[str, str]]
    parameters: Mapping[str, Any]
    conditions: tuple[str, ...]
    container: Json


def check_package(package: bytes) -> None:
    """Refuse a compiled graph (YAML) that Kubeflow could not read, or in which a reference leads nowhere.

    Raises:
        ShoplensError: naming the task and the reference.
    """
    from google.protobuf import json_format  # type: ignore[import-untyped]
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

    documents = list(yaml.load_all(package, yaml.CSafeLoader))
    for document, message in zip(documents, (PipelineSpec(), PlatformSpec()), strict=False):
        try:
            json_format.ParseDict(document, message)
        except json_format.ParseError as error:
            raise ShoplensError(f"the compiled graph is none that Kubeflow reads: {error}") from None
    follow_references(documents[0])


def follow_references(spec: Json) -> dict[str, Wired]:
    """All tasks of a compiled graph (PipelineSpec as JSON) that run something, by name.

    Raises:
        ShoplensError: if a reference leads nowhere, naming the task and the reference.
    """
    found: dict[str, Wired] = {}
    names = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    _follow_group(spec, spec["root"], {}, {name: name for name in names}, (), found)
    return found


def _follow_group(
    spec: Json,
    group: Json,
    outer_artifacts: Json,
    outer_parameters: Json,
    conditions: tuple[str, ...],
    found: dict[str, Wired],
) -> None:
    tasks = group["dag"]["tasks"]
    for name, task in tasks.items():
        component = _component(spec, tasks, name)
        for before in task.get("dependentTasks", []):
            _at(tasks, before, name, "task")
        given = task.get("inputs", {})
        artifacts = {k: _artifact(spec, tasks, outer_artifacts, ref, name) for k, ref in _of(given, "artifacts")}
        parameters = {k: _parameter(spec, tasks, outer_parameters, ref, name) for k, ref in _of(given, "parameters")}
        _replaced(list(parameters.values()), parameters, name)
        if loop := task.get("parameterIterator"):
            items = loop["items"]  # constants, as JSON, or an input
            each = items["raw"] if "raw" in items else _at(parameters, items["inputParameter"], name, "input")
            parameters[loop["itemInput"]] = ("each of", each)
        if loop := task.get("artifactIterator"):
            artifacts[loop["itemInput"]] = _at(artifacts, loop["items"]["inputArtifact"], name, "input")
        _check_declared(component, artifacts, parameters, name)
        condition = _condition(task.get("triggerPolicy", {}).get("condition"), parameters, name)
        around = (*conditions, condition) if condition else conditions
        declared = dict(_of(component.get("inputDefinitions", {}), "parameters"))
        own = {key: value for key, value in parameters.items() if key in declared}
        optional = {key: entry.get("defaultValue", "") for key, entry in declared.items() if entry.get("isOptional")}
        if "dag" in component:
            _follow_group(spec, component, artifacts, optional | parameters, around, found)
            continue
        executor = _at(spec["deploymentSpec"]["executors"], component["executorLabel"], name, "executor")
        container = _replaced(executor.get("container", {}), optional | parameters, name)
        found[name] = Wired(artifacts, own, around, container)


def _artifact(spec: Json, tasks: Json, outer: Json, ref: Json, task: str) -> Any:
    if "componentInputArtifact" in ref:
        return _at(outer, ref["componentInputArtifact"], task, "artifact")
    made = ref["taskOutputArtifact"]
    return _output(spec, tasks, made["producerTask"], "artifacts", made["outputArtifactKey"], task)


def _parameter(spec: Json, tasks: Json, outer: Json, ref: Json, task: str) -> Any:
    if "componentInputParameter" in ref:
        return _at(outer, ref["componentInputParameter"], task, "parameter")
    if "taskOutputParameter" in ref:
        made = ref["taskOutputParameter"]
        return _output(spec, tasks, made["producerTask"], "parameters", made["outputParameterKey"], task)
    if "taskFinalStatus" in ref:
        _at(tasks, ref["taskFinalStatus"]["producerTask"], task, "task")
        return "status"
    return ref["runtimeValue"]["constant"]


def _output(spec: Json, tasks: Json, producer: str, kind: str, key: str, task: str) -> tuple[str, str]:
    """The task that makes an output, and its name there: inside a loop or a graph, if not one of several makes it."""
    _at(tasks, producer, task, "task")
    component = _component(spec, tasks, producer)
    _at(dict(_of(component.get("outputDefinitions", {}), kind)), key, task, f"output of {producer}")
    if "dag" not in component:
        return producer, key
    dag = component["dag"]
    made = _at(dict(_of(dag.get("outputs", {}), kind)), key, task, f"output of {producer}")
    if kind == "artifacts":
        selected, inner = made["artifactSelectors"], "outputArtifactKey"
    else:
        oneof = made.get("valueFromOneof")
        selected, inner = oneof["parameterSelectors"] if oneof else [made["valueFromParameter"]], "outputParameterKey"
    ends = [_output(spec, dag["tasks"], one["producerSubtask"], kind, one[inner], task) for one in selected]
    return ends[0] if len(ends) == 1 else (producer, key)


def _component(spec: Json, tasks: Json, name: str) -> Any:
    return _at(spec["components"], tasks[name]["componentRef"]["name"], name, "component")


def _check_declared(component: Json, artifacts: Json, parameters: Json, task: str) -> None:
    """What a component or group declares is wired, and it gets no artifact, and a group nothing, beside that."""
    for kind, given in (("artifacts", artifacts), ("parameters", parameters)):
        declared = dict(_of(component.get("inputDefinitions", {}), kind))
        for key, definition in declared.items():
            if not definition.get("isOptional") or definition.get("parameterType") == "TASK_FINAL_STATUS":
                _at(given, key, task, "input")
        if "dag" in component or kind == "artifacts":  # the text of a container names parameters beside its own
            for key in given:
                _at(declared, key, task, "input")


def _condition(condition: str | None, parameters: Json, task: str) -> str | None:
    def meant(match: re.Match[str]) -> str:
        return _text(_at(parameters, match[1], task, "parameter"))

    return condition and IN_CONDITION.sub(meant, condition)


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    first, second = value
    return f"{first} {_text(second)}" if first == "each of" else f"{first}.{second}"


def _replaced(content: Any, parameters: Json, task: str) -> Any:
    """JSON with each placeholder in its texts replaced by what it stands for."""
    if isinstance(content, str):
        return PLACEHOLDER.sub(lambda match: str(_at(parameters, match[1], task, "parameter")), content)
    if isinstance(content, Mapping):
        return {key: _replaced(value, parameters, task) for key, value in content.items()}
    if isinstance(content, list):
        return [_replaced(value, parameters, task) for value in content]
    return content


def _of(group: Json, kind: str) -> Any:
    return group.get(kind, {}).items()


def _at(known: Json, key: str, task: str, what: str) -> Any:
    if key not in known:
        raise ShoplensError(
            f"the compiled graph would break on a cluster: task {task} refers to {what} {key!r}, which leads nowhere"
            f" (there is: {', '.join(sorted(known)) or 'none'}); wire it in pipeline.py"
        )
    return known[key]
