"""The compiled graph is the stage table's, and a graph in which a reference leads nowhere is not compiled."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl

import pipeline
from shoplens.errors import ShoplensError
from shoplens.kubeflow import command
from shoplens.kubeflow.references import check_package, follow_references
from shoplens.params import read_params
from shoplens.stages import STAGES, Stage

ROOT = Path(__file__).parents[1]
OWN = {
    "check-params",
    "locate",
    "divide",
    "parts",
    "parts-2",
    "fetch",
    "embed-shard",
    "ranking-shard",
    "refuse",
    "finish",
}
UNCACHED = {"locate", "champion", "gate", "register", "deploy", "refuse", "finish"}
PARTS = {"embed": "embed-shard", "evaluate-ranking": "ranking-shard"}
VIEWS = {
    "validate": {"metrics": "Metrics", "docs": "HTML"},
    "prepare": {"metrics": "Metrics"},
    "train": {"metrics": "Metrics"},
    "champion": {"receipt": "Markdown"},
    "embed": {"receipt": "Markdown"},
    "evaluate-tasks": {"metrics": "Metrics"},
    "evaluate-ranking": {"metrics": "Metrics"},
    "evaluate-retrieval": {"metrics": "Metrics"},
    "package": {"metrics": "Metrics"},
    "register": {"receipt": "Markdown"},
    "deploy": {"receipt": "Markdown"},
    "evaluate-stars": {"metrics": "Metrics", "confusion": "ClassificationMetrics"},
    "gate": {"decision": "Markdown"},
    "report": {"page": "HTML"},
}
CLUSTER = """
defaults: {retries: {times: 2, wait: 30s, factor: 2}, timeout: 1h, env: {MLFLOW_TRACKING_URI: "http://mlflow:5000"}}
accelerator: example.com/gpu
stages:
  train:
    gpus: 4
    cpu: 500m
    memory: 3Gi
    shm: 2Gi
    timeout: 10h
    node_selector: {kind: fast}
    tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
    secrets: {TOKEN: {secret: git, key: token}}
    volumes: {home: /srv/home}
    config_maps: {settings: /etc/settings}
  embed: {gpus: 2, shm: 1Gi}
  refuse: {retries: {times: 0}}
"""
IMAGE = f"registry.example.com/team/shoplens@sha256:{'a' * 64}"
COMPILE = ("compile", "--image", IMAGE)
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
    path.with_name("cluster.yaml").write_text(CLUSTER)
    options = ("--cluster", path.with_name("cluster.yaml"), "--out", path)
    done = call(*COMPILE, *options, PYTHONHASHSEED="1", TOKEN="sesame", GIT_TOKEN="sesame")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def documents(compiled: Path) -> list[Spec]:
    """The two documents of the compiled file: the graph, and what is particular to Kubernetes."""
    return list(yaml.safe_load_all(compiled.read_text()))


@pytest.fixture
def spec(documents: list[Spec]) -> Spec:
    """The graph, for one test to change."""
    return copy.deepcopy(documents[0])


@pytest.fixture
def pods(documents: list[Spec]) -> Spec:
    """What kfp-kubernetes adds to each task's pod, by task."""
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return {name.removeprefix("exec-"): content for name, content in executors.items()}


# --- reading a compiled graph ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What the stage table and cluster.yaml say about a task; `Wired` says what the first three are."""

    artifacts: Mapping[str, tuple[str, str]]
    parameters: Mapping[str, Any]
    conditions: tuple[str, ...]
    cached: bool
    display_name: str
    image: str
    accelerator: Mapping[str, str]


def contract(spec: Spec) -> dict[str, Task]:
    """All tasks by name. Every reference is followed.

    Raises:
        ShoplensError: if one leads nowhere.
    """
    groups = (spec["root"], *spec["components"].values())
    tasks = {name: task for group in groups for name, task in group.get("dag", {}).get("tasks", {}).items()}
    return {
        name: Task(
            wired.artifacts,
            wired.parameters,
            wired.conditions,
            tasks[name]["cachingOptions"].get("enableCache", False),
            tasks[name]["taskInfo"]["name"],
            wired.container["image"],
            wired.container["resources"].get("accelerator", {}),
        )
        for name, wired in follow_references(spec).items()
    }


