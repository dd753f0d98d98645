"""A second, real tritonserver, started as the manifests start it: explicit control, all that is deployed, a key."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from stores.ports import free_port

from shoplens.serving.child import ending_with_parent
from shoplens.serving.client import is_live
from shoplens.serving.environment import library_path, serving_python, site_packages

KEY = "sesame"
MANIFESTS = Path(__file__).parents[2] / "manifests"


def manifest_arguments() -> list[str]:
    """Triton's arguments in the Deployment."""
    (container,) = yaml.safe_load((MANIFESTS / "base/triton/deployment.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ]
    return list(container["args"])


@dataclass
class Pod:
    """A tritonserver with the manifests' arguments on `root` (repository/ and slots/), at the same port every time."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """As Kubernetes starts a container; without waiting for it."""
        python = serving_python()
        environment = python.parent.parent
        (self.root / "repository").mkdir(parents=True, exist_ok=True)
        arguments = [
            text.replace("/srv/shoplens", str(self.root)).replace("$(TRITON_ADMIN_KEY)", KEY)
            for text in manifest_arguments()
        ]
        here = [
            f"--backend-directory={environment / 'backends'}",
            "--allow-http=false",
            "--allow-metrics=false",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.port}",
        ]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        variables["PATH"] = f"{python.parent}:{variables['PATH']}"
        variables["LD_LIBRARY_PATH"] = library_path(environment)
        server = site_packages(environment) / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        command = ending_with_parent([str(server), *arguments, *here])
        with (self.root.parent / f"{self.root.name}-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while not is_live(self.url):
            assert self.process is not None
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """As a node that fails: at once, with its workers."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def running(*roots: Path) -> Iterator[tuple[Pod, ...]]:
    """Pods on these folders, for a fixture."""
    pods = tuple(Pod(root) for root in roots)
    try:
        for pod in pods:
            pod.start()
        for pod in pods:
            pod.wait()
        yield pods
    finally:
        for pod in pods:
            pod.kill()


def workers(pod: Pod, part: str) -> list[int]:
    """Its Python processes whose command line holds a text, such as the name of a slot."""
    assert pod.process is not None
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pod.process.pid and part.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found
