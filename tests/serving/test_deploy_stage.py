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

TAGS = {registry.WEIGHTS: "weights", registry.IDENTITY: "ranker"}
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
    package, register, out = make_package(1, ranker=1, search=True), tmp_path / "register", tmp_path / "deploy"
    version = register_version(package, tmp_path / "files")
    registry.create_version_of(PARAMS.ranker, registry.read_version("tiny", version).run_id, "model", TAGS)
    registry.move_alias(PARAMS.ranker, PARAMS.alias, "1", expected=None)
    ranker = {"model": PARAMS.ranker, "version": "1"}
    receipt = {
        "model": "tiny",
        "alias": "champion",
        "version": version,
        "package": digest_of(package),
        "ranker": ranker,
    }
    with write_artifact(register, "register", {"package": package}, {}) as folder:
        write_json(folder / "receipt.json", receipt)

    deploy(package=package, register=register, out=out, params=PARAMS)
    written = read_json(out / "receipt.json")
    assert written["version"] == version
    assert written["models"] == ["gallery", "photo", "ranker", "search"]
    assert written["searches"]["lens/query-0"] == {"results": 5, "bits": 0}
    assert written["rankings"]["wood floor"] == {"scores": 5, "difference": 0.0}
    assert written["answers"]["listing-0"] == {"used": 2, "corrupt": 0, "cosine": 1.0}
    digest, state = digest_of(out), (live.folder() / "state.json").read_bytes()
    started = (live.folder() / "deploy.log").stat().st_mtime_ns

    deploy(package=package, register=register, out=out, params=PARAMS)
    assert digest_of(out) == digest
    assert (live.folder() / "state.json").read_bytes() == state
    assert (live.folder() / "deploy.log").stat().st_mtime_ns == started, "a server was started for nothing"

    registry.move_alias(PARAMS.ranker, PARAMS.alias, None, expected="1")
    with pytest.raises(
        ShoplensError, match=r"shoplens-ranker@champion is version none, the receipt names .* version 1"
    ):
        deploy(package=package, register=register, out=out, params=PARAMS)
    registry.move_alias(PARAMS.ranker, PARAMS.alias, "1", expected=None)
    register_version(make_package(2), tmp_path / "files")
    with pytest.raises(ShoplensError, match="tiny@champion is version 2, the receipt names tiny@champion version 1"):
        deploy(package=package, register=register, out=out, params=PARAMS)
    served = live.read_live()
    assert served is not None
    assert served.version == version
