"""A FAKE of the Kubernetes API, as far as a TrainJob needs it: it keeps what is created and reports what a test says.

It schedules nothing and checks little. `play` is called with each job that is created and decides what becomes of it;
`run_nodes` plays for real: it starts the job's own command as local processes, with the environment that Kubeflow
Trainer gives the nodes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

RUNTIME = Path(__file__).parents[2] / "manifests" / "base" / "runs" / "training-runtime.yaml"
NAMESPACE, OWN_POD, TIME = "team", "train-pod", "2026-01-01T00:00:00Z"
TRAINER = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
Object = dict[str, Any]


@dataclass
class FakeJob:
    """A TrainJob that was created, with its pods' phases, reasons and logs, all to be changed by who plays it."""

    manifest: Object
    phases: list[str] = field(init=False)
    reason: str = ""
    logs: dict[int, str] = field(default_factory=dict)
    condition: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.phases = ["Pending"] * self.nodes

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def trainer(self) -> Object:
        return dict(self.manifest["spec"]["trainer"])

    @property
    def nodes(self) -> int:
        return int(self.trainer["numNodes"])

    def end(self, kind: str, message: str = "") -> None:
        """Complete or Failed, and so are the pods."""
        self.phases = ["Succeeded" if kind == "Complete" else "Failed"] * self.nodes
        self.condition = (kind, message)

    def resource(self) -> Object:
        status = {}
        if self.condition:
            kind, message = self.condition
            status = {
                "conditions": [
                    {"type": kind, "status": "True", "message": message, "reason": kind, "lastTransitionTime": TIME}
                ]
            }
        metadata = self.manifest["metadata"] | {"namespace": NAMESPACE, "creationTimestamp": TIME}
        return self.manifest | {"metadata": metadata, "status": status}

    def pods(self) -> list[Object]:
        return [self._pod(node, phase) for node, phase in enumerate(self.phases)]

    def _pod(self, node: int, phase: str) -> Object:
        labels = {
            "jobset.sigs.k8s.io/jobset-name": self.name,
            "jobset.sigs.k8s.io/replicatedjob-name": "node",
            "batch.kubernetes.io/job-completion-index": str(node),
        }
        scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": self.reason}
        return {
            "metadata": {"name": self.pod_name(node), "creationTimestamp": TIME, "labels": labels},
            "spec": {"containers": [{"name": "node", "image": self.trainer["image"]}]},
            "status": {"phase": phase, "conditions": [scheduled] if self.reason else []},
        }

    def pod_name(self, node: int) -> str:
        return f"{self.name}-node-0-{node}-xyz"


@dataclass
class FakeKubernetes:
    """The state of the cluster.

    Attributes:
        own_pod: the pod in which the process under test thinks that it runs.
        access_modes: of every claim, by name.
        forbidden: parts of paths that are answered with 403.
        jobs: by name; `deleted` are the names of those that were.
        play: what becomes of a job that is created.
    """

    own_pod: Object
    access_modes: dict[str, list[str]]
    play: Callable[[FakeJob], None]
    forbidden: str = "/secrets"
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    refusal: str = ""

    def answer(self, method: str, url: str, body: Object | None) -> tuple[int, Object | str]:
        """The status and body of an answer."""
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if self.forbidden in path:
            return 403, {"message": f"{path} is forbidden"}
        if method == "POST" and path == f"{TRAINER}/trainjobs" and body is not None:
            if self.refusal:
                return 422, {"message": self.refusal}
            job = FakeJob(body)
            self.jobs[job.name] = job
            self.play(job)
            return 201, job.resource()
        name = path.rpartition("/")[2]
        if path == f"{TRAINER}/trainjobs/{name}" and name in self.jobs:
            if method == "DELETE":
                self.deleted.append(name)
            return 200, (self.jobs.pop(name) if method == "DELETE" else self.jobs[name]).resource()
        runtime = yaml.safe_load(RUNTIME.read_text())
        if path == f"{TRAINER}/trainingruntimes/{runtime['metadata']['name']}":
            return 200, runtime
        if path == f"{CORE}/pods/{OWN_POD}":
            return 200, self.own_pod
        if path.startswith(f"{CORE}/persistentvolumeclaims/") and name in self.access_modes:
            return 200, {"metadata": {"name": name}, "spec": {"accessModes": self.access_modes[name]}}
        if path == f"{CORE}/pods":
            wanted = query["labelSelector"][0].partition(",")[0].partition("=")[2]
            return 200, {"items": self.jobs[wanted].pods() if wanted in self.jobs else []}
        if path.endswith("/log"):
            logs = {job.pod_name(node): log for job in self.jobs.values() for node, log in job.logs.items()}
            lines = logs.get(path.split("/")[-2], "").splitlines(keepends=True)
            return 200, "".join(lines[-int(query["tailLines"][0]) :] if "tailLines" in query else lines)
        return 404, {"message": f"{path} is not there"}


@contextmanager
def served(cluster: FakeKubernetes, folder: Path) -> Iterator[Path]:
    """Serve a cluster on this machine, and give the file that tells clients where it is."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = cluster.answer(self.command, self.path, body)
            content = answer if isinstance(answer, str) else json.dumps(answer)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        do_GET = do_POST = do_DELETE = _reply

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield _kubeconfig(folder, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()


def _kubeconfig(folder: Path, address: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": address}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": NAMESPACE}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def run_nodes(job: FakeJob, broken: Callable[[], bool] = lambda: False) -> None:
    """Start what the manifest says, a local process a node, as Trainer's pods would be, and report how it ends.

    As soon as `broken` says so, the nodes are ended.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {variable["name"]: variable["value"] for variable in job.trainer["env"]}
    common = {"PET_NNODES": str(job.nodes), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port)}
    program, *command = [*job.trainer["command"], *job.trainer["args"]]
    assert program == "python"
    logs = [Path(given["SHOPLENS_HOME"]).parent / f"{job.name}-{rank}.log" for rank in range(job.nodes)]
    nodes = [
        subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **given, **common, "PET_NODE_RANK": str(rank), "PET_NPROC_PER_NODE": "auto"},
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank, log in enumerate(logs)
    ]
    job.phases = ["Running"] * job.nodes

    def watch() -> None:
        while any(node.poll() is None for node in nodes):
            if broken():
                for node in nodes:
                    node.terminate()  # a killed torchrun would leave its processes behind
            time.sleep(0.01)
        for rank, log in enumerate(logs):
            job.logs[rank] = log.read_text()
        failed = any(node.returncode for node in nodes)
        job.end("Failed" if failed else "Complete", "jobset failed due to one or more job failures" if failed else "")

    threading.Thread(target=watch, daemon=True).start()
