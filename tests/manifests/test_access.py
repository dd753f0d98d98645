"""What starts a TrainJob asks the cluster for nothing that the account of runs may not do."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from training.fake_kubernetes import NAMESPACE
from training.test_train_job import Cluster, cluster  # noqa: F401  the fixture, a fake of the Kubernetes API

from manifests.check import Object

PATH = re.compile(
    r"/apis?/(?:(?P<group>[^/]+\.[^/]+)/)?v\w+/namespaces/(?P<space>[^/]+)/(?P<kind>[^/]+)(?:/(?P<name>.+))?"
)
VERBS = {"POST": "create", "DELETE": "delete"}
SDK_ASIDE = "kubeflow-system"
"""Where the SDK looks for its version and goes on without."""


def asked(method: str, url: str) -> tuple[str, str, str, str]:
    """Namespace, API group, resource and verb of a request."""
    found = PATH.fullmatch(urlsplit(url).path)
    assert found, url
    name, _, part = (found["name"] or "").partition("/")
    verb = VERBS.get(method, "get" if name else "list")
    return found["space"], found["group"] or "", f"{found['kind']}/{part}" if part else found["kind"], verb


def test_the_account_of_runs_may_start_follow_and_end_a_train_job(
    rendered: dict[str, list[Object]],
    cluster: Cluster,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: set[tuple[str, str, str, str]] = set()
    answer = cluster.fake.answer

    def noting(method: str, url: str, body: Any) -> Any:
        requests.add(asked(method, url))
        return answer(method, url, body)

    monkeypatch.setattr(cluster.fake, "answer", noting)
    cluster.train()
    [role] = [
        found
        for found in rendered["gpu"]
        if (found["kind"], found["metadata"]["name"]) == ("Role", "shoplens-pipeline")
    ]
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        if not rule.get("resourceNames")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {"create", "get", "list", "delete"} == {verb for space, _, _, verb in requests if space == NAMESPACE}
    assert {request[1:] for request in requests if request[0] == NAMESPACE} <= allowed
    assert {space for space, *_ in requests} <= {NAMESPACE, SDK_ASIDE}
