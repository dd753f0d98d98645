"""The Triton model repository: two variants from one description, equal in names and signatures.

| model | input | outputs |
|---|---|---|
| `gallery` | PHOTOS: BYTES [-1] | EMBEDDING: FP32 [D]; CODE: UINT8 [B]; USED, CORRUPT: INT32 [1] |
| `photo` | PHOTO: BYTES [1] | EMBEDDING: FP32 [D]; CODE: UINT8 [B] |
| `ranker` | QUERY: BYTES [1]; LISTINGS: BYTES [-1] | SCORES: FP32 [-1]; KNOWN: INT32 [-1]; MODEL, MODALITY: BYTES [1] |
| `search` | PHOTO, SOURCE: BYTES [1]; BOX: FP64 [4]; K: INT32 [1] | IMAGE_IDS, LABELS: BYTES [-1]; |
| | | BOXES: FP64 [-1, 4]; DISTANCES: INT32 [-1]; CODE: UINT8 [B] |
| `encoder` (internal) | pixels: UINT8 [n, S, S, 3] | embedding, activation: FP32 [n, D] |

A code has D bits in B = ceil(D / 8) bytes. `gallery`, `photo` and `search` decode (python backend) and call `encoder`.
`ranker`, which only data with a search log gives, and `search`, which only data with image sources gives, answer from
bundles of their own; this very encoder made what is in them, so all are packaged and switched together.
Only the encoder differs between the variants: `embedded` runs onnxruntime inside the python backend, which needs
nothing but a Python package; `gpu` is Triton's onnxruntime backend with TensorRT, else CUDA.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import shoplens.contract.pixels
import shoplens.ranking.scoring
import shoplens.retrieval.index
import shoplens.serving.request_log
from shoplens.files import write_json, write_text

Variant = Literal["embedded", "gpu"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
PHOTO_NAMES = ("gallery", "photo")
RANKER = "ranker"
SEARCH = "search"
PUBLIC = (*PHOTO_NAMES, RANKER, SEARCH)
"""Every name that a package may be asked by; `Description.public` are those of one package."""
MODELS = ("encoder", *PUBLIC)
_SOURCES = Path(__file__).parent / "triton"


@dataclass(frozen=True)
class Description:
    """What both variants are written from.

    size, short_side: the transform (`contract.pixels.to_pixels`). dim: length D of an embedding. max_batch: photos in
    one call of the encoder. front_instances: processes that decode, for `gallery` and `photo` each. queue_delay_us:
    how long the encoder waits for other requests to share a batch (GPU only; on a CPU a batch saves nothing). ranker,
    search: digests of the ranker's and the search's bundles; None where there is none. codes: whether codes are
    answered, which packages of earlier versions did not.
    """

    size: int
    short_side: int | None
    dim: int
    max_batch: int = 32
    front_instances: int = 2
    queue_delay_us: int = 500
    ranker: str | None = None
    search: str | None = None
    codes: bool = False

    @property
    def public(self) -> tuple[str, ...]:
        """The names by which this package is asked."""
        bundles = {RANKER: self.ranker, SEARCH: self.search}
        return (*PHOTO_NAMES, *(name for name, digest in bundles.items() if digest))

    @property
    def models(self) -> tuple[str, ...]:
        """All models of this package, in the order in which they load."""
        return ("encoder", *self.public)


def signature(description: Description, name: str) -> dict[str, Any]:
    """Inputs and outputs of a public model, as in a Triton model configuration."""
    if name == RANKER:
        return {
            "input": [_tensor("QUERY", "STRING", 1), _tensor("LISTINGS", "STRING", -1)],
            "output": [
                _tensor("SCORES", "FP32", -1),
                _tensor("KNOWN", "INT32", -1),
                _tensor("MODEL", "STRING", 1),
                _tensor("MODALITY", "STRING", 1),
            ],
        }
    code = _tensor("CODE", "UINT8", -(-description.dim // 8))
    if name == SEARCH:
        return {
            "input": [
                _tensor("PHOTO", "STRING", 1),
                _tensor("BOX", "FP64", 4),
                _tensor("SOURCE", "STRING", 1),
                _tensor("K", "INT32", 1),
            ],
            "output": [
                _tensor("IMAGE_IDS", "STRING", -1),
                _tensor("BOXES", "FP64", -1, 4),
                _tensor("LABELS", "STRING", -1),
                _tensor("DISTANCES", "INT32", -1),
                code,
            ],
        }
    made = [_tensor("EMBEDDING", "FP32", description.dim), *([code] if description.codes else [])]
    if name == "photo":
        return {"input": [_tensor("PHOTO", "STRING", 1)], "output": made}
    counts = [_tensor(count, "INT32", 1) for count in ("USED", "CORRUPT")]
    return {"input": [_tensor("PHOTOS", "STRING", -1)], "output": [*made, *counts]}


def _tensor(name: str, kind: str, *dims: int) -> dict[str, Any]:
    return {"name": name, "data_type": f"TYPE_{kind}", "dims": list(dims)}


def _encoder_config(description: Description, variant: Variant) -> dict[str, Any]:
    shape = [description.size, description.size, 3]
    config: dict[str, Any] = {
        "max_batch_size": description.max_batch,
        "input": [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": shape}],
        "output": [_tensor(name, "FP32", description.dim) for name in ("embedding", "activation")],
        "model_warmup": [
            {
                "name": f"zeros-{batch}",
                "batch_size": batch,
                "inputs": {"pixels": {"data_type": "TYPE_UINT8", "dims": shape, "zero_data": True}},
            }
            for batch in (1, description.max_batch)
        ],
    }
    if variant == "embedded":
        return config | {
            "backend": "python",
            "dynamic_batching": {},
            "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        }
    # The warm-up runs the smallest and the largest batch, so TensorRT has built for that range by then.
    tensorrt = {
        "name": "tensorrt",
        "parameters": {
            "precision_mode": "FP32",
            "trt_engine_cache_enable": "true",
            "trt_engine_cache_path": "/tmp/tensorrt",
        },
    }
    return config | {
        "backend": "onnxruntime",
        "dynamic_batching": {"max_queue_delay_microseconds": description.queue_delay_us},
        "instance_group": [{"count": 1, "kind": "KIND_GPU"}],
        "optimization": {"execution_accelerators": {"gpu_execution_accelerator": [tensorrt]}},
    }


def _front_config(description: Description, name: str) -> dict[str, Any]:
    # A ranking takes a millisecond of one process: decoding is what needs more.
    count = 1 if name == RANKER else description.front_instances
    instances = [{"count": count, "kind": "KIND_CPU"}]
    return {"backend": "python", "max_batch_size": 0, "instance_group": instances, **signature(description, name)}


def model_config(description: Description, name: str, variant: Variant) -> dict[str, Any]:
    """The configuration of one model, as the JSON form of Triton's `ModelConfig` message."""
    return _encoder_config(description, variant) if name == "encoder" else _front_config(description, name)


