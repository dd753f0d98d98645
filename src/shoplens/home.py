"""Where shoplens keeps what must outlive a run: registry, live model repository, checkpoints, caches.

`SHOPLENS_HOME` names the folder (default `.shoplens` in the current folder). The standard `MLFLOW_TRACKING_URI`
points at a team's MLflow; without it the registry is a sqlite file in the home folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The state folder, absolute; created on first use."""
    folder = Path(os.environ.get("SHOPLENS_HOME") or ".shoplens").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tracking_uri() -> str:
    """MLflow's address: `MLFLOW_TRACKING_URI`, else a sqlite file in the home folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"
