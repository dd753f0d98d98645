"""A FAKE of Kubeflow Pipelines' REST API, on this machine: everything in memory, runs told from a script, no cluster.

It answers what the client here asks:
  GET, POST /apis/v2beta1/pipelines                    GET /apis/v2beta1/pipelines/{id}/versions[/{id}]
  POST /apis/v2beta1/pipelines/upload_version          GET, POST /apis/v2beta1/experiments
  GET, POST /apis/v2beta1/runs                         GET /apis/v2beta1/runs/{id}
  POST /apis/v2beta1/runs/{id}:terminate               GET /apis/v1alpha1/runs/{id}/nodes/{pod}/log
Its answers are written by kfp_server_api's own models. What it took over from the server's source: filters that are
decoded twice, pages, statuses and texts of errors, nodes named as Argo names them, a run that ends before its tasks do,
tasks without error and pod name, logs whose errors come with status 200.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import kfp_server_api as api
import yaml

from shoplens.kubeflow.outcome import titles

EPOCH = datetime(2026, 11, 2, 9, 0, 0, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Event:
    """What happens to the next request whose method and path match, in place of an answer.

    Attributes:
        request: regular expression for `METHOD /path`.
        do: a status with its text, an address to redirect to, a page of HTML, bytes after which the answer breaks off,
            or what to call before the real answer.
        times: how often.
        answered: the request is carried out all the same, and only its answer is lost.
    """

    request: str
    do: int | str | bytes | Callable[[], None] | None
    times: int = 1
    answered: bool = False


@dataclass
class FakeKfp:
    """What the fake knows, was asked, and will do.

    Attributes:
        token: that requests must bring, or None.
        namespaces: those of a server for several users; None: a server for one.
        endings: how the next runs end (`promoted`, `refused`, `failed`, `canceled`, `not started`), the last one ever
            after.
        log: what the pods of tasks printed, or None where they are gone.
        logs: the same of single tasks by their names, in its place.
    """

    url: str = ""
    token: str | None = None
    namespaces: frozenset[str] | None = None
    endings: list[str] = field(default_factory=lambda: ["promoted"])
    log: str | None = None
    logs: dict[str, str | None] = field(default_factory=dict)
    page: int = 100
    events: list[Event] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pipelines: list[Any] = field(default_factory=list)
    versions: list[Any] = field(default_factory=list)
    experiments: list[Any] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)
    pods: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def count(self, request: str) -> int:
        """How many requests match."""
        return sum(bool(re.search(request, asked)) for asked in self.asked)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """Carry out a request below /apis/v2beta1/."""
        kind, _, rest = path.partition("/")
        space = query.get("namespace") or (body.get("namespace") if isinstance(body, dict) else None)
        if self.namespaces is not None and not rest and not (method == "POST" and kind == "runs"):
            if not space:
                return refusal(
                    400, 3, "Failed to list: An experiment cannot have an empty namespace in multi-user mode"
                )
            if space not in self.namespaces:
                return refusal(403, 7, f"User 'ci' is not authorized with reason: namespace {space}")
        if path == "pipelines/upload_version":
            return self.upload(query, body)
        if path == "pipelines" and method == "POST":
            made = api.V2beta1Pipeline(pipeline_id=f"pipeline-{len(self.pipelines)}", **body)
            return self.add(self.pipelines, made)
        if path == "pipelines":
            return self.list("pipelines", self.pipelines, query)
        if found := re.fullmatch(r"pipelines/([\w-]+)/versions", path):
            return self.list("pipeline_versions", [v for v in self.versions if v.pipeline_id == found[1]], query)
        if found := re.fullmatch(r"pipelines/[\w-]+/versions/([\w-]+)", path):
            return self.one([v for v in self.versions if v.pipeline_version_id == found[1]])
        if path == "experiments" and method == "POST":
            made = api.V2beta1Experiment(experiment_id=f"experiment-{len(self.experiments)}", **body)
            return self.add(self.experiments, made)
        if path == "experiments":
            return self.list("experiments", self.experiments, query)
        if path == "runs" and method == "POST":
            return self.start(body)
        if path == "runs":
            return self.list("runs", [self.run(run.run_id, False) for run in self.runs], query)
        if found := re.fullmatch(r"runs/([\w-]+)", path):
            return self.one([self.run(run.run_id, True) for run in self.runs if run.run_id == found[1]])
        if found := re.fullmatch(r"runs/([\w-]+):terminate", path):
            self.ends[found[1]] = "canceled"
            self.told[found[1]] = len(STEPS)
            self.stopping.add(found[1])
            return 200, {}
        return refusal(404, 5, "Not Found")

    def add(self, place: list[Any], made: Any) -> tuple[int, Any]:
        """Keep what is made, unless its name is taken."""
        if any(there.display_name == made.display_name for there in place):
            return refusal(409, 6, f"Already exist error: The name {made.display_name} already exist")
        place.append(made)
        return 200, made

    def one(self, found: list[Any]) -> tuple[int, Any]:
        """What was found, or 404."""
        return (200, found[0]) if found else refusal(404, 5, "ResourceNotFoundError: not found")

    def list(self, key: str, place: list[Any], query: Mapping[str, str]) -> tuple[int, Any]:
        """A page of what the filter lets through."""
        wanted_by = query.get("filter", "")
        if re.search("%(?![0-9A-F]{2})", wanted_by):
            return refusal(400, 3, "failed to parse valid filter")
        (predicate,) = json.loads(unquote_plus(wanted_by))["predicates"] if wanted_by else ({},)
        wanted = predicate.get("stringValue", "")
        if predicate.get("operation") in ("EQUALS", 1):
            found = [there for there in place if there.display_name == wanted]
        else:
            found = [there for there in place if wanted in there.display_name]
        first = int(query.get("page_token") or 0)
        size = min(int(query.get("page_size") or 20), self.page)
        following = str(first + size) if first + size < len(found) else None
        return 200, {key: found[first : first + size], "next_page_token": following}

    def upload(self, query: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        """Make a version of the file that was sent."""
        message = message_from_bytes(body)
        (part,) = message.get_payload()
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        spec, *platform = yaml.safe_load_all(part.get_payload(decode=True))
        nested = {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec
        made = api.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=f"version-{len(self.versions)}",
            display_name=query["name"],
            pipeline_spec=nested,
        )
        return self.add(self.versions, made)

    def start(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Start a run; names may repeat."""
        number = len(self.runs)
        made = api.V2beta1Run(**{**body, "run_id": f"run-{number}", "created_at": EPOCH + timedelta(seconds=number)})
        self.runs.append(made)
        self.told[made.run_id] = 0
        self.ends[made.run_id] = self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]
        return 200, self.run(made.run_id, False)

    def run(self, run_id: str, details: bool) -> Any:
        """A run as it is now; every time it is asked for with details, it is a step further."""
        made = next(run for run in self.runs if run.run_id == run_id)
        step = min(self.told[run_id], len(STEPS) - 1)
        ending = self.ends[run_id]
        made.state = STEPS[step] or {"promoted": "SUCCEEDED", "canceled": "CANCELED"}.get(ending, "FAILED")
        made.run_details = None
        if run_id in self.stopping:
            made.state = "CANCELING"
        if details:
            self.stopping.discard(run_id)
            self.told[run_id] += 1
            version = (made.pipeline_version_reference or {}).get("pipeline_version_id")
            spec = (
                made.pipeline_spec or next(v for v in self.versions if v.pipeline_version_id == version).pipeline_spec
            )
            graph = spec.get("pipeline_spec", spec)
            order = ("register", "deploy", "refuse", "finish")  # the last ones, behind all others
            names = sorted(titles(graph), key=lambda name: order.index(name) if name in order else -1)
            dags = [graph["root"], *graph["components"].values()]
            tasks = {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}
            again = {name: "retryPolicy" in tasks[name] for name in names}
            self.pods = {pod_of(name, again[name]): name for name in names}
            made.run_details = api.V2beta1RunDetails(task_details=nodes(again, ending, step))
        return made


