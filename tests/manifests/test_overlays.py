"""What each overlay promises, read from what kustomize makes of it."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from manifests.base.probe import probe
from manifests.check import (
    OVERLAYS,
    SCHEMAS,
    Object,
    core_problems,
    custom_problems,
    main,
    name_of,
    pods,
    policy_problems,
    read_crds,
    reference_problems,
)

Rendered = dict[str, list[Object]]
Schemas = dict[tuple[str, str], Object]
NAMES = ["gpu", "kserve", "local", "s3"]


def one(objects: list[Object], kind: str, name: str) -> Object:
    [found] = [found for found in objects if (found["kind"], found["metadata"]["name"]) == (kind, name)]
    return found


def container(found: Object) -> Object:
    [only] = found["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("name", NAMES)
def test_overlay_has_no_problem(rendered: Rendered, schemas: Schemas, name: str) -> None:
    objects = rendered[name]
    assert [
        *core_problems(objects),
        *custom_problems(objects, schemas),
        *reference_problems(objects),
        *policy_problems(objects),
    ] == []


def test_there_are_no_other_overlays(rendered: Rendered) -> None:
    assert sorted(rendered) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_in_the_namespace(rendered: Rendered, name: str) -> None:
    spaces = {found["metadata"].get("namespace") for found in rendered[name] if found["kind"] != "Namespace"}
    assert spaces == {"shoplens"}


@pytest.mark.parametrize("name", ["gpu", "local", "s3"])
def test_a_rollout_never_has_fewer_pods_and_lets_requests_end(rendered: Rendered, name: str) -> None:
    spec = one(rendered[name], "Deployment", "triton")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    triton = container({"spec": spec})
    [wait] = [int(word) for word in triton["lifecycle"]["preStop"]["exec"]["command"] if word.isdigit()]
    [drain] = [int(arg.split("=")[1]) for arg in triton["args"] if arg.startswith("--exit-timeout-secs=")]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > wait + drain


@pytest.mark.parametrize(
    ("name", "mode"), [("gpu", "explicit"), ("local", "explicit"), ("s3", "explicit"), ("kserve", "none")]
)
def test_triton_is_ready_by_values_and_who_has_no_key_changes_nothing(rendered: Rendered, name: str, mode: str) -> None:
    if name == "kserve":
        [triton] = one(rendered[name], "ServingRuntime", "shoplens-triton")["spec"]["containers"]
    else:
        triton = container(one(rendered[name], "Deployment", "triton"))
    assert "probe.py" in " ".join(triton["readinessProbe"]["exec"]["command"])
    assert f"--model-control-mode={mode}" in triton["args"]
    [key] = [variable["valueFrom"] for variable in triton["env"] if variable["name"] == "TRITON_ADMIN_KEY"]
    assert key == {"secretKeyRef": {"name": "triton-admin", "key": "key"}}
    for guard in ("--http-restricted-api=", "--grpc-restricted-protocol="):
        [restricted] = [arg for arg in triton["args"] if arg.startswith(guard)]
        assert "model-repository" in restricted and restricted.endswith("=$(TRITON_ADMIN_KEY)")


def test_the_kubelet_waits_for_longer_than_the_probe(rendered: Rendered) -> None:
    runtime = one(rendered["kserve"], "ServingRuntime", "shoplens-triton")["spec"]["containers"][0]
    for triton in (container(one(rendered["gpu"], "Deployment", "triton")), runtime):
        for kind in ("readinessProbe", "livenessProbe"):
            assert triton[kind]["timeoutSeconds"] > 3 * probe.TIMEOUT_S  # which version, and two packages of it


def test_triton_reads_the_models_and_cannot_change_them(rendered: Rendered) -> None:
    for name in ("gpu", "local"):
        mounts = container(one(rendered[name], "Deployment", "triton"))["volumeMounts"]
        assert [mount["readOnly"] for mount in mounts if mount["name"] == "repository"] == [True]


@pytest.mark.parametrize("name", ["gpu", "local"])
def test_on_a_new_volume_there_is_a_repository_before_triton_starts_which_tasks_may_write(
    rendered: Rendered, name: str, tmp_path: Path
) -> None:
    pod = one(rendered[name], "Deployment", "triton")["spec"]["template"]["spec"]
    [first], [triton] = pod["initContainers"], pod["containers"]
    [served] = [arg.partition("=")[2] for arg in triton["args"] if arg.startswith("--model-repository=")]
    [mounted] = [mount["mountPath"] for mount in first["volumeMounts"] if mount["name"] == "repository"]
    assert Path(served).is_relative_to(mounted)
    made = tmp_path / served.removeprefix("/")
    (tmp_path / mounted.removeprefix("/")).mkdir(parents=True)
    for _ in range(2):  # a second pod finds it there
        subprocess.run([*first["command"][:-1], str(made)], check=True)
    assert first["command"][-1] == served
    assert oct(made.stat().st_mode & 0o7777) == "0o2775"


def test_on_gpus_the_autoscaler_counts_the_pods_and_each_has_a_gpu(rendered: Rendered) -> None:
    deployment = one(rendered["gpu"], "Deployment", "triton")
    assert "replicas" not in deployment["spec"]  # else every `kubectl apply` would undo the autoscaler
    assert container(deployment)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    scaler = one(rendered["gpu"], "HorizontalPodAutoscaler", "triton")["spec"]
    assert scaler["minReplicas"] > one(rendered["gpu"], "PodDisruptionBudget", "triton")["spec"]["minAvailable"]
    assert one(rendered["gpu"], "PersistentVolumeClaim", "triton-repository")["spec"]["accessModes"] == [
        "ReadWriteMany"
    ]


def test_kserve_drains_and_scrapes_as_many_pods_as_it_starts(rendered: Rendered) -> None:
    """That the pods of a predictor carry the runtime's labels, KServe's own code says; no KServe ran here."""
    service = one(rendered["kserve"], "InferenceService", "shoplens")["spec"]["predictor"]
    budget = one(rendered["kserve"], "PodDisruptionBudget", "triton")["spec"]
    assert service["minReplicas"] > budget["minAvailable"]
    runtime = one(rendered["kserve"], "ServingRuntime", "shoplens-triton")["spec"]
    monitor = one(rendered["kserve"], "PodMonitor", "triton")["spec"]
    for selector in (budget["selector"], monitor["selector"]):
        assert selector["matchLabels"].items() <= runtime["labels"].items()
    assert monitor["podMetricsEndpoints"][0]["port"] in [port["name"] for port in runtime["containers"][0]["ports"]]


def test_a_triton_that_reads_object_storage_reads_what_is_deployed_with_keys_by_reference(rendered: Rendered) -> None:
    """By Triton's form of an address, s3://https://host:port/bucket/path; no Triton read a bucket here."""
    pod = one(rendered["s3"], "Deployment", "triton")["spec"]["template"]["spec"]
    [triton], [beside] = pod["containers"], pod["initContainers"]
    variables = {variable["name"]: variable.get("valueFrom", {}) for variable in triton["env"]}
    assert variables.items() >= {variable["name"]: variable.get("valueFrom", {}) for variable in beside["env"]}.items()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert variables[name] == {"secretKeyRef": {"name": "models-storage", "key": name}}
    values = {
        name: one(rendered["s3"], "ConfigMap", source["configMapKeyRef"]["name"])["data"][
            source["configMapKeyRef"]["key"]
        ]
        for name, source in variables.items()
        if "configMapKeyRef" in source
    }
    [served] = [arg.partition("=")[2] for arg in triton["args"] if arg.startswith("--model-repository=")]
    served = re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], served)
    target = yaml.safe_load(one(rendered["s3"], "ConfigMap", "shoplens-target")["data"]["target.yaml"])
    place = re.fullmatch(r"s3://https://[a-z0-9.-]+:443/([0-9a-z.-]+/[\w.-]+)/repository", served)
    assert place is not None and target["repository"] == f"s3://{place[1]}"
    assert [values[name] for name in ("BUCKET", "PREFIX")] == place[1].split("/") and values["AWS_DEFAULT_REGION"]


