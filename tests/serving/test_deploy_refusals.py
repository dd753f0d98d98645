"""What must not be served is not deployed, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from serving.live_server import MODEL

from shoplens.artifacts import digest_of, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import RegisterParams
from shoplens.serving import live
from shoplens.serving.deploy import deploy, deploy_version
from shoplens.serving.serve import embed_photos


@pytest.mark.slow
@pytest.mark.usefixtures("live_home")
def test_a_first_deployment_that_answers_wrongly_leaves_nothing_served(make_package: Callable[..., Path]) -> None:
    with pytest.raises(ShoplensError, match="nothing is deployed"):
        embed_photos([])
    with pytest.raises(ShoplensError, match="not the packaged encoder's"):
        deploy_version(make_package(1, lie=True), MODEL, "1")
    assert live.read_live() is None
    assert not list(live.repository().glob("*_v1_*"))


@pytest.mark.usefixtures("live_home")
def test_experiments_and_unregistered_runs_deploy_nothing(
    make_package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(1)
    with write_artifact(tmp_path / "register", "register", {"package": package}, {}) as folder:
        write_json(folder / "receipt.json", {"skipped": "inside a DVC experiment"})

    def run() -> dict[str, str]:
        deploy(package=package, register=tmp_path / "register", out=tmp_path / "deploy", params=RegisterParams())
        return read_json(tmp_path / "deploy" / "receipt.json")

    assert run() == {"skipped": "inside a DVC experiment"}
    monkeypatch.setenv("DVC_EXP_NAME", "try")
    assert run() == {"skipped": "inside a DVC experiment"}
    assert live.read_live() is None


@pytest.mark.usefixtures("live_home")
def test_a_receipt_for_another_package_is_refused(make_package: Callable[..., Path], tmp_path: Path) -> None:
    other = make_package(2)
    with write_artifact(tmp_path / "register", "register", {"package": other}, {}) as folder:
        write_json(folder / "receipt.json", {"model": MODEL, "version": "1", "package": digest_of(other)})
    with pytest.raises(ShoplensError, match="made from another package"):
        deploy(
            package=make_package(1),
            register=tmp_path / "register",
            out=tmp_path / "deploy",
            params=RegisterParams(model=MODEL),
        )
    assert live.read_live() is None
