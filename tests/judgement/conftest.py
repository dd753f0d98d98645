"""A run with two models' results, to be judged."""

from pathlib import Path

import pytest
from judgement.judged_run import write_run


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Path]:
    """Artifacts and data (see `write_run`)."""
    return write_run(tmp_path)