def expected(stage: Stage) -> Task:
    """A stage's task, as the table has it."""
    sources = {"data": ("fetch", "data"), "policy": ("locate", "policy")}
    artifacts = {name.replace("-", "_"): sources.get(name, (name, "out")) for name in stage.inputs}
    parameters = {"params": f"{stage.section.replace('-', '_')}_params", "recipe": "recipe"} if stage.section else {}
    if stage.name in PARTS:
        artifacts["parts"] = (PARTS[stage.name], "out")
    if stage.name == "train":
        parameters |= {name: name for name in ("nodes", "gpus", "image")}
    return Task(
        artifacts,
        parameters,
        ("gate.promote == true",) if stage.name in ("register", "deploy") else (),
        cached=not stage.effect and stage.name != "gate",
        display_name=stage.name.replace("-", " ").capitalize(),
        image="image",
        accelerator=_accelerator(f"{stage.name}_gpus") if stage.name in ("train", "embed") else {},
    )


def _accelerator(output: str) -> dict[str, str]:
    return {
        "resourceType": "example.com/gpu",
        "type": "example.com/gpu",
        "resourceCount": str(("divide", output)),
    }


def differences(spec: Spec, stages: Sequence[Stage] = STAGES) -> list[str]:
    """Where a compiled graph is not the table's."""
    tasks = contract(spec)
    wanted = {stage.name: expected(stage) for stage in stages}
    found = [f"task {name} is only in one of the two" for name in sorted((set(tasks) - OWN) ^ set(wanted))]
    for name in set(tasks) & set(wanted):
        if tasks[name] != wanted[name]:
            found.append(f"{name}: {tasks[name]} is not {wanted[name]}")
        outputs = spec["components"][f"comp-{name}"]["outputDefinitions"]
        shown = {key: kind["artifactType"]["schemaTitle"] for key, kind in outputs["artifacts"].items() if key != "out"}
        if shown != {key: f"system.{kind}" for key, kind in VIEWS.get(name, {}).items()}:
            found.append(f"{name}: shows {shown}")
        if set(outputs.get("parameters", {})) != ({"promote"} if name == "gate" else set()):
            found.append(f"{name}: outputs {outputs}")
    return found


# --- the graph -------------------------------------------------------------------------------------------------------


def test_the_graph_is_the_stage_table(spec: Spec) -> None:
    assert differences(spec) == []


def test_the_graphs_own_tasks(spec: Spec) -> None:
    tasks = contract(spec)
    sections = sorted({stage.section for stage in STAGES if stage.section})
    given = {section.replace("-", "_"): f"{section.replace('-', '_')}_params" for section in sections}
    assert tasks["check-params"].parameters == {**given, "recipe": "recipe"}
    names = ("source", "revision", "image", "policy_json")
    assert tasks["locate"].parameters == {name: name for name in names}
    names = ("gpus", "embed_gpus", "nodes", "embed_shards")
    assert tasks["divide"].parameters == {name: name for name in names}
    assert tasks["parts"].parameters == {"shards": "embed_shards"}
    assert tasks["parts-2"].parameters == {"shards": "ranking_shards"}
    assert tasks["fetch"].parameters == {
        "source": "source",
        "revision": ("locate", "revision"),  # a commit, so that a branch that moves does not bring the old data back
        "fresh": ("locate", "fresh"),
        "sample_listings": "sample_listings",
    }
    assert tasks["refuse"].artifacts == {"gate": ("gate", "out")}
    assert tasks["refuse"].conditions == ("!(gate.promote == true)",)
    assert tasks["finish"].parameters == {"source": "source", "revision": "revision", "status": "status"}


@pytest.mark.parametrize("stage", PARTS)
def test_a_shard_has_the_inputs_of_its_stage(spec: Spec, stage: str) -> None:
    tasks = contract(spec)
    whole, part = tasks[stage], tasks[PARTS[stage]]
    assert part.artifacts == {name: source for name, source in whole.artifacts.items() if name != "parts"}
    parts = {"embed": "parts", "evaluate-ranking": "parts-2"}[stage]
    assert part.parameters == {**whole.parameters, "part": ("each of", (parts, "Output"))}
    assert part.accelerator == (_accelerator("shard_gpus") if stage == "embed" else {})


