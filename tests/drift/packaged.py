"""A packaged encoder with its reference, and contract folders of the same marketplace and of another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from contract.builder import build_data, rows, write_rows

from shoplens.artifacts import write_artifact
from shoplens.contract.split import bucket, split_of
from shoplens.contract.store import PhotoStore
from shoplens.data.galleries import read_galleries
from shoplens.evaluation.embed import Embedder
from shoplens.files import write_json
from shoplens.models.bundle import load_bundle, save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.serving.reference import write_reference


def market(folder: Path, listings: int, seed: int, name: str, stars: str | None = None) -> Path:
    """A contract folder with shops of two listings, whose ids are its own; `stars` keeps only those listings."""
    data = build_data(folder, listings, seed=seed)
    homes, images = rows(data, "listings.parquet"), rows(data, "images.parquet")
    rng = np.random.default_rng(seed)
    for number, home in enumerate(homes):
        price = 20 * int(home["stars"] or 2) + 10 * rng.standard_normal()  # the builder's go by number, as splits do
        changes = {"price": price if rng.random() < 0.8 else None, "is_new": bool(rng.random() < 0.4)}
        home |= {"shop_id": f"{name}-shop-{number // 2}", **changes}
    homes = [home for home in homes if stars is None or home["stars"] == stars]
    kept = {home["listing_id"]: f"{name}-{home['listing_id']}" for home in homes}
    images = [image for image in images if image["listing_id"] in kept]
    for row in [*homes, *images]:
        row["listing_id"] = kept[row["listing_id"]]
    write_rows(data, "listings.parquet", homes)
    write_rows(data, "images.parquet", images)
    for absent in ("labels.parquet", "search_log.parquet"):
        (data / absent).unlink()
    return data


def builder_splits(data: Path) -> list[str]:
    """The splits of a market's listings, by their ids in the builder."""
    return [split_of(bucket(home["listing_id"].partition("-")[2])) for home in rows(data, "listings.parquet")]


@dataclass(frozen=True)
class Packaged:
    """Artifacts of a run on `data`, as far as drift reads them."""

    data: Path
    artifacts: Path
    weights: str

    @property
    def package(self) -> Path:
        return self.artifacts / "package"


def packaged(root: Path, data: Path, splits: Sequence[str], size: int = 32) -> Packaged:
    """Package ImageNet's features of `data`, without models or server.

    Args:
        root: where the artifacts go.
        data: the contract folder.
        splits: of its listings, in its order.
        size: of the encoder's pixels.
    """
    artifacts = root / "artifacts"
    homes, images = rows(data, "listings.parquet"), rows(data, "images.parquet")
    store, prepare, train = PhotoStore(data), artifacts / "prepare", artifacts / "train"
    photos: list[dict[str, Any]] = [
        {**image, "sha256": hashlib.sha256(store.read(image["path"])).hexdigest()} for image in images
    ]
    with write_artifact(prepare, "prepare", {"data": data}, {}) as folder:
        table = {"listing_id": [home["listing_id"] for home in homes], "split": list(splits)}
        pq.write_table(pa.table(table), folder / "listings.parquet")
        pq.write_table(pa.Table.from_pylist(photos), folder / "photos.parquet")
    with write_artifact(train, "train", {"data": data, "prepare": prepare}, {}) as folder:
        torch.manual_seed(0)
        transform = Transform(size=size)
        config = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=7, transform=transform, embedding_dim=None)
        encoder = PhotoEncoder(config, "package")
        weights = save_bundle(folder / "encoder", encoder, TaskHeads((), encoder.dim, 4), 4)
    galleries = read_galleries(prepare)
    encoder = load_bundle(train / "encoder").encoder
    embeddings = Embedder(encoder, store, "candidate", 1.0).galleries(galleries)[:, 0]
    embed = artifacts / "embed"
    with write_artifact(embed, "embed", {}, {}) as folder:
        np.save(folder / "candidate.npy", embeddings)
    with write_artifact(artifacts / "package", "package", {"train": train}, {}) as folder:
        write_reference(folder / "reference", data=data, prepare=prepare, embed=embed, weights=weights)
        (folder / "examples").mkdir()
        np.save(folder / "examples" / "served.npy", embeddings[galleries.split == "test"][:3])
        write_json(folder / "description.json", {"weights": weights})
    return Packaged(data, artifacts, weights)
