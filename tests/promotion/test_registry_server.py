"""What is particular about a team's registry: a server on PostgreSQL and S3, the database itself, or nobody there."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from promotion.test_rollback import back
from stores.mlflow_server import BUCKET
from stores.ports import free_port

from shoplens.errors import ShoplensError
from shoplens.promotion.registry import champion_version


@pytest.mark.slow
@pytest.mark.parametrize("registry_home", ["postgresql and s3"], indirect=True)
def test_files_go_to_s3_through_the_server_and_lost_ones_are_named(run, registry_home, team_storage):
    before = set(team_storage.names(BUCKET))
    run.all("A")
    stored = set(team_storage.names(BUCKET)) - before
    assert {name.split("/artifacts/")[-1] for name in stored} >= {"encoder/encoder.json", "decision.json"}
    assert not (registry_home / "mlartifacts").exists()
    team_storage.delete(BUCKET, [name for name in stored if "/encoder/" in name])
    with pytest.raises(ShoplensError, match=r"encoder of version 1 .* restore the registry's artifact store"):
        run.train("B").compare()


@pytest.mark.slow
def test_the_server_lets_in_by_the_names_of_the_cluster_only(team_mlflow):
    import requests

    def asked_as(host):
        address = f"{team_mlflow.url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
        return requests.get(address, headers={"Host": host}, timeout=60).status_code

    assert {asked_as(host) for host in ("mlflow:5000", "mlflow.shoplens.svc.cluster.local:5000")} == {200}
    assert asked_as("mlflow.example.com") == 403


@pytest.mark.slow
def test_the_database_itself_is_a_registry_once_it_says_where_files_go(run, team_database, team_storage, monkeypatch):
    from click.testing import CliRunner
    from mlflow.cli import cli

    team_database.execute("CREATE DATABASE direct")
    team_storage.create("direct")
    for name, value in {**team_storage.environment, "PGPASSWORD": team_database.password}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team_database.uri("direct"))
    run.ready("A")
    with pytest.raises(ShoplensError, match="does not say where the files of models go") as caught:
        run.promote()
    assert run.champion is None
    stated = str(caught.value).split("`mlflow ")[1].split("`")[0]
    done = CliRunner().invoke(cli, stated.replace("BUCKET/FOLDER", "direct/files").split())
    assert done.exit_code == 0, done.output
    run.promote().all("B")
    assert run.champion == "2"
    assert back(run) == run.champion == "1"
    assert any(name.endswith("/artifacts/encoder/encoder.json") for name in team_storage.names("direct", "files/"))


@pytest.mark.parametrize("kind", ["http", "postgresql+psycopg2"])
def test_an_address_where_nobody_answers_is_named_without_its_password(registry_home, monkeypatch, kind):
    assert registry_home.is_dir()
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{kind}://anna:secret@{place}/mlflow")
    with pytest.raises(ShoplensError, match="does not answer: start it, or correct MLFLOW_TRACKING_URI") as caught:
        champion_version("shoplens-encoder", "champion")
    assert place in str(caught.value)
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value)


class OnlyHealthy(BaseHTTPRequestHandler):
    """A server that is there and fails whatever else it is asked."""

    def do_GET(self):
        self.send_response(200 if self.path.endswith("/health") else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_server_that_fails_later_is_named_without_its_password_too(registry_home, monkeypatch):
    assert registry_home.is_dir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), OnlyHealthy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:secret@127.0.0.1:{server.server_port}")
        with pytest.raises(ShoplensError, match="the model registry failed") as caught:
            champion_version("shoplens-encoder", "champion")
    finally:
        server.shutdown()
        server.server_close()
    assert f"127.0.0.1:{server.server_port}" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_without_its_driver_is_told_which_one_is_here(registry_home, monkeypatch):
    assert registry_home.is_dir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql://anna:secret@db/mlflow")
    with pytest.raises(ShoplensError, match=r"mysql://anna:\*\*\*@db.*driver .* is not installed .*psycopg2") as caught:
        champion_version("shoplens-encoder", "champion")
    assert "secret" not in str(caught.value)


def test_an_address_that_mlflow_does_not_know_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://x")
    with pytest.raises(ShoplensError, match=r"the model registry failed .*foo://x"):
        champion_version("model", "champion")