def test_nothing_starts_before_the_parameters_are_checked(spec: Spec) -> None:
    [handler] = [c for c in spec["components"].values() if "fetch" in c.get("dag", {}).get("tasks", {})]
    assert "check-params" in handler["dag"]["tasks"]["fetch"]["dependentTasks"]


def test_the_cache_is_asked_only_where_the_inputs_say_all(spec: Spec) -> None:
    assert {name for name, task in contract(spec).items() if not task.cached} == UNCACHED


def test_the_exit_task_runs_whatever_happened(spec: Spec) -> None:
    finish = spec["root"]["dag"]["tasks"]["finish"]
    assert finish["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    [handler] = finish["dependentTasks"]
    inner = spec["components"][spec["root"]["dag"]["tasks"][handler]["componentRef"]["name"]]["dag"]["tasks"]
    assert {"check-params", "train", "gate"} <= set(inner)


def test_the_branch_is_taken_by_a_boolean(spec: Spec) -> None:
    # kfp compiles a text as well, and an apostrophe in it would skip both branches.
    kind = spec["components"]["comp-gate"]["outputDefinitions"]["parameters"]["promote"]
    assert kind == {"parameterType": "BOOLEAN"}
    tasks = contract(spec)
    assert tasks["register"].conditions == tasks["deploy"].conditions == ("gate.promote == true",)


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
    # What is only shown in the UI is read by none.
    read = str([group["dag"] for group in (spec["root"], *spec["components"].values()) if "dag" in group])
    places = [
        (component, side, kind, key)
        for component, content in spec["components"].items()
        for side in ("inputDefinitions", "outputDefinitions")
        for kind in ("artifacts", "parameters")
        for key in content.get(side, {}).get(kind, {})
        if (side, kind) != ("outputDefinitions", "artifacts") or f"'{key}'" in read
        if (component, key) != ("comp-deploy", "out")  # nobody reads the deployment's folder
    ]
    assert len(places) > 200
    for component, side, kind, key in places:
        names = spec["components"][component][side][kind]
        names["renamed"] = names.pop(key)
        with pytest.raises(ShoplensError, match="leads nowhere"):
            follow_references(spec)
        names[key] = names.pop("renamed")


def test_every_executor_is_that_of_a_task_and_the_graph_has_its_name(spec: Spec) -> None:
    assert spec["pipelineInfo"]["name"] == "shoplens"
    assert {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]} == set(follow_references(spec))


def test_defaults_are_the_committed_parameters_and_policy(spec: Spec) -> None:
    given = spec["root"]["inputDefinitions"]["parameters"]
    params = read_params(ROOT / "params.yaml")
    for section in {stage.section for stage in STAGES if stage.section}:
        text = given[f"{section.replace('-', '_')}_params"]["defaultValue"]
        assert type(params.section(section)).model_validate(json.loads(text)) == params.section(section)
    assert json.loads(given["policy_json"]["defaultValue"]) == (ROOT / "gate.yaml").read_text()
    assert given["source"].get("defaultValue") is None
    assert all(parameter.get("description") for parameter in given.values())


def test_the_parameters_of_the_ui_have_types_and_defaults(spec: Spec) -> None:
    given = spec["root"]["inputDefinitions"]["parameters"]
    found = {
        name: (parameter["parameterType"], parameter.get("defaultValue"))
        for name, parameter in given.items()
        if not name.endswith(("_params", "_json"))
    }
    assert found == {
        "source": ("STRING", None),
        "revision": ("STRING", ""),
        "sample_listings": ("NUMBER_INTEGER", 0.0),
        "recipe": ("STRING", ""),
        "image": ("STRING", IMAGE),
        "gpus": ("NUMBER_INTEGER", 4.0),
        "nodes": ("NUMBER_INTEGER", 1.0),
        "embed_gpus": ("NUMBER_INTEGER", 2.0),
        "embed_shards": ("NUMBER_INTEGER", 1.0),
        "ranking_shards": ("NUMBER_INTEGER", 1.0),
    }
    recipes = {path.stem for path in (ROOT / "recipes").glob("*.yaml") if "." not in path.stem}
    assert all(recipe in given["recipe"]["description"] for recipe in recipes)


# --- what tasks ask the cluster for ----------------------------------------------------------------------------------


