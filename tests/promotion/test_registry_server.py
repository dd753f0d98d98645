"""The same registration against a real MLflow server, as a team has one."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from shoplens.errors import ShoplensError
from shoplens.promotion.registry import champion_version
from shoplens.promotion.rollback import rollback


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait(url):
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/health")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    raise TimeoutError(url)


@pytest.fixture
def server(registry_home, monkeypatch):
    """A real MLflow server; after `registry_home`, which clears the variable that names it."""
    folder = registry_home.parent
    url = f"http://127.0.0.1:{_free_port()}"
    place = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination",
        folder / "files",
    ]
    address = ["--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1], "--workers", "1"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "mlflow", "server", *place, *address], stdout=log, stderr=log)
        try:
            _wait(url)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            yield
        finally:
            process.terminate()
            process.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_promotion_idempotence_and_rollback_work_against_a_server(run, registry_home):
    run.all("A", ranker=1).all("B").all("B")
    assert (run.champion, run.ranker) == ("2", None)
    models = (run.params.model, run.params.ranker, run.params.alias)
    assert rollback(*models, None, lambda _package, _model, _version: None) == "1"
    assert run.ranker == "1"
    with pytest.raises(ShoplensError, match="was rolled back"):
        run.all("B")
    assert not (registry_home / "mlartifacts").exists()


def test_a_server_that_does_not_answer_is_named(registry_home, monkeypatch):
    assert registry_home.is_dir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{_free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ShoplensError, match="the model registry failed"):
        champion_version("shoplens-encoder", "champion")


def test_an_address_that_mlflow_does_not_know_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://x")
    with pytest.raises(ShoplensError, match=r"the model registry failed .*foo://x"):
        champion_version("model", "champion")
