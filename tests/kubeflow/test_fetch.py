"""A run's data comes from a commit of a DVC project, whose server may ask for a token, or from a folder."""

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pyarrow.parquet as pq
import pytest

from shoplens.errors import ShoplensError
from shoplens.kubeflow.fetch import commit_of, get_data


@dataclass(frozen=True)
class Project:
    """A DVC project with two states of its data, and a remote that holds them."""

    path: Path
    first: str
    second: str


def git(project: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=project, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(project: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, check=True, capture_output=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("team")
    path = folder / "project"
    (path / "data").mkdir(parents=True)
    (path / ".dvc").mkdir()
    (path / ".dvc/config").write_text(f'[core]\n remote = team\n[remote "team"]\n url = {folder / "remote"}\n')
    (path / ".gitignore").write_text("/.dvc/cache\n/.dvc/tmp\n/data\n")
    git(path, "init", "-q", "-b", "main")
    commits = []
    for version in ("first", "second"):
        (path / "data/dataset.yaml").write_text(version)
        dvc(path, "add", "-q", "data")
        git(path, "add", "-A")
        git(path, "commit", "-qm", version)
        commits.append(git(path, "rev-parse", "HEAD"))
    dvc(path, "push", "-q", "--all-commits")
    git(path, "tag", "-am", "the first data", "v1", commits[0])
    git(path, "branch", "release", commits[0])
    # What a run finds is on the remote, not in a cache that happens to lie beside the project.
    subprocess.run(["rm", "-r", str(path / ".dvc/cache")], check=True)
    return Project(path, *commits)


def test_a_branch_and_a_tag_are_the_commits_that_they_mean_now(project: Project) -> None:
    source = str(project.path)
    assert commit_of(source, "main") == commit_of(source, "HEAD") == project.second
    assert commit_of(source, "release") == commit_of(source, "v1") == project.first  # the tag's commit, not the tag
    assert commit_of("/nowhere at all", project.first) == project.first  # needs no server
    assert commit_of(source, "HEAD~1") is None


def test_a_source_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=rf"cannot read {tmp_path}/shop.git:(?s:.*)GIT_TOKEN"):
        commit_of(f"{tmp_path}/shop.git", "main")


def test_the_data_of_a_revision_comes_from_the_remote(project: Project, tmp_path: Path) -> None:
    assert get_data(str(project.path), project.first, 0, tmp_path / "run/data") == tmp_path / "run/data"
    assert (tmp_path / "run/data/dataset.yaml").read_text() == "first"


def test_a_folder_is_used_where_it_lies(tmp_path: Path) -> None:
    assert get_data(str(tmp_path), "", 0, tmp_path / "out") == tmp_path
    assert not (tmp_path / "out").exists()


def test_a_sample_of_a_folder_is_written(tiny_data: Path, tmp_path: Path) -> None:
    assert get_data(str(tiny_data), "", 7, tmp_path / "out") == tmp_path / "out"
    assert pq.read_table(tmp_path / "out/listings.parquet").num_rows == 7


def test_a_sample_of_less_than_nothing_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="sample_listings: -5 is less than 0"):
        get_data("https://git.example.com/shop", "main", -5, tmp_path / "out")


class Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Requests are no news."""


def git_http(projects: Path, environ: dict[str, Any], start: Any) -> list[bytes]:
    """git's own server, as a WSGI application; it serves every repository below a folder."""
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")
    variables = {name: environ.get(name, "") for name in names}
    variables |= {name: value for name, value in environ.items() if name.startswith("HTTP_")}
    variables |= {"GIT_PROJECT_ROOT": str(projects), "GIT_HTTP_EXPORT_ALL": "1", "PATH": os.environ["PATH"]}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    done = subprocess.run(["git", "http-backend"], env=variables, input=body, capture_output=True, check=True)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    start(headers.pop("Status", "200 OK"), list(headers.items()))
    return [content]


@pytest.fixture
def guarded(project: Project) -> Iterator[str]:
    """The project on a git server that wants the token `open sesame`; its address."""
    wanted = "Basic " + base64.b64encode(b"token:open sesame").decode()

    def application(environ: dict[str, Any], start: Any) -> Any:
        if environ.get("HTTP_AUTHORIZATION") == wanted:
            return git_http(project.path.parent, environ, start)
        start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"'), ("Content-Length", "0")])
        return []

    server = make_server("127.0.0.1", 0, application, handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{project.path.name}/.git"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_the_token_of_the_secret_opens_the_repository(
    guarded: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_TOKEN", raising=False)
    with pytest.raises(ShoplensError, match="GIT_TOKEN for git"):
        commit_of(guarded, "main")
    monkeypatch.setenv("GIT_TOKEN", "open sesame")
    assert commit_of(guarded, "main") == project.second
    get_data(guarded, project.second, 0, tmp_path / "data")
    assert (tmp_path / "data/dataset.yaml").read_text() == "second"