def test_the_probe_of_a_triton_that_reads_object_storage_finds_its_examples(rendered: Rendered) -> None:
    pod = one(rendered["s3"], "Deployment", "triton")["spec"]["template"]["spec"]
    [triton], [beside] = pod["containers"], pod["initContainers"]
    assert beside["restartPolicy"] == "Always"  # it goes on beside Triton
    assert "/shoplens-mlflow@" in beside["image"]
    assert "\nboto3==" in (OVERLAYS.parents[1] / "images" / "mlflow-requirements.lock").read_text()
    folder = triton["readinessProbe"]["exec"]["command"][-1]
    assert beside["args"] == ["$(BUCKET)", "$(PREFIX)", folder]
    assert beside["startupProbe"]["exec"]["command"] == ["test", "-d", f"{folder}/slots"]
    for container_, read_only in ((triton, True), (beside, False)):
        [mount] = [mount for mount in container_["volumeMounts"] if mount["mountPath"] == folder]
        assert mount["name"] == "repository" and mount.get("readOnly", False) is read_only
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "repository"]
    assert set(volume) == {"name", "emptyDir"}
    [mount] = [mount for mount in beside["volumeMounts"] if mount["name"] == "slots"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "slots"]
    script = one(rendered["s3"], "ConfigMap", volume["configMap"]["name"])["data"]
    assert beside["command"] == ["python", f"{mount['mountPath']}/{next(iter(script))}"]
    assert "triton-repository" not in str(rendered["s3"])


