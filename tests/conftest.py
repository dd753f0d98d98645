"""Fixtures that several test folders share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.builder import build_data


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A fresh valid data folder: 30 listings, 24-pixel photos in files and a tar shard, search log, labels."""
    return build_data(tmp_path / "data")


@pytest.fixture(autouse=True)
def environment_is_left_as_it_was() -> Iterator[None]:
    """No test may leave a registry or home behind in the environment, where the next one would find it."""
    names = ("MLFLOW_TRACKING_URI", "SHOPLENS_HOME", "DVC_EXP_NAME")
    before = [os.environ.get(name) for name in names]
    yield
    assert [os.environ.get(name) for name in names] == before
