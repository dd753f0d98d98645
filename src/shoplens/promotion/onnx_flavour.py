"""The exported encoder as an MLflow model, with the signature that its graph states."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any


def save_onnx(encoder: Path, folder: Path) -> None:
    """Write `encoder` (an .onnx file) in MLflow's ONNX flavour into the new folder `folder`."""
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature

    model = onnx.load(encoder)
    weights = {tensor.name for tensor in model.graph.initializer}
    mlflow.onnx.save_model(
        model,
        str(folder),
        signature=ModelSignature(
            inputs=_schema([value for value in model.graph.input if value.name not in weights]),
            outputs=_schema(model.graph.output),
        ),
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        save_as_external_data=False,
    )


def _schema(values: Any) -> Any:
    from mlflow.types import ColSpec, Schema, TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    specs: list[ColSpec | TensorSpec] = []
    for value in values:
        tensor = value.type.tensor_type
        shape = tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in tensor.shape.dim)
        specs.append(TensorSpec(tensor_dtype_to_np_dtype(tensor.elem_type), shape, value.name))
    return Schema(specs)