def test_locally_nothing_needs_a_gpu_object_storage_prometheus_or_trainer(rendered: Rendered) -> None:
    text = str(rendered["local"])
    assert "nvidia.com/gpu" not in text and "object-storage'" not in str(one(rendered["local"], "Deployment", "mlflow"))
    assert {found["kind"] for found in rendered["local"]}.isdisjoint(
        {"PodMonitor", "PrometheusRule", "TrainingRuntime"}
    )
    assert one(
        rendered["local"],
        "ConfigMap",
        next(
            found["metadata"]["name"]
            for found in rendered["local"]
            if found["metadata"]["name"].startswith("mlflow-storage")
        ),
    )["data"] == {"destination": "/srv/mlflow/artifacts"}


INSIDE = {"podSelector": {}}
CLIENTS = {"matchLabels": {"shoplens/client": "true"}}
Ways = list[tuple[list[Object] | None, set[object]]]
REACHED: dict[str, Ways] = {
    # policy -> who may connect, to which ports
    "triton": [
        ([INSIDE, {"namespaceSelector": CLIENTS, "podSelector": CLIENTS}], {8000, 8001}),
        ([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}], {8002}),
    ],
    "mlflow": [([INSIDE], {5000})],
    "mlflow-postgres": [([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mlflow"}}}], {5432})],
}
OBJECT_STORAGE: Ways = [
    ([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}], {53}),
    ([{"ipBlock": {"cidr": "0.0.0.0/0"}}], {443}),
]
REACHES: dict[str, Ways] = {
    "triton": [],
    "mlflow": [
        ([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mlflow-postgres"}}}], {5432}),
        *OBJECT_STORAGE,
    ],
    "mlflow-postgres": [],
}


def ways(objects: list[Object], policy: Object, side: str) -> Ways:
    """Who connects, and the numbers of the ports by the name that the pods behind them give; None or none is all."""
    found: Ways = []
    for rule in policy["ingress" if side == "from" else "egress"]:
        behind = policy if side == "from" else (rule.get("to") or [{}])[0]
        labels = behind.get("podSelector", {}).get("matchLabels", {}).items()
        numbers = {
            port["name"]: port["containerPort"]
            for pod in pods(objects)
            if labels <= pod.labels.items()
            for each in pod.containers
            for port in each.get("ports", [])
        }
        ports = {numbers.get(port.get("port"), port.get("port")) for port in rule.get("ports", [])}
        found.append((rule.get(side), ports))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_who_reaches_whom_on_which_ports(rendered: Rendered, name: str) -> None:
    policies = {
        found["metadata"]["name"]: found["spec"] for found in rendered[name] if found["kind"] == "NetworkPolicy"
    }
    assert set(policies) == ({"triton"} if name == "kserve" else set(REACHED))
    for policy, spec in policies.items():
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert ways(rendered[name], spec, "from") == REACHED[policy]
        reaches = OBJECT_STORAGE if name in ("kserve", "s3") and policy == "triton" else REACHES[policy]
        assert ways(rendered[name], spec, "to") == reaches


@pytest.mark.parametrize("name", NAMES)
def test_every_server_has_a_network_policy(rendered: Rendered, name: str) -> None:
    chosen = [
        found["spec"]["podSelector"]["matchLabels"].items()
        for found in rendered[name]
        if found["kind"] == "NetworkPolicy"
    ]
    for pod in pods(rendered[name]):
        if pod.where.startswith(("Deployment", "StatefulSet", "ServingRuntime")):
            assert any(labels <= pod.labels.items() for labels in chosen), pod.where


def test_accounts_may_do_what_their_work_takes(rendered: Rendered) -> None:
    def rights(role: str) -> set[tuple[str, str]]:
        rules = one(rendered["gpu"], "Role", role)["rules"]
        return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}

    assert ("workflowtaskresults", "create") in rights("shoplens-pipeline")
    changed = {resource for resource, verb in rights("shoplens-pipeline") if verb in ("create", "delete", "patch")}
    assert changed == {"workflowtaskresults", "trainjobs"}
    assert {verb for _, verb in rights("shoplens-submitter")} == {"create", "get", "list", "terminate"}
    bound = {
        subject["name"] for found in rendered["gpu"] if found["kind"] == "RoleBinding" for subject in found["subjects"]
    }
    assert bound == {"shoplens-pipeline", "shoplens-submitter"}


def test_only_pods_of_runs_get_a_token_by_themselves(rendered: Rendered) -> None:
    given = {
        found["metadata"]["name"]
        for objects in rendered.values()
        for found in objects
        if found["kind"] == "ServiceAccount" and found.get("automountServiceAccountToken", True)
    }
    assert given == {"shoplens-pipeline"}


def test_a_field_that_kubernetes_does_not_know_is_a_problem(rendered: Rendered) -> None:
    deployment = copy.deepcopy(one(rendered["local"], "Deployment", "mlflow"))
    container(deployment)["imagePullPolice"] = "Always"
    [problem] = core_problems([deployment])
    assert "imagePullPolice" in problem and name_of(deployment) in problem


def test_a_kind_that_kubernetes_does_not_know_is_a_problem() -> None:
    assert core_problems([{"apiVersion": "apps/v1", "kind": "Deploiment", "metadata": {"name": "a"}}]) != []


WIDGETS = """
apiVersion: v1
kind: List
items:
  - kind: CustomResourceDefinition
    spec:
      group: example.com
      names: {kind: Widget}
      versions:
        - name: v1
          schema:
            openAPIV3Schema:
              type: object
              properties:
                apiVersion: {type: string}
                kind: {type: string}
                spec:
                  type: object
                  properties:
                    size: {type: integer}
                    free: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


def test_custom_resources_are_held_against_the_schemas_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "crds.yaml").write_text(WIDGETS)
    schemas = read_crds(tmp_path / "crds.yaml")
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    good, wrong, unknown = (
        {**widget, "spec": spec} for spec in ({"size": 1, "free": {"a": 1}}, {"size": "1"}, {"siz": 1})
    )
    assert custom_problems([good], schemas) == []
    assert "'1' is not of type 'integer'" in custom_problems([wrong], schemas)[0]
    assert "siz" in custom_problems([unknown], schemas)[0]
    assert "no schema for example.com/v2" in custom_problems([{**good, "apiVersion": "example.com/v2"}], schemas)[0]


MISSPELT = {
    "InferenceService": lambda spec: spec["predictor"].update(minReplica=2),
    "ServingRuntime": lambda spec: spec["containers"][0].update(imagePullPolice="Always"),
    "PodMonitor": lambda spec: spec["podMetricsEndpoints"][0].update(intervall="15s"),
    "PrometheusRule": lambda spec: spec["groups"][0]["rules"][0].update(labls={}),
    "TrainingRuntime": lambda spec: spec["mlPolicy"].update(numNode=2),
}


@pytest.mark.parametrize("kind", MISSPELT)
def test_a_misspelt_field_of_a_custom_resource_is_a_problem(rendered: Rendered, schemas: Schemas, kind: str) -> None:
    found = copy.deepcopy(next(found for objects in rendered.values() for found in objects if found["kind"] == kind))
    MISSPELT[kind](found["spec"])
    [problem] = custom_problems([found], schemas)
    assert problem.startswith(name_of(found)) and "Additional properties are not allowed" in problem


def test_each_schema_that_is_kept_names_its_version_and_licence(schemas: Schemas) -> None:
    said = (SCHEMAS / "README.md").read_text()
    for _, kind in schemas:
        [line] = [line for line in said.splitlines() if line.startswith("|") and kind in line]
        assert re.search(r"\| v\d+\.\d+\.\d+ \| [0-9a-f]{40} \|", line)
    assert "Apache License" in (SCHEMAS / "LICENSE").read_text()


def test_the_command_says_what_is_left_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(OVERLAYS / "kserve")]) == 0
    said = capsys.readouterr().out
    assert "shoplens-triton: not built yet" in said


def test_the_command_fails_on_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [pod.yaml]\n")
    (tmp_path / "pod.yaml").write_text(
        "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: 'x:latest'}]}}"
    )
    assert main([str(tmp_path)]) == 1
    assert "PROBLEM Pod p: container c: image x:latest is whatever is the latest" in capsys.readouterr().out


def test_an_overlay_that_kustomize_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [absent.yaml]\n")
    with pytest.raises(subprocess.CalledProcessError):
        main([str(tmp_path)])
