"""Stage inputs made by hand: a contract folder of listings alone, a prepared split, embeddings with a known answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from shoplens.artifacts import write_artifact
from shoplens.files import write_json

PARTS = ("train", "train", "train", "train", "train", "train", "validation", "validation", "test", "test")


def split_of_rows(n: int) -> np.ndarray:
    """Six of ten listings train, two validate, two test."""
    return np.resize(np.array(PARTS), n)


def write_data(
    folder: Path,
    columns: Mapping[str, pa.Array],
    holdout: Mapping[str, Any],
    tasks: tuple[tuple[str, str], ...] = (("pool", "binary"),),
    slices: tuple[str, ...] = ("market",),
) -> Path:
    """A contract folder as far as the evaluations read it: dataset.yaml and listings.parquet (no photos).

    Args:
        folder: must not exist.
        columns: task, hold-out and slice columns, all of one length; a missing task column is all unknown.
        holdout: as in dataset.yaml.
        tasks: name and kind.
        slices: names.
    """
    folder.mkdir(parents=True)
    n = len(next(iter(columns.values())))
    types = {"binary": pa.bool_(), "multiclass": pa.string(), "regression": pa.float64()}
    table = {
        "listing_id": [f"L{i:04d}" for i in range(n)],
        "shop_id": ["shop"] * n,
        "title": ["stay"] * n,
        "tags": pa.array([[]] * n, pa.list_(pa.string())),
        **{name: pa.nulls(n, types[kind]) for name, kind in tasks},
        **{name: pa.array(["north", "south"] * (n // 2) + ["north"] * (n % 2)) for name in slices},
        **columns,
    }
    pq.write_table(pa.table(table), folder / "listings.parquet")
    spec = {
        "name": "hand-made",
        "contract": 1,
        "tasks": [{"name": name, "kind": kind} for name, kind in tasks],
        "holdout": dict(holdout),
        "slices": list(slices),
        "gallery": {"min": 1, "max": 9},
        "licence": "CC0-1.0",
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return folder


def write_prepare(data: Path, out: Path, split_hash: str = "split-1") -> Path:
    """A prepared split."""
    with write_artifact(out, "prepare", {"data": data}, {}) as folder:
        write_json(folder / "split.json", {"hash": split_hash})
    return out


def write_embed(inputs: Mapping[str, Path], out: Path, split: np.ndarray, embeddings: Mapping[str, np.ndarray]) -> Path:
    """Embeddings of all listings, a row a listing."""
    with write_artifact(out, "embed", inputs, {}) as folder:
        for name, values in embeddings.items():
            np.save(folder / f"{name}.npy", np.asarray(values, np.float32))
        listings = {"listing_id": [f"L{i:04d}" for i in range(len(split))], "split": split.tolist()}
        pq.write_table(pa.table(listings), folder / "listings.parquet")
    return out
