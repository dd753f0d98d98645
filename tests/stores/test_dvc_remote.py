"""Data and outputs come back from a team's DVC remote, a folder or a bucket of S3, and a lost one is named."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stores.dvc_project import Remote, clone, dvc, publish

from shoplens.errors import ShoplensError
from shoplens.kubeflow.fetch import get_data
from shoplens.pinned import get_pinned_data


@pytest.fixture(scope="module", params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """A place to push to; S3's keys come from the environment, as in a pod or a job."""
    if request.param == "folder":
        yield Remote(str(tmp_path_factory.mktemp("remote") / "dvc"))
        return
    storage = request.getfixturevalue("team_storage")
    storage.create("shop")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in storage.environment.items():
            patch.setenv(name, value)
        yield Remote("s3://shop/dvc", storage.endpoint)


@pytest.fixture(scope="module")
def project(remote: Remote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "project"
    publish(folder, remote)
    return folder


def test_a_fresh_clone_gets_the_pinned_data_and_the_outputs_of_the_last_run(project: Path, tmp_path: Path) -> None:
    fresh = clone(project, tmp_path / "clone")
    get_pinned_data(fresh)
    assert (fresh / "data/photos/2.jpg").read_text() == "second 2.jpg"
    assert not (fresh / "copy").exists()
    dvc(fresh, "pull", "-q")
    assert (fresh / "copy/photos/1.jpg").read_text() == "second 1.jpg"


def test_a_run_gets_the_data_of_any_revision_from_a_repository_without_it(project: Path, tmp_path: Path) -> None:
    source = clone(project, tmp_path / "clone")
    found = get_data(str(source), "first", 0, tmp_path / "data")
    assert (found / "photos/2.jpg").read_text() == "first 2.jpg"
    assert not (source / "data").exists()


def test_a_remote_that_lost_the_data_is_named_with_what_to_do(
    project: Path, remote: Remote, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fresh = clone(project, tmp_path / "clone")
    lost = Remote(f"{remote.url}-lost", remote.endpoint)
    (fresh / ".dvc" / "config").write_text(lost.config())
    with pytest.raises(ShoplensError, match=r"could not be pulled from team .*-lost.*`dvc push data.dvc`"):
        get_pinned_data(fresh)
    assert "Missing cache files" in capfd.readouterr().err
    assert not (fresh / "data").exists()
