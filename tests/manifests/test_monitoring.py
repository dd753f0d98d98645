"""Rules, dashboard and autoscaler speak of the same metrics, in PromQL that parses."""

from __future__ import annotations

import json
import re

import promql_parser
import yaml

from manifests.check import OVERLAYS, Object

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


def test_every_metric_is_triton_s_the_cluster_s_or_recorded_here() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    text = re.sub(r'"[^"]*"', "", " ".join(expressions()))
    named = set(re.findall(r"\b(?:nv_|kube_|kubelet_|shoplens:)[a-z0-9_:]+", text))
    assert named <= TRITON | CLUSTER | recorded
    assert recorded <= named | {"shoplens:triton_queue_seconds"}


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
