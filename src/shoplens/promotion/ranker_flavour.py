"""The ranker's bundle as an MLflow model: rows of query and listing id to scores."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import shoplens.ranking.scoring
from shoplens.files import read_json


def save_ranker(bundle: Path, folder: Path) -> None:
    """Write a ranker's bundle, as it was packaged, in MLflow's python_function flavour into the new folder `folder`."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    example = next(row for row in read_json(bundle / "examples.json") if row["listing_ids"])
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module="ranker_loader",
        data_path=str(bundle),
        code_paths=[str(Path(__file__).parent / "ranker_loader.py"), shoplens.ranking.scoring.__file__],
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.string, name) for name in ("query", "listing_id")]),
            outputs=Schema([ColSpec(DataType.double)]),
        ),
        input_example=pd.DataFrame({"query": example["query"], "listing_id": example["listing_ids"][:3]}),
        pip_requirements=[f"{name}=={version(name)}" for name in ("numpy", "pandas")],
    )