WORKFLOW = "shoplens-x7k2p"
STEPS = ("PENDING", "RUNNING", "RUNNING", None, None)
"""The states of a run, from question to question; None is its end. At the fourth its tasks are not up to date yet."""


def nodes(names: Mapping[str, bool], ending: str, step: int) -> list[Any]:
    """The nodes of the workflow at a step: for each task its driver, itself, and what runs it, in two tries if it may.

    Args:
        names: of the tasks -> whether they are tried again.
        ending: of the run.
        step: how far it is.
    """
    if step == 0:
        return []
    left_out = {"promoted": {"refuse"}, "refused": {"register", "deploy"}}.get(ending, {"refuse", "register", "deploy"})
    bad = {"refused": "refuse", "failed": "train"}.get(ending)
    begun = [name for name in names if name not in left_out]
    begun = begun[: len(begun) // 2] if step == 1 else begun
    found = [node(WORKFLOW, "RUNNING", 0), node("root-driver", "SUCCEEDED", 0), node("root", "RUNNING", 0)]
    for i, name in enumerate(begun, start=1):
        last = step < len(STEPS) - 1 and i == len(begun)
        state = "RUNNING" if last else "FAILED" if name == bad else "SUCCEEDED"
        if ending == "not started" and name in ("train", "gate"):
            # of a task whose driver failed, and of those behind it, the node is there, and was never begun
            driver = "FAILED" if name == "train" else "RUNTIME_STATE_UNSPECIFIED"
            found += [node(f"{name}-driver", driver, i), node(name, "RUNTIME_STATE_UNSPECIFIED", i)]
            continue
        executor = f"{WORKFLOW}.root.{name}.executor"
        found += [node(f"{name}-driver", "SUCCEEDED", i), node(name, state, i, (node_id(executor),))]
        tries = [f"{executor}({number})" for number in range(2)] if names[name] else []
        found.append(node("executor", state, i, tuple(map(node_id, tries))))
        found += [node(f"executor({number})", state, i) for number in range(len(tries))]
    return found


def node_id(name: str) -> str:
    """Argo's id of a node: FNV-1a (32 bits) of its name."""
    hashed = 2_166_136_261
    for byte in name.encode():
        hashed = (hashed ^ byte) * 16_777_619 % 2**32
    return f"{WORKFLOW}-{hashed}"


def pod_of(name: str, again: bool) -> str:
    """Argo's name of the pod of a task, of its last try if it is tried again."""
    executor = f"{WORKFLOW}.root.{name}.executor"
    number = node_id(f"{executor}(1)" if again else executor).rpartition("-")[2]
    return f"{WORKFLOW}-{'retry-' if again else ''}system-container-impl-{number}"


def node(name: str, state: str, number: int, children: tuple[str, ...] = ()) -> Any:
    """A node as the server tells of it."""
    start = EPOCH + timedelta(seconds=number)
    return api.V2beta1PipelineTaskDetail(
        run_id="run",
        task_id=f"{number}-{name}",
        display_name=name,
        create_time=start,
        start_time=NEVER if state == "RUNTIME_STATE_UNSPECIFIED" else start,
        end_time=NEVER if state == "RUNNING" else start + timedelta(seconds=7),
        state=state,
        child_tasks=[api.PipelineTaskDetailChildTask(pod_name=child) for child in children],
    )


def refusal(status: int, code: int, message: str) -> tuple[int, Any]:
    """An error as grpc-gateway writes it."""
    return status, {"code": code, "message": message, "details": []}


@contextmanager
def fake_kfp(certificate: Path | None = None) -> Iterator[FakeKfp]:
    """Run the fake until the block ends; with a certificate (PEM with its key) over https."""
    fake = FakeKfp()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = f"{self.command} {parts.path}"
            with fake.lock:
                fake.asked.append(asked)
                event = next((e for e in fake.events if e.times and re.search(e.request, asked)), None)
                if event:
                    event.times -= 1
            if event and callable(event.do):
                event.do()
                event = None
            if event and not event.answered:
                self.disturb(event)
            else:
                status, content = self.real(parts.path, parts.query, raw)
                if event:
                    self.disturb(event)
                else:
                    self.send(status, content)

        def real(self, path: str, query: str, raw: bytes) -> tuple[int, bytes]:
            if fake.token is not None and self.headers.get("Authorization") != f"Bearer {fake.token}":
                return 401, encoded(refusal(401, 16, "Failed to authenticate token review")[1])
            if path.startswith("/apis/v1alpha1/"):
                error = {"error_message": "Failed to read logs", "error_details": ""}
                name = fake.pods.get(path.split("/")[-2])
                log = fake.logs.get(name, fake.log) if name else None
                return 200, encoded(error) if log is None else log.encode()
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/"):
                body: Any = b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw
            else:
                body = json.loads(raw or b"null")
            asked = {key: values[0] for key, values in parse_qs(query).items()}
            with fake.lock:
                status, answer = fake.answer(self.command, path.removeprefix("/apis/v2beta1/"), asked, body)
                return status, encoded(answer)

        def disturb(self, event: Event) -> None:
            if event.do is None:
                self.close_connection = True  # without a word
            elif isinstance(event.do, bytes):
                self.send_response(200)
                self.send_header("Content-Length", str(len(event.do) + 1))
                self.end_headers()
                self.wfile.write(event.do)
                self.close_connection = True
            elif isinstance(event.do, int):
                self.send(event.do, encoded(refusal(event.do, 13, "as told")[1]))
            elif event.do.startswith("http"):
                self.send_response(302)
                self.send_header("Location", event.do)
                self.end_headers()
            else:
                self.send(200, event.do.encode())

        def send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    fake.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def encoded(answer: Any) -> bytes:
    """JSON by the client's own models, without empty fields, as the server writes it."""
    return json.dumps(without_none(api.ApiClient().sanitize_for_serialization(answer))).encode()


def without_none(value: Any) -> Any:
    """The server leaves out what is empty."""
    if isinstance(value, dict):
        return {key: without_none(inner) for key, inner in value.items() if inner not in (None, [], "")}
    return [without_none(inner) for inner in value] if isinstance(value, list) else value