def test_every_task_runs_the_image_that_was_named_by_its_digest(spec: Spec) -> None:
    assert {task.image for task in contract(spec).values()} == {"image"}
    assert spec["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"] == IMAGE


@pytest.mark.parametrize("image", [None, "registry.example.com/shoplens:1.2", "shoplens@sha256:abc"])
def test_no_image_without_a_digest_is_compiled(
    image: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("--image", image) if image else ()
    assert pipeline.main(["compile", *named, "--out", str(tmp_path / "pipeline.yaml")]) == 2
    said = capsys.readouterr().err
    assert "make image" in said and "sha256" in said
    assert not (tmp_path / "pipeline.yaml").exists()


def test_a_task_gets_what_cluster_yaml_says(spec: Spec, pods: Spec) -> None:
    resources = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert (resources["resourceCpuLimit"], resources["resourceMemoryLimit"]) == ("500m", "3Gi")
    assert (resources["resourceCpuRequest"], resources["resourceMemoryRequest"]) == ("500m", "3Gi")
    train = pods["train"]
    assert train["emptyDirMounts"] == [
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "2Gi"}
    ]
    assert train["nodeSelector"]["labels"] == {"kind": "fast"}
    assert train["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert [(claim["pvcNameParameter"], claim["mountPath"]) for claim in train["pvcMount"]] == [
        ({"runtimeValue": {"constant": "home"}}, "/srv/home")
    ]
    assert [(found["configMapName"], found["mountPath"]) for found in train["configMapAsVolume"]] == [
        ("settings", "/etc/settings")
    ]
    assert int(train["activeDeadlineSeconds"]) == 36_000
    assert int(pods["prepare"]["activeDeadlineSeconds"]) == 3_600
    assert pods["embed"]["emptyDirMounts"][0]["sizeLimit"] == "1Gi"
    assert set(pods) == set(contract(spec))


def test_counts_of_gpus_reach_the_pods_as_text(spec: Spec) -> None:
    # Kubeflow reads the text of the parameter that a pod's limits name; of a number it reads an empty one: no GPU.
    outputs = spec["components"]["comp-divide"]["outputDefinitions"]["parameters"]
    assert {kind["parameterType"] for kind in outputs.values()} == {"STRING"}
    with_gpus = {name: task.accelerator["resourceCount"] for name, task in contract(spec).items() if task.accelerator}
    assert with_gpus == {
        "train": str(("divide", "train_gpus")),
        "embed": str(("divide", "embed_gpus")),
        "embed-shard": str(("divide", "shard_gpus")),
    }


def test_secrets_are_named_and_never_given(spec: Spec, pods: Spec, compiled: Path) -> None:
    [secret] = pods["train"]["secretAsEnv"]
    assert secret["secretName"] == "git"
    assert secret["keyToEnv"] == [{"secretKey": "token", "envVar": "TOKEN"}]
    for name, executor in spec["deploymentSpec"]["executors"].items():
        plain = {variable["name"]: variable["value"] for variable in executor["container"].get("env", [])}
        accelerator = {"SHOPLENS_ACCELERATOR": "example.com/gpu"} if name == "exec-train" else {}  # for its TrainJob
        assert plain == {"MLFLOW_TRACKING_URI": "http://mlflow:5000", **accelerator}, name
    assert "sesame" not in compiled.read_text()  # of the environment that it was compiled in


def test_failed_tasks_start_again_after_a_growing_wait(spec: Spec) -> None:
    policies = {
        name: task.get("retryPolicy")
        for group in (spec["root"], *spec["components"].values())
        for name, task in group.get("dag", {}).get("tasks", {}).items()
        if name in contract(spec)
    }
    assert policies.pop("refuse") is None  # it is there to fail
    for name, policy in policies.items():
        assert policy["maxRetryCount"] == 2, name
        assert (policy["backoffDuration"], policy["backoffFactor"]) == ("30s", 2.0)
    # From the first start to the last end: three tries and two waits, or a long task would have no retry at all.
    assert policies["train"]["backoffMaxDuration"] == f"{3 * 36_000 + 30 + 60}s"