def switch_config(description: Description, name: str, version: str, slot: str) -> dict[str, Any]:
    """The public model of a live repository: an ensemble `name`, version `version`, of one step, the model in `slot`.

    Writing another one and loading it is the switch between versions; requests never wait for a model to load.
    """
    io = signature(description, name)
    step = {
        "model_name": in_slot(name, slot),
        "model_version": -1,
        "input_map": {tensor["name"]: tensor["name"] for tensor in io["input"]},
        "output_map": {tensor["name"]: tensor["name"] for tensor in io["output"]},
    }
    return {
        "platform": "ensemble",
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": [int(version)]}},
        "ensemble_scheduling": {"step": [step]},
        **io,
    }


def in_slot(name: str, slot: str) -> str:
    """The name of a packaged model in a live repository, where several packages lie side by side: `gallery_v7_1a2b`."""
    return f"{name}_{slot}"


def config_text(config: Mapping[str, Any]) -> str:
    """`config.pbtxt` of a configuration; Triton takes the model's name from its folder.

    Raises:
        google.protobuf.json_format.ParseError: if a field is not one of Triton's.
    """
    from google.protobuf import json_format, text_format  # type: ignore[import-untyped]
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    return str(text_format.MessageToString(json_format.ParseDict(dict(config), ModelConfig())))


def write_repository(
    root: Path,
    description: Description,
    variant: Variant,
    onnx: Path,
    ranker: Path | None = None,
    search: Path | None = None,
    weights: str = "",
) -> None:
    """Write a whole model repository: a folder for each of the description's models.

    Args:
        root: the folder to fill.
        description: what is served.
        variant: which of the two.
        onnx: the exported encoder.
        ranker, search: the bundles of the ranker and of visual search; the description names their digests.
        weights: digest of the encoder's weights, which a log of requests names.
    """
    for name in description.models:
        version = root / name / "1"
        version.mkdir(parents=True)
        write_text(root / name / "config.pbtxt", config_text(model_config(description, name, variant)))
        if name == "encoder":
            shutil.copyfile(onnx, version / "model.onnx")
            if variant == "embedded":
                shutil.copyfile(_SOURCES / "encoder.py", version / "model.py")
            continue
        shutil.copyfile(_SOURCES / f"{name}.py", version / "model.py")
        shutil.copyfile(_SOURCES / "failures.py", version / "failures.py")
        if name != RANKER:
            _add_front(version, description, weights)
    if ranker is not None:
        version = root / RANKER / "1"
        shutil.copyfile(Path(shoplens.ranking.scoring.__file__), version / "scoring.py")
        shutil.copytree(ranker, version / "ranker")
    if search is not None:
        version = root / SEARCH / "1"
        shutil.copyfile(Path(shoplens.retrieval.index.__file__), version / "index.py")
        shutil.copytree(search, version / "index")


def _add_front(version: Path, description: Description, weights: str) -> None:
    """What the models that take photos decode with."""
    shutil.copyfile(_SOURCES / "front.py", version / "front.py")
    shutil.copyfile(Path(shoplens.contract.pixels.__file__), version / "pixels.py")
    shutil.copyfile(Path(shoplens.serving.request_log.__file__), version / "request_log.py")
    transform = {
        "weights": weights,
        "size": description.size,
        "short_side": description.short_side,
        "max_batch": description.max_batch,
    }
    write_json(version / "transform.json", transform)
