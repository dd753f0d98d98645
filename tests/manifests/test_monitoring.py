"""Rules, dashboard and autoscaler speak of the same metrics, in PromQL that parses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from manifests.check import OVERLAYS, Object, pods

MONITORING = OVERLAYS.parent / "monitoring"
TRITON = {
    # metrics of Triton's documentation ("Metrics"); the ones of models are seen on a real server in test_probe
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_gpu_utilization",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_memory_total_bytes",
}
CLUSTER = {
    # kube-state-metrics and the kubelet
    "kube_pod_status_ready",
    "kube_pod_container_status_restarts_total",
    "kube_deployment_status_replicas_available",
    "kube_job_status_failed",
    "kube_horizontalpodautoscaler_status_desired_replicas",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}


def rules() -> list[Object]:
    [found] = yaml.safe_load_all((MONITORING / "rules.yaml").read_text())
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


def dashboard() -> Object:
    found: Object = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def expressions() -> list[str]:
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in rules()), *shown]


def test_every_expression_parses() -> None:
    for expression in expressions():
        promql_parser.parse(expression)


def selectors(expression: object) -> Iterator[Any]:
    """The series that a parsed expression reads: each has a name and matchers of labels."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    parts = [getattr(expression, part, None) for part in ("lhs", "rhs", "expr", "vector_selector")]
    for part in [*parts, *(getattr(expression, "args", None) or [])]:
        if part is not None:
            yield from selectors(part)


def named(expression: str) -> set[str]:
    return {str(selector.name) for selector in selectors(promql_parser.parse(expression))}


def test_every_expression_reads_metrics_of_triton_the_cluster_or_recorded_here() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for expression in expressions():
        assert named(expression) and named(expression) <= TRITON | CLUSTER | recorded, expression
    read = {name for expression in expressions() for name in named(expression)}
    assert recorded <= read | {"shoplens:triton_queue_seconds"}


def test_the_page_s_table_has_the_alerts_that_there_are() -> None:
    page = (OVERLAYS.parents[1] / "docs" / "kubernetes.md").read_text()
    table = page[page.index("## Alerts") :]
    alerts = [rule["alert"] for rule in rules() if "alert" in rule]
    assert re.findall(r"^\| ([A-Z]\w+) \|", table, re.MULTILINE) == alerts


@pytest.mark.parametrize(
    ("overlay", "pod", "container", "scaler"),
    [
        ("gpu", "triton-5d9f7c-x2k4q", "triton", "triton"),
        ("kserve", "shoplens-predictor-5d9f7c-x2k4q", "kserve-container", "shoplens-predictor"),
    ],
)
def test_rules_and_dashboard_see_the_pods_of_either_way_to_serve(
    rendered: dict[str, list[Object]], overlay: str, pod: str, container: str, scaler: str
) -> None:
    assert container in {each["name"] for found in pods(rendered[overlay]) for each in found.containers}
    labels = {"pod": pod, "container": container, "horizontalpodautoscaler": scaler}
    seen = set()
    for expression in expressions():
        for selector in selectors(promql_parser.parse(expression)):
            for matcher in selector.matchers.matchers:
                if matcher.name in labels:
                    assert re.fullmatch(matcher.value, labels[matcher.name]), expression
                    seen.add(matcher.name)
    assert seen == set(labels)


def test_the_autoscaler_reads_the_recorded_queue_time(rendered: dict[str, list[Object]]) -> None:
    [adapter] = yaml.safe_load((MONITORING / "adapter-values.yaml").read_text())["rules"]["custom"]
    assert adapter["seriesQuery"] in {rule.get("record") for rule in rules()}
    [scaler] = [found for found in rendered["gpu"] if found["kind"] == "HorizontalPodAutoscaler"]
    [metric] = scaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == adapter["name"]["as"]


def test_every_alert_says_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert set(alert["annotations"]) == {"summary", "remedy"} and alert["labels"]["severity"] in (
            "critical",
            "warning",
        )


def test_panels_do_not_lie_on_each_other() -> None:
    cells = [
        (x, y)
        for panel in dashboard()["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
