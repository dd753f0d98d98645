"""A real MLflow server with the arguments of manifests/base/mlflow, on a real PostgreSQL and a fake S3."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import yaml
from stores.ports import free_port
from stores.postgresql import Postgresql
from stores.s3 import S3

MANIFEST = Path(__file__).parents[2] / "manifests" / "base" / "mlflow" / "mlflow.yaml"
BUCKET = "shoplens-mlflow"


@dataclass(frozen=True)
class MlflowServer:
    """A team's server, whose registry can be emptied between tests."""

    url: str
    database: Postgresql
    storage: S3

    def empty(self) -> None:
        """Forget every registered model; the runs stay, as nothing finds them but versions."""
        self.database.execute("TRUNCATE registered_models CASCADE")


@contextlib.contextmanager
def mlflow_server(database: Postgresql, storage: S3, log: Path) -> Iterator[MlflowServer]:
    """Start the server, which makes its tables, and wait until it answers."""
    port = free_port()
    storage.create(BUCKET)
    changes = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
        "--backend-store-uri": database.uri(),
        "--artifacts-destination": f"s3://{BUCKET}/artifacts",
    }
    stated = dict(argument.split("=", 1) for argument in _arguments())
    assert changes.keys() <= stated.keys()
    words = [f"{name}={value}" for name, value in {**stated, **changes}.items()]
    environment = {**os.environ, **storage.environment, "PGPASSWORD": database.password}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words], stdout=output, stderr=output, env=environment
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, log)
            yield MlflowServer(url, database, storage)
        finally:
            process.terminate()
            process.wait()


def _arguments() -> list[str]:
    documents = yaml.safe_load_all(MANIFEST.read_text())
    (deployment,) = (document for document in documents if document["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["mlflow", "server"]
    return [str(argument) for argument in container["args"]]


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1500):
        with contextlib.suppress(URLError, ConnectionError), urllib.request.urlopen(f"{url}/health"):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise TimeoutError(log.read_text())
