"""A marketplace whose search log is known: which queries go by a word, which by looks, and which by nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from contract.builder import SCHEMAS, jpeg

from shoplens.artifacts import write_artifact
from shoplens.contract.split import splits_of
from shoplens.files import write_json

START = datetime(2024, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Taste:
    """What decides whether a listing is liked for a query: a word in its tags, its looks, or neither."""

    query: str
    word: float = 0.0
    looks: float = 0.0
    sessions: int = 160


@dataclass(frozen=True)
class World:
    """Listings with a tag and looks: `cosy` (n,) has the tag, `looks` (n, 6) is what an encoder would see."""

    ids: list[str]
    cosy: np.ndarray
    looks: np.ndarray

    def rows(self) -> dict[str, Any]:
        """listings.parquet; every third listing shares its shop."""
        n = len(self.ids)
        return {
            "listing_id": self.ids,
            "shop_id": [f"shop-{i // 3}" for i in range(n)],
            "title": [f"stay number n{i:03d}" for i in range(n)],
            "tags": pa.array([["cosy"] if cosy else ["plain"] for cosy in self.cosy], pa.list_(pa.string())),
            "pool": [True] * n,
            "stars": ["1", "2"] * (n // 2),
        }


def make_world(listings: int = 80, seed: int = 0) -> World:
    """`listings` of them, half of them cosy, with looks independent of that."""
    rng = np.random.default_rng(seed)
    ids = sorted(f"listing-{i}" for i in range(listings))
    return World(ids, rng.random(listings) < 0.5, rng.normal(size=(listings, 6)))


def search_log(world: World, tastes: list[Taste], *, results: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """Sessions of two weeks in which the better of two neighbours tends to be bought; neighbours are fair pairs.

    Each session starts with a random order, so that only the listings themselves tell what will be bought.
    """
    rng = np.random.default_rng(seed)
    log: list[dict[str, Any]] = []
    for taste in tastes:
        liking = taste.word * (2.0 * world.cosy - 1) + taste.looks * world.looks[:, 0]
        for number in range(taste.sessions):
            shown = rng.choice(len(world.ids), results, replace=False)
            bought = rng.random(results) < 0.7 / (1 + np.exp(-3 * liking[shown]))
            moment = START + timedelta(days=14) * (number / taste.sessions)
            name = f"{taste.query}-{seed}-{number}"
            for place, listing in enumerate(shown.tolist()):
                log.append(impression(name, taste.query, moment, place + 1, world.ids[listing], bool(bought[place])))
    return log


def impression(
    session: str, query: str, moment: datetime, position: int, listing: str, bought: bool, fair: bool = True
) -> dict[str, Any]:
    """A row of the search log; positions (1, 2), (3, 4) ... are fair pairs."""
    return {
        "session_id": session,
        "query": query,
        "shown_at": moment,
        "position": position,
        "listing_id": listing,
        "clicked": bought,
        "dwell_s": 60.0 if bought else None,
        "carted": False,
        "purchased": bought,
        "fair_pair": (position - 1) // 2 if fair else None,
    }


def write_inputs(
    root: Path, world: World, log: list[dict[str, Any]] | None, embeddings: Mapping[str, np.ndarray], photos: int = 80
) -> dict[str, Path]:
    """The stage's inputs: a data folder with the log and a photo each for the first listings, a split, embeddings.

    Listings without a photo have no row in the embeddings.
    """
    data = root / "data"
    (data / "images").mkdir(parents=True)
    pq.write_table(pa.table(world.rows()), data / "listings.parquet")
    spec = {
        "name": "known",
        "contract": 1,
        "tasks": [{"name": "pool", "kind": "binary"}],
        "holdout": {"name": "stars", "kind": "multiclass"},
        "slices": [],
        "gallery": {"min": 1, "max": 9},
        "licence": "CC0-1.0",
    }
    (data / "dataset.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    (data / "images/a.jpg").write_bytes(jpeg(np.random.default_rng(0), (200, 40, 40), 200, 150))
    images = [
        {
            "image_id": f"i-{name}",
            "listing_id": name,
            "path": "images/a.jpg",
            "width": 200,
            "height": 150,
            "domain": "x",
        }
        for name in world.ids[:photos]
    ]
    pq.write_table(pa.Table.from_pylist(images, schema=SCHEMAS["images.parquet"]), data / "images.parquet")
    if log is not None:
        pq.write_table(pa.Table.from_pylist(log, schema=SCHEMAS["search_log.parquet"]), data / "search_log.parquet")
    with write_artifact(root / "prepare", "prepare", {"data": data}, {}) as folder:
        write_json(folder / "split.json", {"hash": "split-1"})
    write_embeddings(root, world, embeddings, photos)
    return {"data": data, "prepare": root / "prepare", "embed": root / "embed"}


def write_embeddings(root: Path, world: World, embeddings: Mapping[str, np.ndarray], photos: int = 80) -> None:
    """The embed artifact alone."""
    inputs = {"data": root / "data", "prepare": root / "prepare"}
    with write_artifact(root / "embed", "embed", inputs, {}) as folder:
        for name, values in embeddings.items():
            np.save(folder / f"{name}.npy", np.asarray(values, np.float32)[:photos])
        ids = world.ids[:photos]
        pq.write_table(
            pa.table({"listing_id": ids, "split": splits_of(ids), "photos": [1] * len(ids)}),
            folder / "listings.parquet",
        )
        write_json(folder / "embed.json", {name: f"weights of {name}" for name in embeddings})
