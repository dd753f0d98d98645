"""Fixtures that several test folders share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.builder import build_data
from hypothesis import settings
from stores.mlflow_server import MlflowServer, mlflow_server
from stores.postgresql import Postgresql, postgresql
from stores.s3 import S3, s3

# hypothesis fails an example that takes more than 200 ms; on a busy machine any of them may
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# what a shell starts in the background ignores Ctrl-C, and so would all that tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def team_database() -> Iterator[Postgresql]:
    """A real PostgreSQL."""
    with postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def team_storage() -> Iterator[S3]:
    """A fake of S3."""
    with s3() as server:
        yield server


@pytest.fixture(scope="session")
def team_mlflow(
    team_database: Postgresql, team_storage: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A real MLflow server on both."""
    with mlflow_server(team_database, team_storage, tmp_path_factory.mktemp("mlflow") / "log") as server:
        yield server
