"""The encoder as ONNX, and the proof that it still computes the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.files import write_bytes

if TYPE_CHECKING:
    import torch

    from shoplens.models.encoder import PhotoEncoder

OUTPUTS = ("embedding", "activation")


@dataclass(frozen=True)
class Parity:
    """How far two computations of the same embeddings, or activations, are apart.

    min_cosine: the lowest cosine similarity of a row pair; max_difference: the largest absolute difference of any
    element; n: rows compared.
    """

    min_cosine: float
    max_difference: float
    n: int


def compare(one: np.ndarray, other: np.ndarray) -> Parity:
    """Compare two float arrays [n, D] row by row; rows of zeros are equal to each other and to nothing else.

    Raises:
        ShoplensError: if the shapes differ or there is nothing to compare.
    """
    if one.shape != other.shape or one.ndim != 2 or one.size == 0:
        raise ShoplensError(f"embeddings of shapes {one.shape} and {other.shape} cannot be compared")
    a, b = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = norms[0] * norms[1]
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    cosine = np.where(product > 0, (a * b).sum(axis=1) / np.where(product > 0, product, 1.0), both_zero.astype(float))
    finite = np.isfinite(product)
    cosine = np.where(finite, np.minimum(cosine, 1.0), -1.0)  # NaN is as wrong as an answer can be
    return Parity(float(cosine.min()), float(np.nan_to_num(np.abs(a - b), nan=np.inf).max()), len(a))


def _served(encoder: PhotoEncoder) -> torch.nn.Module:
    """The encoder as it is served: pixels -> (embedding, activation), rounded where training rounds.

    What training caches of a photo is float16; without that step one bit in some thousands of a code would differ.
    """
    import torch

    class Served(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            activation = self.encoder.activate(self.encoder.frozen(pixels))
            return self.encoder.rectify(activation), activation

    return Served().eval().to("cpu")


def export_onnx(encoder: PhotoEncoder, size: int, path: Path) -> None:
    """Write the encoder as one ONNX file: `pixels` uint8 [n, size, size, 3] -> OUTPUTS, float32 [n, D] each.

    The same weights give the same bytes: the exporter's notes (source paths, stack traces) are removed.

    Raises:
        ShoplensError: if the encoder cannot be expressed in ONNX, or is larger than a protobuf file may be (2 GB).
    """
    import onnx
    import torch

    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    try:
        program = torch.onnx.export(
            _served(encoder),
            (example,),
            dynamo=True,
            input_names=["pixels"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("n")},),
            external_data=False,
            verbose=False,
        )
        assert program is not None  # it is with dynamo=True
        proto = program.model_proto
        _strip_notes(proto)
        onnx.checker.check_model(proto, full_check=True)
        write_bytes(path, proto.SerializeToString(deterministic=True))
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise ShoplensError(f"the encoder cannot be written as ONNX: {error}") from error


def _strip_notes(proto: Any) -> None:
    """Remove what the exporter says about the machine and the source: it holds paths and changes with every edit."""
    del proto.metadata_props[:]
    graph = proto.graph
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del item.metadata_props[:]
        item.doc_string = ""


def check_parity(encoder: PhotoEncoder, path: Path, batches: Iterable[np.ndarray]) -> Parity:
    """Compare PyTorch and onnxruntime on batches of uint8 pixels [n, S, S, 3] (each batch size tries `n` anew).

    The parity is that of embeddings or of activations, whichever is worse; n counts photos.
    """
    import onnxruntime
    import torch

    model = _served(encoder)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ours, theirs = [], []
    for batch in batches:
        with torch.inference_mode():
            ours.append([made.numpy() for made in model(torch.from_numpy(batch))])
        theirs.append(session.run(list(OUTPUTS), {"pixels": batch}))
    embedding, activation = (
        compare(np.concatenate(a), np.concatenate(b))
        for a, b in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    )
    return Parity(
        min(embedding.min_cosine, activation.min_cosine),
        max(embedding.max_difference, activation.max_difference),
        embedding.n,
    )
