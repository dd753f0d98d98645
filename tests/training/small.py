"""A marketplace with two image sources, small enough to be trained on in a second."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from contract.builder import build_data, jpeg, rows, write_rows, write_spec

from shoplens.contract.split import bucket, split_of
from shoplens.contract.validate import validate
from shoplens.data.prepare import prepare
from shoplens.params import PrepareParams, TrainParams, ValidateParams
from shoplens.training.train import train

SOURCES: list[dict[str, Any]] = [
    {"name": "shop", "tasks": ["product", "instance"], "eval": {"task": "product", "metric": "p@1"}},
    {"name": "camera", "tasks": ["set"], "eval": {"task": "set", "metric": "p@1"}},
]
PARAMS = TrainParams(
    pretrained="none",
    frozen_blocks=9,
    image_size=32,
    embedding_dim=8,
    groups=4,
    head_width=4,
    batch_photos=36,
    max_epochs=2,
    patience=None,
    learning_rate=1e-2,
)
"""Nothing with batch norm learns, and all frozen activations are those of one pixel."""


def photo_ids(name: str, count: int) -> list[str]:
    """Ids of which every fifth validates."""
    numbers = itertools.count()
    chosen = []
    for place in range(count):
        part = "validation" if place % 5 == 4 else "train"
        ids = (f"{name}-{number}" for number in numbers)
        chosen.append(next(i for i in ids if (split_of(bucket(i)) == "validation") == (part == "validation")))
    return chosen


def build_sources(folder: Path) -> Path:
    """The tiny marketplace of tests/contract with two sources: `shop` (2 products, 7 instances) and `camera` (10 sets).

    Every second photo of an instance has no product, and every fourth crop of it shows two instances.
    """
    data, rng = build_data(folder), np.random.default_rng(1)
    images, labels = rows(data, "images.parquet"), rows(data, "labels.parquet")

    def add(image_id: str, colour: tuple[int, int, int]) -> None:
        (data / f"images/{image_id}.jpg").write_bytes(jpeg(rng, colour, 32, 24))
        images.append(
            {"image_id": image_id, "listing_id": None, "path": f"images/{image_id}.jpg", "width": 32, "height": 24}
            | {"domain": "camera"}
        )

    def label(source: str, task: str, value: str, image_id: str, role: str, crop: bool) -> None:
        box = dict(zip(("x0", "y0", "x1", "y1"), (0.2, 0.1, 0.9, 0.8) if crop else (None,) * 4, strict=True))
        labels.append({"source": source, "task": task, "label": value, "image_id": image_id, "role": role, **box})

    for number, image_id in enumerate(photo_ids("instance", 35)):
        add(image_id, (30 * (number % 7), 100, 255 - 30 * (number % 7)))
        label("shop", "instance", f"instance-{number % 7}", image_id, "train", number % 2 == 0)
        if number % 2:
            label("shop", "product", ["lamp", "vase"][number % 4 // 2], image_id, "train", False)
        if number % 4 == 0:
            label("shop", "instance", f"instance-{(number + 1) % 7}", image_id, "train", True)
    for number, image_id in enumerate(photo_ids("set", 20)):
        add(image_id, (24 * (number // 2), 24 * (number // 2), 90))
        label("camera", "set", f"set-{number // 2}", image_id, "train", False)
    for role in ("query", "corpus"):
        add(f"set-{role}", (40, 40, 90))
        label("camera", "set", "set-2", f"set-{role}", role, False)
    write_rows(data, "images.parquet", images)
    write_rows(data, "labels.parquet", labels)
    write_spec(data, sources=SOURCES)
    return data


def prepared(root: Path) -> Path:
    """`root` with `data` and the artifacts of the stages before training."""
    data, artifacts = root / "data", root / "artifacts"
    validate(data=data, out=artifacts / "validate", params=ValidateParams())
    prepare(data=data, validate=artifacts / "validate", out=artifacts / "prepare", params=PrepareParams())
    return root


def go(root: Path, params: TrainParams = PARAMS, **changes: Any) -> Path:
    """Run stage train in this process; what it wrote."""
    out = root / "artifacts/train"
    train(
        data=root / "data",
        prepare=root / "artifacts/prepare",
        out=out,
        params=TrainParams.model_validate(params.model_dump() | changes),
    )
    return out
