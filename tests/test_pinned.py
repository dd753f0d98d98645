"""data/ is what data.dvc pins: rendered and compared, or refused; with the real DVC.

Data that is pulled from a remote is in stores/test_dvc_remote.py.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from stores.dvc_project import dvc

from shoplens.errors import ShoplensError
from shoplens.params import Params, WorldParams
from shoplens.pinned import get_pinned_data, workspace_hash
from shoplens.world.render import render_world

ROOT = Path(__file__).parents[1]
WORLD = WorldParams(listings=24, seed=5)


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose data.dvc pins a demo of 24 listings."""
    folder = tmp_path_factory.mktemp("pinned") / "project"
    (folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    stated = {**Params().model_dump(by_alias=True, mode="json"), "world": WORLD.model_dump()}
    (folder / "params.yaml").write_text(yaml.safe_dump(stated))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    render_world(folder / "data", WORLD)
    dvc(folder, "add", "data")
    pin = yaml.safe_load((folder / "data.dvc").read_text())
    (folder / "data.dvc").write_text(yaml.safe_dump({"meta": {"demo": pin["outs"][0]["md5"]}, **pin}, sort_keys=False))
    return folder


@pytest.fixture
def clone(pinned: Path, tmp_path: Path) -> Path:
    """What a fresh clone has: no data, no cache."""
    folder = tmp_path / "clone"
    shutil.copytree(pinned, folder, ignore=shutil.ignore_patterns("data", "cache", "tmp"))
    return folder


def test_a_fresh_clone_renders_the_demo_and_finds_the_pinned_bytes(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = (clone / "data.dvc").read_bytes()
    get_pinned_data(clone)
    assert "byte for byte the pinned one" in capsys.readouterr().err
    assert workspace_hash(clone) in pin.decode()
    assert (clone / "data.dvc").read_bytes() == pin


def test_other_bytes_are_told_before_anything_runs(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["world"]["seed"] = 6
    (clone / "params.yaml").write_text(yaml.safe_dump(params))
    pin = (clone / "data.dvc").read_bytes()
    get_pinned_data(clone)
    assert "renders other bytes" in capsys.readouterr().err
    assert (clone / "data.dvc").read_bytes() == pin


def test_data_of_ones_own_is_left_alone_and_the_difference_is_said(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "data").mkdir()
    (clone / "data" / "mine").write_text("mine")
    get_pinned_data(clone)
    assert "differs from data.dvc" in capsys.readouterr().err
    assert [p.name for p in (clone / "data").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "run `dvc add data`"),
        ("outs:\n- md5: 1234.dir\n  path: data\n", "dvc remote add"),
        ("meta:\n  demo: 5678.dir\nouts:\n- md5: 1234.dir\n  path: data\n", "dvc remote add"),
        ("outs: 3\n", "outs"),
        ("<<<<<<< HEAD\n", "data.dvc"),
    ],
    ids=["no pin", "not the demo", "other data under the demo's mark", "not a pin", "a merge conflict"],
)
def test_data_that_nothing_can_bring_is_a_clear_error(clone: Path, content: str | None, message: str) -> None:
    if content is None:
        (clone / "data.dvc").unlink()
    else:
        (clone / "data.dvc").write_text(content)
    with pytest.raises(ShoplensError, match=message):
        get_pinned_data(clone)
