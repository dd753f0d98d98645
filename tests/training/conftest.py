"""One prepared marketplace for all tests of training."""

import shutil
from pathlib import Path

import pytest
from training.small import build_sources, prepared


@pytest.fixture(scope="session")
def marketplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, the artifacts `validate` and `prepare`, and an empty `home`; not to be changed."""
    root = tmp_path_factory.mktemp("marketplace")
    build_sources(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(root / "home"))
        return prepared(root)


@pytest.fixture
def root(marketplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to train on, with a home folder of its own."""
    shutil.copytree(marketplace, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    return tmp_path
