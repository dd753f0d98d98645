"""A hand-made marketplace: what a champion's package knows of it, and what came since."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from contract.builder import SPEC

from shoplens.contract.spec import DatasetSpec
from shoplens.drift.incoming import Listings
from shoplens.serving.reference import SHOP, Cloud, Facts, Reference

DIM = 8
OF_A_SHOP = 2


@dataclass(frozen=True)
class Moved:
    """How far the marketplace has moved, by what: shares, numbers, photos."""

    pools: float = 0.5
    no_price: float = 0.1
    price: float = 100.0
    new_scene: float = 0.0
    french: float = 0.6
    photos: float = 0.0
    french_photos: float = 0.0


HERE = Moved()


def listed(count: int, seed: int, moved: Moved = HERE) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Labels and slices of listings, their shops, and embeddings of their galleries."""
    rng = np.random.default_rng(seed)
    country = np.where(rng.random(count) < moved.french, "fr", "de")
    scenes = np.where(rng.random(count) < moved.new_scene, "castle", rng.choice(["beach", "city"], count))
    prices = moved.price * np.exp(0.4 * rng.standard_normal(count))
    table = {
        "has_pool": pa.array(rng.random(count) < moved.pools),
        "scene": pa.array(scenes.tolist()),
        "price": pa.array(prices, mask=rng.random(count) < moved.no_price),
        "stars": pa.array(rng.choice(["1", "2", "3"], count).tolist()),
        "country": pa.array(country.tolist()),
        "is_new": pa.array(rng.random(count) < 0.3),
    }
    embeddings = rng.standard_normal((count, DIM)) + moved.photos + moved.french_photos * (country == "fr")[:, None]
    return pa.table(table), np.arange(count) // OF_A_SHOP, embeddings.astype(np.float32)


def reference(trained: int = 600, held_out: int = 300, seed: int = 1) -> Reference:
    """What the champion was trained on, and saw of photos that it was not."""
    labels, shops, _ = listed(trained, seed)
    slices, homes, embeddings = listed(held_out, seed + 1000)
    queries = np.random.default_rng(seed).standard_normal((120, DIM)).astype(np.float32)
    return Reference(
        facts=Facts(weights="w1", spec=DatasetSpec.model_validate(SPEC), trained=trained),
        listings=labels.append_column(SHOP, pa.array(shops)),
        galleries=Cloud(embeddings, homes),
        slices=slices.append_column(SHOP, pa.array(homes)),
        searches={"shop": Cloud(queries, np.arange(120))},
        known=np.array([], np.uint64),
    )


def came(count: int = 300, seed: int = 2, **moved: float) -> Listings:
    """New listings."""
    table, shops, embeddings = listed(count, seed, replace(HERE, **moved))
    return Listings(table, shops, Cloud(embeddings, shops), table, ())
