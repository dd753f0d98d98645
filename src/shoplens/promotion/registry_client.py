"""The way to the model registry: one question whether it answers, then MLflow's client.

An address that does not answer is an error within seconds: MLflow by itself goes on trying for minutes without a word.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

from shoplens.errors import ShoplensError
from shoplens.files import locked
from shoplens.home import home

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE_S = 10
"""How long a server or database may take to accept a connection, and a server to say that it is there."""


def mlflow_error() -> type[Any]:
    """What MLflow raises; importing it takes a second."""
    from mlflow.exceptions import MlflowException

    return MlflowException


@functools.lru_cache
def client_of(uri: str) -> MlflowClient:
    """The client of a server or database, asked once whether it answers.

    Raises:
        ShoplensError: if nobody answers, or the driver of a database is not installed.
        MlflowException: if the address is of no kind that MLflow knows, or a database's tables cannot be made.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(PATIENCE_S))
    # a server that is gone in the middle of a run: a minute is enough to start it again; MLflow's 7 are four, silent
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # environments without pip are fine here
    _require_answer(uri)
    client = MlflowClient(uri, uri)
    if is_database(uri):
        with locked(home() / "mlflow-setup.lock", "the registry's tables"):
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
    return client


def is_database(uri: str) -> bool:
    """Whether an address is a database's, sqlite's included, and not a server's."""
    from mlflow.store.db.db_types import DATABASE_ENGINES

    return uri.split(":")[0].split("+")[0] in DATABASE_ENGINES


def _require_answer(uri: str) -> None:
    """Ask a server or database once, before MLflow asks with its many repetitions.

    Raises:
        ShoplensError: if nobody answers, or the driver of a database is not installed.
    """
    from sqlalchemy.exc import DBAPIError

    try:
        if uri.startswith(("http://", "https://")):
            _ask_server(uri)
        elif is_database(uri) and not uri.startswith("sqlite"):
            _ask_database(uri)
    except (DBAPIError, mlflow_error()) as error:
        raise ShoplensError(
            f"the model registry at {shown(uri)} does not answer: start it, or correct MLFLOW_TRACKING_URI "
            f"({without_password(error, uri)})"
        ) from None
    except ImportError as error:
        raise ShoplensError(
            f"MLFLOW_TRACKING_URI is {shown(uri)}, and the driver of that database is not installed ({error}). The "
            "one that is here is for postgresql+psycopg2://..."
        ) from None


def _ask_server(uri: str) -> None:
    """Any answer will do, but for a proxy's saying that nobody is behind it."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    gateway = (502, 503, 504)
    asked = {"max_retries": 2, "backoff_factor": 1, "retry_codes": gateway, "respect_retry_after_header": False}
    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    http_request(credentials, "/health", "GET", timeout=PATIENCE_S, **asked)  # type: ignore[no-untyped-call]


def _ask_database(uri: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    create_engine(uri, poolclass=NullPool).connect().close()


def shown(uri: str) -> str:
    """The address without a password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:  # no address, such as a folder
        return uri


def without_password(error: Exception, uri: str) -> str:
    """What an error says, which may have the whole address in it."""
    return str(error).replace(uri, shown(uri))
