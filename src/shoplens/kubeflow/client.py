"""A Kubeflow Pipelines server, through the client that is generated from its REST API (v2beta1).

kfp.Client wraps the same generated client. It is not used because its requests have no time limit, it waits 25 seconds
for a server that is not there, prints, and remembers a namespace in the user's home folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

from shoplens.errors import ShoplensError

CONNECT_S, READ_S = 10.0, 60.0
"""Time limits of one request."""
TOKEN = "KF_PIPELINES_TOKEN"
"""Environment variable with a token as text."""
TOKEN_PATH = "KF_PIPELINES_SA_TOKEN_PATH"
"""Environment variable with the file of a token; kfp's own name for it."""
VOLUME = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow mounts a service account's token for its pipelines."""
PASSING = (409, 429, 500, 502, 503, 504)
"""Statuses that may be gone at the next attempt; 409: somebody else made it meanwhile, so it will be found."""
PAGE = 100


class Passing(Exception):
    """A failure that may be gone in a moment: no connection, or a server that is busy, broken or restarting."""


class Missing(ShoplensError):
    """The server does not have what was asked for."""


@dataclass(frozen=True)
class Token:
    """A bearer token; read anew for every request, because files of tokens are renewed in place."""

    where: str
    read: Callable[[], str]


@dataclass(frozen=True)
class Server:
    """A Kubeflow Pipelines server.

    Attributes:
        host: address of the API, without a slash at the end.
        namespace: on a server for several users, the one to work in.
        token: None where the server asks for none.
        api: kfp_server_api.ApiClient.
    """

    host: str
    namespace: str | None
    token: Token | None
    api: Any

    def run_url(self, run_id: str) -> str:
        """The page of a run in the UI."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', self.host).rstrip('/')}/#/runs/details/{run_id}"


def find_token(file: Path | None) -> Token | None:
    """The token of the file, else of the environment, else of Kubeflow's volume, else none.

    Raises:
        ShoplensError: when it is read, if the file cannot be read or is empty.
    """
    if file is None and os.environ.get(TOKEN):
        return Token(f"${TOKEN}", lambda: os.environ[TOKEN].strip())
    named = os.environ.get(TOKEN_PATH)
    path = file or (Path(named) if named else VOLUME if VOLUME.is_file() else None)
    return None if path is None else Token(str(path), lambda: _read_token(path))


def _read_token(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ShoplensError(f"no token in {path}: {getattr(error, 'strerror', None) or error}") from None
    if not text or len(text.split()) > 1:
        raise ShoplensError(f"no token in {path}: it must hold one word, the token itself")
    return text


def connect(host: str, namespace: str | None, token: Token | None, ca: Path | None = None) -> Server:
    """Prepare to talk to a server; no request is made.

    Args:
        host: http or https address.
        namespace: see Server.
        token: see Server.
        ca: certificates (PEM) to trust instead of the public ones.

    Raises:
        ShoplensError: if the address, the token or the certificates are not usable.
    """
    from kfp_server_api import ApiClient, Configuration  # type: ignore[import-untyped]
    from urllib3 import Retry

    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ShoplensError(f"--host {host!r} is no address: give http://... or https://..., as in the browser")
    if ca is not None and not ca.is_file():
        raise ShoplensError(f"{ca} is missing: --ca names a file of certificates (PEM)")
    configuration = Configuration(host=host.rstrip("/"))
    configuration.client_side_validation = False
    # Failures are told apart and tried again here; a redirect is a sign-in page, which must not pass as an answer.
    configuration.retries = Retry(0, redirect=False)
    configuration.ssl_ca_cert = str(ca) if ca else None
    if token is not None:
        token.read()

        def renew(configuration: Any) -> None:
            configuration.api_key["authorization"] = token.read()

        configuration.api_key["authorization"] = ""
        configuration.api_key_prefix["authorization"] = "Bearer"
        configuration.refresh_api_key_hook = renew
    return Server(configuration.host, namespace, token, ApiClient(configuration))


def find_pipeline(server: Server, name: str) -> str | None:
    """The id of the pipeline with this name."""
    api = _api(server, "PipelineServiceApi")
    found = _list(server, api.pipeline_service_list_pipelines, "pipelines", name, namespace=server.namespace)
    return str(found[0].pipeline_id) if found else None


def create_pipeline(server: Server, name: str, description: str) -> str:
    """Create an empty pipeline; its id."""
    from kfp_server_api import V2beta1Pipeline

    # Older servers know no `name`; newer ones take the display name for it.
    made = V2beta1Pipeline(display_name=name, description=description, namespace=server.namespace)
    return str(
        _call(server, _api(server, "PipelineServiceApi").pipeline_service_create_pipeline, pipeline=made).pipeline_id
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
        made = _call(server, api.upload_pipeline_version, uploadfile=str(file), name=name, pipelineid=pipeline_id)
    return str(made.pipeline_version_id)


def version_spec(server: Server, pipeline_id: str, version_id: str) -> Mapping[str, Any]:
    """The graph of a version, as JSON.

    Raises:
        Missing: if it was deleted.
    """
    api = _api(server, "PipelineServiceApi")
    get = api.pipeline_service_get_pipeline_version
    made = _call(server, get, pipeline_id=pipeline_id, pipeline_version_id=version_id)
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
    return str(_call(server, api.experiment_service_create_experiment, experiment=made).experiment_id)


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
    return _call(server, _api(server, "RunServiceApi").run_service_get_run, run_id=run_id)


def create_run(server: Server, run: Any) -> Any:
    """Start a run (V2beta1Run): what the server made of it."""
    return _call(server, _api(server, "RunServiceApi").run_service_create_run, run=run)


def terminate_run(server: Server, run_id: str) -> None:
    """Stop a run."""
    _call(server, _api(server, "RunServiceApi").run_service_terminate_run, run_id=run_id)


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
        text: str = _call(server, read, json_answer=False).decode(errors="replace")
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
        answer = _call(server, method, filter=wanted, page_size=PAGE, page_token=page, **arguments)
        found += getattr(answer, key) or []
        page = answer.next_page_token or ""
        if not page:
            return found


def _call(server: Server, method: Callable[..., Any], json_answer: bool = True, **arguments: Any) -> Any:
    """One request; a second one if the token was just renewed.

    Raises:
        Passing: if it may work in a moment.
        Missing: if the server does not have it.
        ShoplensError: if the server refuses, or is none of Kubeflow Pipelines.
    """
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError, LocationParseError, SSLError

    given = {name: value for name, value in arguments.items() if value is not None}
    for last in (server.token is None, True):
        try:
            answer = method(**given, _request_timeout=(CONNECT_S, READ_S))
            break
        except ApiException as error:
            if error.status != 401 or last:
                raise _failure(server, error) from None
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, SSLError | LocationParseError):
                remedy = "correct --host, or name your own authority's certificates by --ca"
                raise ShoplensError(f"{server.host}: {reason}: {remedy}") from None
            raise Passing(f"{server.host} does not answer ({_words(reason)})") from None
    if json_answer:
        _check_json(server)
    return answer


def _check_json(server: Server) -> None:
    """A page of HTML would be read as an empty answer."""
    try:
        json.loads(server.api.last_response.data)
    except ValueError:
        raise ShoplensError(
            f"{server.host} answered something else than JSON: is it the address of Kubeflow Pipelines? In a full "
            "Kubeflow that is https://.../pipeline"
        ) from None


def _failure(server: Server, error: Any) -> Exception:
    """What a status means: to wait, or what to mend."""
    words = f"{server.host}: {error.status} {_said(error)}"
    if error.status in PASSING:
        return Passing(words)
    if error.status == 404:
        return Missing(words)
    where = server.token.where if server.token else None
    space = f"namespace {server.namespace!r}" if server.namespace else "no namespace (--namespace)"
    remedies = {
        400: f"correct what it names, or let the account do it; a server for several users needs --namespace (now: "
        f"{space})",
        401: f"the token of {where} is wrong or has expired" if where else f"give a token: --token-file or ${TOKEN}",
        403: f"the account may not do this, or there is no such namespace (now: {space})",
    }
    if 300 <= error.status < 400:
        remedy = "it sends on to another page, as to sign in: " + remedies[401]
    else:
        remedy = remedies.get(error.status, "the server does not take this request")
    return ShoplensError(f"{words}: {remedy}")


def _said(error: Any) -> str:
    """The server's own words."""
    try:
        body = json.loads(error.body)
        said = str(body.get("message") or body.get("error_message") or body.get("error"))
    except (ValueError, AttributeError, TypeError):
        said = str(error.reason)
    return " ".join(said.split())[:400]


def _words(reason: object) -> str:
    """The last part of urllib3's message: what happened, without the objects it happened to."""
    return str(reason).rpartition(">: ")[2].strip("()'\" ") or type(reason).__name__
