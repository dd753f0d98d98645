"""Fixtures that several test folders share."""

from pathlib import Path

import pytest
from contract.builder import build_data


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A fresh valid data folder: 30 listings, 24-pixel photos in files and a tar shard, search log, labels."""
    return build_data(tmp_path / "data")
