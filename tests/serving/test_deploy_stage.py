"""Stage deploy against a real registry: the chain package - receipt - alias must hold, and a second run is silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoplens.artifacts import digest_of, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import RegisterParams
from shoplens.promotion import registry
from shoplens.serving import live
from shoplens.serving.deploy import deploy

PARAMS = RegisterParams(model="tiny", alias="champion")


def register_version(package: Path, folder: Path) -> str:
    """A new version with the alias on it, as stage register leaves the registry."""
    write_json(folder / "model" / "MLmodel", {})
    tags = {registry.WEIGHTS: digest_of(package), registry.IDENTITY: digest_of(package)}
    version = registry.create_version(PARAMS.model, folder=folder, metrics={}, params={}, tags=tags)
    current = registry.champion_version(PARAMS.model, PARAMS.alias)
    registry.move_alias(PARAMS.model, PARAMS.alias, version, expected=current)
    return version


@pytest.mark.slow
@pytest.mark.usefixtures("live_home")
def test_the_registered_version_is_deployed_once_and_only_while_the_alias_names_it(
    make_package: Callable[..., Path], tmp_path: Path
) -> None:
    package, register, out = make_package(1), tmp_path / "register", tmp_path / "deploy"
    version = register_version(package, tmp_path / "files")
    receipt = {"model": "tiny", "alias": "champion", "version": version, "package": digest_of(package)}
    with write_artifact(register, "register", {"package": package}, {}) as folder:
        write_json(folder / "receipt.json", receipt)

    deploy(package=package, register=register, out=out, params=PARAMS)
    written = read_json(out / "receipt.json")
    assert written["version"] == version
    assert written["models"] == ["gallery", "photo"]
    assert written["answers"]["listing-0"] == {"used": 2, "corrupt": 0, "cosine": 1.0}
    digest, state = digest_of(out), (live.folder() / "state.json").read_bytes()
    started = (live.folder() / "deploy.log").stat().st_mtime_ns

    deploy(package=package, register=register, out=out, params=PARAMS)
    assert digest_of(out) == digest
    assert (live.folder() / "state.json").read_bytes() == state
    assert (live.folder() / "deploy.log").stat().st_mtime_ns == started, "a server was started for nothing"

    register_version(make_package(2), tmp_path / "files")
    with pytest.raises(ShoplensError, match="tiny@champion is version 2, the receipt names tiny@champion version 1"):
        deploy(package=package, register=register, out=out, params=PARAMS)
    served = live.read_live()
    assert served is not None
    assert served.version == version
