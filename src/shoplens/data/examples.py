"""Photos and crops with labels of an image source: what `labels.parquet` comes to after the split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILE = "examples.parquet"
BOX = ("x0", "y0", "x1", "y1")
_WHOLE = -1.0


@dataclass(frozen=True)
class Crops:
    """Distinct photos and crops of photos, in order of (image_id, x0, y0, x1, y1), a whole photo before its crops.

    Attributes:
        image_ids: str (N,).
        paths: where the photos are (N,).
        digests: of the pixels that are meant: the sha256 of the photo's bytes, with the box if there is one (N,).
        boxes: float64 (N, 4), fractions x0, y0, x1, y1 from the top left; NaN for a whole photo.
    """

    image_ids: np.ndarray
    paths: list[str]
    digests: list[str]
    boxes: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.paths)


def read_examples(prepare: Path) -> pa.Table | None:
    """The examples that stage prepare left usable; None if the data has no labels.parquet.

    Columns: source, task, label (null: a distractor), role (train, validation, query or corpus), image_id, path,
    sha256, and x0, y0, x1, y1 (null: the whole photo).
    """
    path = prepare / FILE
    return pq.read_table(path) if path.is_file() else None


def crops_of(examples: pa.Table) -> tuple[Crops, np.ndarray]:
    """The distinct crops of a table of examples, and the crop of each example, int64 (n,)."""
    boxes = np.stack([pc.fill_null(examples[name], _WHOLE).to_numpy() for name in BOX], axis=1)
    ids = examples["image_id"].combine_chunks().dictionary_encode()
    names = ids.dictionary.to_numpy(zero_copy_only=False)
    order = np.argsort(names)  # as pyarrow sorts and Python compares
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    keys = np.column_stack([rank[ids.indices.to_numpy()].astype(np.float64), boxes])
    distinct, first, rows = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    chosen = examples.take(first)
    found = np.where(distinct[:, 1:] == _WHOLE, np.nan, distinct[:, 1:])
    digests = [
        sha if np.isnan(box[0]) else hashlib.sha256(f"{sha} {box.tolist()}".encode()).hexdigest()
        for sha, box in zip(chosen["sha256"].to_pylist(), found, strict=True)
    ]
    crops = Crops(chosen["image_id"].to_numpy(), chosen["path"].to_pylist(), digests, found)
    return crops, rows.reshape(-1)
