"""The demo marketplace with the drift knob on is flagged, and without it is not, beside the registry's champion."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from drift.packaged import Packaged, packaged

from shoplens.cli import main
from shoplens.files import digest_file, read_json, write_json
from shoplens.params import RegisterParams, WorldParams
from shoplens.promotion import registry
from shoplens.world.render import render_world

pytestmark = pytest.mark.slow
NAMES = RegisterParams()


def world(folder: Path, listings: int, seed: int, drift: float = 0.0) -> Path:
    render_world(folder, WorldParams(listings=listings, seed=seed, drift=drift, sessions_per_listing=0), workers=1)
    return folder


def register(run: Packaged, folder: Path) -> None:
    """Make a package the registry's champion, as stage register does."""
    shutil.copytree(run.package, folder / "package")
    shutil.copytree(run.artifacts / "train" / "encoder", folder / "encoder")
    shutil.copytree(run.artifacts / "train" / "encoder", folder / "model")  # what MLflow would load; nobody does
    tags = {registry.IDENTITY: digest_file(run.package / "artifact.json"), registry.WEIGHTS: run.weights}
    version = registry.create_version(NAMES.model, folder=folder, metrics={}, params={}, tags=tags)
    registry.move_alias(NAMES.model, NAMES.alias, version, expected=None)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packaged]:
    """Half of a marketplace's listings trained, half were held out; what was packaged is champion."""
    root = tmp_path_factory.mktemp("champion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(root / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        data = world(root / "data", 240, seed=1)
        count = pq.read_metadata(data / "listings.parquet").num_rows
        run = packaged(root, data, ["train", "test"] * (count // 2), size=64)
        register(run, root / "version")
        yield run


@pytest.fixture
def drift(champion: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], int]:
    """`shoplens drift` with its defaults, in an empty folder; the exit code."""
    assert champion.package.exists()
    write_json(tmp_path / "params.yaml", {})
    monkeypatch.chdir(tmp_path)

    def call(data: Path) -> int:
        with pytest.raises(SystemExit) as done:
            main(["drift", "--data", str(data)])
        return int(str(done.value.code))

    return call


def test_another_marketplace_of_the_same_rules_is_no_drift(
    drift: Callable[[Path], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(world(tmp_path / "new", 160, seed=2)) == 0
    assert capsys.readouterr().out.startswith(f"No drift from version 1 of {NAMES.model} (")


def test_a_marketplace_that_drifted_is_flagged_for_its_photos(
    drift: Callable[[Path], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift(world(tmp_path / "new", 160, seed=2, drift=1.0)) == 1
    assert capsys.readouterr().out.startswith(f"Drift from version 1 of {NAMES.model}: ")
    found = {(one["area"], one["name"]): one for one in read_json(tmp_path / "out/drift/drift.json")["findings"]}
    assert found["listings", "all"]["drifted"]
    assert found["listings", "all"]["effect"] > 0.4
    assert not found["task", "city_view"]["drifted"]  # nothing drew other views