def test_the_committed_cluster_yaml_compiles_and_asks_for_gpus_memory_and_secrets(tmp_path: Path) -> None:
    assert pipeline.main([*COMPILE, "--out", str(tmp_path / "pipeline.yaml")]) == 0
    committed, platforms = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    given = committed["root"]["inputDefinitions"]["parameters"]
    assert given["gpus"]["defaultValue"] == given["embed_gpus"]["defaultValue"] == 1.0
    pods = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for task in ("train", "embed", "embed-shard"):
        accelerator = committed["deploymentSpec"]["executors"][f"exec-{task}"]["container"]["resources"]["accelerator"]
        assert accelerator["resourceType"] == "nvidia.com/gpu" and "gpus" in accelerator["resourceCount"]
        assert pods[f"exec-{task}"]["emptyDirMounts"][0]["mountPath"] == "/dev/shm"
        assert pods[f"exec-{task}"]["tolerations"]
    assert {secret["secretName"] for secret in pods["exec-fetch"]["secretAsEnv"]} == {"git", "object-storage"}
    assert all(int(pod["activeDeadlineSeconds"]) >= 600 for pod in pods.values())


# --- the compiler ----------------------------------------------------------------------------------------------------


def test_compiling_twice_gives_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    options = ("--cluster", compiled.with_name("cluster.yaml"), "--out", tmp_path / "again.yaml")
    assert call(*COMPILE, *options, cwd=tmp_path, PYTHONHASHSEED="2").returncode == 0
    assert (tmp_path / "again.yaml").read_bytes() == compiled.read_bytes()


@dsl.component
def work() -> None: ...


def with_a_lost_reference(*_: Any) -> Any:
    """A graph that kfp compiles, with a GPU count that its task never gets."""

    @dsl.pipeline(name="lost")
    def graph(gpus: str = "1") -> None:
        with dsl.ExitHandler(work().set_display_name("finish"), name="run"):
            work().set_accelerator_type("example.com/gpu").set_accelerator_limit(gpus)

    return graph


@pytest.mark.parametrize(
    "arguments",
    [
        ("compile", "--out", "pipeline.yaml"),
        ("submit", "--host", "http://127.0.0.1:9", "--source", "nowhere", "--revision", "main"),
    ],
)
def test_what_kfp_compiles_but_a_cluster_could_not_run_is_refused(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(with_a_lost_reference, ROOT, [*arguments, "--image", IMAGE]) == 2
    said = capsys.readouterr().err
    assert "task work-2 refers to parameter 'pipelinechannel--gpus', which leads nowhere" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("producerTask: prepare\n", "producerTask: prepared\n", "refers to task 'prepared', which leads nowhere"),
        ("outputParameterKey: promote\n", "outputParameterKey: promoted\n", "output of gate 'promoted'"),
        ("      - check-params\n", "      - check\n", "task fetch refers to task 'check'"),
        ("strategy: ALL_UPSTREAM_TASKS_COMPLETED", "strategy: WHATEVER_HAPPENED", "none that Kubeflow reads"),
        ("platforms:", "platform:", "none that Kubeflow reads"),
    ],
)
def test_a_broken_package_is_refused_with_the_task_and_the_reference(
    compiled: Path, old: str, new: str, told: str
) -> None:
    text = compiled.read_text()
    check_package(text.encode())
    assert old in text
    with pytest.raises(ShoplensError, match=told):
        check_package(text.replace(old, new).encode())


def test_renaming_a_parameter_in_the_graph_alone_is_noticed(tmp_path: Path) -> None:
    # A copy of the graph in which one stage's parameter has another name: kfp compiles it, the comparison refuses it.
    for name in ("components", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "gate.yaml", "cluster.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, old, new in (
        ("pipeline.py", "evaluate_stars_params", "evaluate_star_params"),
        ("components/evaluate_stars.py", "params: str", "parameters: str"),
    ):
        text = (ROOT / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new))
    text = (tmp_path / "pipeline.py").read_text()
    changed = text.replace("evaluate_stars(**measured, params=", "evaluate_stars(**measured, parameters=")
    assert changed != text
    (tmp_path / "pipeline.py").write_text(changed)
    command = [sys.executable, str(tmp_path / "pipeline.py"), *COMPILE, "--out", str(tmp_path / "pipeline.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    renamed = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    assert any("evaluate_star_params" in line and "parameters" in line for line in differences(renamed))
