"""What a Kubeflow Pipelines server is asked, through the client that is generated from its REST API (v2beta1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from shoplens.errors import ShoplensError
from shoplens.kubeflow.server import Passing, Server, call

PAGE = 100


def find_pipeline(server: Server, name: str) -> str | None:
    """The id of the pipeline with this name."""
    api = _api(server, "PipelineServiceApi")
    found = _list(server, api.pipeline_service_list_pipelines, "pipelines", name, namespace=server.namespace)
    return str(found[0].pipeline_id) if found else None


def create_pipeline(server: Server, name: str, description: str) -> str:
    """Create an empty pipeline; its id."""
    from kfp_server_api import V2beta1Pipeline  # type: ignore[import-untyped]

    # Older servers know no `name`; newer ones take the display name for it.
    made = V2beta1Pipeline(display_name=name, description=description, namespace=server.namespace)
    return str(
        call(server, _api(server, "PipelineServiceApi").pipeline_service_create_pipeline, pipeline=made).pipeline_id
    )


def find_version(server: Server, pipeline_id: str, name: str) -> str | None:
    """The id of a pipeline's version with this name."""
    api = _api(server, "PipelineServiceApi")
    found = _list(
        server, api.pipeline_service_list_pipeline_versions, "pipeline_versions", name, pipeline_id=pipeline_id
    )
    return str(found[0].pipeline_version_id) if found else None


def upload_version(server: Server, pipeline_id: str, name: str, package: bytes) -> str:
    """Upload a compiled graph (YAML) as a version; its id."""
    api = _api(server, "PipelineUploadServiceApi")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        file.write_bytes(package)
        made = call(server, api.upload_pipeline_version, uploadfile=str(file), name=name, pipelineid=pipeline_id)
    return str(made.pipeline_version_id)


def version_spec(server: Server, pipeline_id: str, version_id: str) -> Mapping[str, Any]:
    """The graph of a version, as JSON.

    Raises:
        Missing: if it was deleted.
    """
    api = _api(server, "PipelineServiceApi")
    get = api.pipeline_service_get_pipeline_version
    made = call(server, get, pipeline_id=pipeline_id, pipeline_version_id=version_id)
    spec: Mapping[str, Any] = made.pipeline_spec
    return spec


def find_experiment(server: Server, name: str) -> str | None:
    """The id of the experiment with this name."""
    api = _api(server, "ExperimentServiceApi")
    found = _list(server, api.experiment_service_list_experiments, "experiments", name, namespace=server.namespace)
    return str(found[0].experiment_id) if found else None


def create_experiment(server: Server, name: str) -> str:
    """Create an experiment; its id."""
    from kfp_server_api import V2beta1Experiment

    made = V2beta1Experiment(display_name=name, namespace=server.namespace)
    api = _api(server, "ExperimentServiceApi")
    return str(call(server, api.experiment_service_create_experiment, experiment=made).experiment_id)


def runs_like(server: Server, text: str) -> list[Any]:
    """The runs (V2beta1Run) whose name contains a text, the first created first; without details of their tasks."""
    api = _api(server, "RunServiceApi")
    found = _list(server, api.run_service_list_runs, "runs", text, operation="IS_SUBSTRING", namespace=server.namespace)
    return sorted(found, key=lambda run: (run.created_at, run.run_id))


def get_run(server: Server, run_id: str) -> Any:
    """A run (V2beta1Run) with the details of its tasks.

    Raises:
        Missing: if there is none.
    """
    return call(server, _api(server, "RunServiceApi").run_service_get_run, run_id=run_id)


def create_run(server: Server, run: Any) -> Any:
    """Start a run (V2beta1Run): what the server made of it."""
    return call(server, _api(server, "RunServiceApi").run_service_create_run, run=run)


def terminate_run(server: Server, run_id: str) -> None:
    """Stop a run."""
    call(server, _api(server, "RunServiceApi").run_service_terminate_run, run_id=run_id)


def pod_log(server: Server, run_id: str, pod: str) -> str:
    """What a pod of a run printed; empty if the cluster no longer has it.

    This path is no part of v2beta1, and the server writes its own errors into the text after a status of 200.
    """

    def read(**limits: Any) -> bytes:
        answer = server.api.call_api(
            "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log",
            "GET",
            path_params={"run_id": run_id, "node_id": pod},
            auth_settings=["Bearer"],
            _preload_content=False,
            **limits,
        )
        return bytes(answer.data)  # read here, where a connection that breaks off is a failure that passes

    try:
        text: str = call(server, read, json_answer=False).decode(errors="replace")
    except (ShoplensError, Passing):
        return ""
    return "" if text.lstrip().startswith('{"error_message"') else text


def _api(server: Server, name: str) -> Any:
    import kfp_server_api

    return getattr(kfp_server_api, name)(server.api)


def _list(
    server: Server, method: Callable[..., Any], key: str, name: str, operation: str = "EQUALS", **arguments: Any
) -> list[Any]:
    """All entries of all pages whose display name is, or contains, `name`."""
    predicate = {"operation": operation, "key": "display_name", "stringValue": name}
    # The server decodes the text once more than HTTP does.
    wanted = quote(json.dumps({"predicates": [predicate]}))
    found: list[Any] = []
    page = ""
    while True:
        answer = call(server, method, filter=wanted, page_size=PAGE, page_token=page, **arguments)
        found += getattr(answer, key) or []
        page = answer.next_page_token or ""
        if not page:
            return found
