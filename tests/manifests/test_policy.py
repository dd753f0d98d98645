"""Each rule of the policy and of references, with an object that breaks it and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from manifests.check import Object, policy_problems, reference_problems

GOOD: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app"},
    "spec": {
        "template": {
            "metadata": {"labels": {"name": "app"}},
            "spec": {
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "c",
                        "image": "registry.example.com/app@sha256:" + 64 * "a",
                        "env": [{"name": "LEVEL", "value": "info"}],
                        "resources": {
                            "requests": {"cpu": "1", "memory": "1Gi"},
                            "limits": {"cpu": "1", "memory": "1Gi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
    },
}


def pod(found: Object) -> Object:
    spec: Object = found["spec"]["template"]["spec"]
    return spec


def first(found: Object) -> Object:
    container: Object = pod(found)["containers"][0]
    return container


def changed(change: Callable[[Object], object]) -> Object:
    found = copy.deepcopy(GOOD)
    change(found)
    return found


BROKEN: dict[str, Callable[[Object], object]] = {
    "no memory in its limits": lambda it: first(it)["resources"]["limits"].pop("memory"),
    "no cpu in its requests": lambda it: first(it)["resources"]["requests"].pop("cpu"),
    "no cpu in its limits": lambda it: first(it)["resources"]["limits"].pop("cpu"),
    "may run as root": lambda it: pod(it)["securityContext"].update(runAsUser=0),
    "its root file system is writable": lambda it: first(it)["securityContext"].pop("readOnlyRootFilesystem"),
    "may gain privileges": lambda it: first(it)["securityContext"].pop("allowPrivilegeEscalation"),
    "is privileged": lambda it: first(it)["securityContext"].update(privileged=True),
    "keeps capabilities": lambda it: first(it)["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    "is not under the runtime's seccomp profile": lambda it: pod(it)["securityContext"].pop("seccompProfile"),
    "is not named by its digest": lambda it: first(it).update(image="registry.example.com/app:1.0"),
    "is whatever is the latest": lambda it: first(it).update(image="app:latest@sha256:" + 64 * "a"),
    "DB_PASSWORD has its value in the manifest": lambda it: first(it)["env"].append(
        {"name": "DB_PASSWORD", "value": "hunter2"}
    ),
    "an address has a password in it": lambda it: first(it).update(args=["--store=postgresql://me:hunter2@db/x"]),
    "hostNetwork is on": lambda it: pod(it).update(hostNetwork=True),
    "volume v is a folder of the node": lambda it: pod(it).update(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
}


def test_the_good_example_breaks_no_rule() -> None:
    assert policy_problems([GOOD]) == []


@pytest.mark.parametrize("problem", BROKEN)
def test_a_rule_finds_what_breaks_it(problem: str) -> None:
    [found] = policy_problems([changed(BROKEN[problem])])
    assert found.startswith("Deployment app: ") and found.endswith(problem)


def test_a_container_with_no_user_may_be_root() -> None:
    for key in ("runAsNonRoot", "runAsUser"):
        [found] = policy_problems([changed(lambda it, key=key: pod(it)["securityContext"].pop(key))])  # type: ignore[misc]
        assert found.endswith("may run as root")


def test_init_containers_and_cron_jobs_are_judged_as_well() -> None:
    sloppy = {"name": "init", "image": "app"}
    found = changed(lambda it: pod(it).update(initContainers=[sloppy]))
    assert any("container init" in problem for problem in policy_problems([found]))
    job = {"kind": "CronJob", "metadata": {"name": "job"}, "spec": {"jobTemplate": {"spec": found["spec"]}}}
    assert any(problem.startswith("CronJob job: container init") for problem in policy_problems([job]))


def test_pods_of_a_training_runtime_are_judged_as_well() -> None:
    job = {
        "name": "node",
        "template": {"spec": {"template": changed(lambda it: first(it).pop("resources"))["spec"]["template"]}},
    }
    runtime = {
        "kind": "TrainingRuntime",
        "metadata": {"name": "r"},
        "spec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }
    problems = policy_problems([runtime])
    assert "TrainingRuntime r: container c: no memory in its limits" in problems and len(problems) == 4


def role(kind: str = "Role", **rule: list[str]) -> Object:
    return {"kind": kind, "metadata": {"name": "r"}, "rules": [{"apiGroups": [""], **rule}]}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (role(resources=["pods"], verbs=["*"]), "Role r: a rule allows everything of a kind"),
        (role(resources=["secrets"], verbs=["get"]), "Role r: may read all secrets"),
        (role("ClusterRole", resources=["pods"], verbs=["get"]), "ClusterRole r: access beyond the namespace"),
        (
            {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}},
            "Secret s: a secret's values are in the manifests",
        ),
    ],
)
def test_access_and_secrets(found: Object, problem: str) -> None:
    assert policy_problems([found]) == [problem]


def test_one_named_secret_may_be_read() -> None:
    assert policy_problems([role(resources=["secrets"], resourceNames=["s"], verbs=["get"])]) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda it: pod(it).update(serviceAccountName="sa"), "ServiceAccount sa does not exist"),
        (
            lambda it: pod(it).update(volumes=[{"name": "v", "configMap": {"name": "cm"}}]),
            "ConfigMap cm does not exist",
        ),
        (
            lambda it: pod(it).update(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "pvc"}}]),
            "PersistentVolumeClaim pvc does not exist",
        ),
        (
            lambda it: first(it)["env"].append({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
            "Secret s does not exist",
        ),
        (lambda it: first(it).update(volumeMounts=[{"name": "v", "mountPath": "/v"}]), "volume v does not exist"),
    ],
)
def test_a_pod_names_what_exists(change: Callable[[Object], object], problem: str) -> None:
    assert reference_problems([changed(change)]) == [f"Deployment app: {problem}"]


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (
            {"kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"name": "ap"}}},
            "Service s: no pod has the labels {'name': 'ap'}",
        ),
        (
            {"kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": {"podSelector": {"matchLabels": {"a": "b"}}}},
            "NetworkPolicy n: no pod has the labels {'a': 'b'}",
        ),
        (
            {"kind": "ServiceAccount", "metadata": {"name": "a"}, "secrets": [{"name": "s"}]},
            "ServiceAccount a: Secret s does not exist",
        ),
        (
            {
                "kind": "RoleBinding",
                "metadata": {"name": "b"},
                "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [],
            },
            "RoleBinding b: Role r does not exist",
        ),
        (
            {
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "h"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "ap"}},
            },
            "HorizontalPodAutoscaler h: Deployment ap does not exist",
        ),
    ],
)
def test_what_stands_beside_names_what_exists(found: Object, problem: str) -> None:
    assert reference_problems([GOOD, found]) == [problem]
