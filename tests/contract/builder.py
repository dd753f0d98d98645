"""A small data folder for tests, valid unless a test breaks it.

`build_data` writes one; `rows` and `write_rows` take a table out as a list of dicts and put it back.
"""

import io
import itertools
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from shoplens.contract.split import bucket, split_of

SPEC: dict[str, Any] = {
    "name": "tiny",
    "contract": 1,
    "tasks": [
        {"name": "has_pool", "kind": "binary"},
        {"name": "scene", "kind": "multiclass"},
        {"name": "price", "kind": "regression"},
    ],
    "holdout": {"name": "stars", "kind": "multiclass", "levels": ["1", "2", "3"]},
    "slices": ["country", "is_new"],
    "gallery": {"min": 2, "max": 4},
    "sources": [{"name": "shop", "tasks": ["product"], "eval": {"task": "product", "metric": "p@1"}}],
    "licence": "CC0-1.0",
}

SCHEMAS = {
    "listings.parquet": pa.schema(
        {
            "listing_id": pa.string(),
            "shop_id": pa.string(),
            "title": pa.string(),
            "tags": pa.list_(pa.string()),
            "has_pool": pa.bool_(),
            "scene": pa.string(),
            "price": pa.float64(),
            "stars": pa.string(),
            "country": pa.string(),
            "is_new": pa.bool_(),
        }
    ),
    "images.parquet": pa.schema(
        {
            "image_id": pa.string(),
            "listing_id": pa.string(),
            "path": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "domain": pa.string(),
        }
    ),
    "search_log.parquet": pa.schema(
        {
            "session_id": pa.string(),
            "query": pa.string(),
            "shown_at": pa.timestamp("us", tz="UTC"),
            "position": pa.int64(),
            "listing_id": pa.string(),
            "clicked": pa.bool_(),
            "dwell_s": pa.float64(),
            "carted": pa.bool_(),
            "purchased": pa.bool_(),
            "fair_pair": pa.int64(),
        }
    ),
    "labels.parquet": pa.schema(
        {
            "source": pa.string(),
            "task": pa.string(),
            "label": pa.string(),
            "image_id": pa.string(),
            "role": pa.string(),
            "x0": pa.float64(),
            "y0": pa.float64(),
            "x1": pa.float64(),
            "y1": pa.float64(),
        }
    ),
}


def rows(data: Path, file: str) -> list[dict[str, Any]]:
    """A table's rows."""
    return pq.read_table(data / file).to_pylist()


def write_rows(data: Path, file: str, values: list[dict[str, Any]], schema: pa.Schema | None = None) -> None:
    """Write rows with the contract's types, or those of `schema`."""
    pq.write_table(pa.Table.from_pylist(values, schema=schema or SCHEMAS[file]), data / file)


def write_spec(data: Path, **changes: Any) -> None:
    """Write dataset.yaml: SPEC with `changes`."""
    (data / "dataset.yaml").write_text(yaml.safe_dump({**SPEC, **changes}), encoding="utf-8")


def jpeg(rng: np.random.Generator, colour: tuple[int, int, int], width: int, height: int) -> bytes:
    """A noisy photo around one colour."""
    pixels = np.clip(rng.normal(colour, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def listing_ids(count: int) -> list[str]:
    """Ids of which, in turn, four fall into training, one into validation and one into test."""
    names = map("listing-{}".format, itertools.count())
    waiting: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    chosen: list[str] = []
    turn = itertools.cycle(("train", "train", "validation", "train", "train", "test"))
    for split in itertools.islice(turn, count):
        while not waiting[split]:
            name = next(names)
            waiting[split_of(bucket(name))].append(name)
        chosen.append(waiting[split].pop(0))
    return chosen


def _listing(index: int, listing_id: str, rng: np.random.Generator) -> dict[str, Any]:
    stars = int(rng.integers(1, 4))
    return {
        "listing_id": listing_id,
        "shop_id": f"shop-{index % 5}",
        "title": f"stay number {index}",
        "tags": ["quiet", "sea"][: index % 3],
        "has_pool": bool(index % 2) if index % 7 else None,
        "scene": ["beach", "city"][index // 2 % 2],
        "price": 20.0 * stars + index if index % 5 else None,
        "stars": str(stars) if index % 4 else None,
        "country": ["fr", "de"][index % 2],
        "is_new": index % 3 == 0,
    }


def _search_log(shown: list[str], rng: np.random.Generator) -> list[dict[str, Any]]:
    start = datetime(2024, 5, 1, tzinfo=UTC)
    log = []
    for session in range(12):
        for position, chosen in enumerate(rng.choice(shown, 5, replace=False), start=1):
            clicked = position == 1 + session % 3
            log.append(
                {
                    "session_id": f"session-{session}",
                    "query": ["beach house", "city flat"][session % 2],
                    "shown_at": start + timedelta(hours=session),
                    "position": position,
                    "listing_id": str(chosen),
                    "clicked": clicked,
                    "dwell_s": float(rng.integers(5, 90)) if clicked else None,
                    "carted": clicked and session % 4 == 0,
                    "purchased": False,
                    "fair_pair": 1 if position in (2, 3) else None,
                }
            )
    return log


def build_data(folder: Path, listings: int = 30, side: int = 24, seed: int = 0) -> Path:
    """Write a valid data folder and return it.

    Brightness tells the stars, redness the pool, blueness the scene, so that something can be learned.

    Args:
        folder: must not exist.
        listings: at least 30, so that each split has at least 5.
        side: photo height in pixels; photos are a third wider.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    homes = [_listing(index, name, rng) for index, name in enumerate(listing_ids(listings))]
    images, labels = [], []
    size = {"width": side * 4 // 3, "height": side}
    with tarfile.open(folder / "images/000.tar", "w") as tar:

        def add(image_id: str, listing_id: str | None, colour: tuple[int, int, int], domain: str) -> None:
            content = jpeg(rng, colour, **size)
            if len(images) % 2:
                path = f"images/000.tar::{image_id}.jpg"
                info = tarfile.TarInfo(f"{image_id}.jpg")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                path = f"images/{image_id}.jpg"
                (folder / path).write_bytes(content)
            images.append({"image_id": image_id, "listing_id": listing_id, "path": path, **size, "domain": domain})

        for index, home in enumerate(homes):
            light = 60 * int(home["stars"] or 2)
            colour = (light + 40 * bool(home["has_pool"]), light, light + 40 * (home["scene"] == "city"))
            for photo in range(2 + index % 3):
                add(f"photo-{index}-{photo}", home["listing_id"], colour, "catalogue")
        for index in range(24):
            label, role = ["lamp", "vase"][index % 2], ["train", "query", "corpus"][index // 2 % 3]
            add(f"product-{index}", None, (200 * (index % 2), 120, 60), ["catalogue", "camera"][role == "query"])
            box = dict(zip(("x0", "y0", "x1", "y1"), (0.1, 0.1, 0.9, 0.8), strict=True)) if index % 4 else {}
            labels.append(
                {"source": "shop", "task": "product", "label": label, "image_id": f"product-{index}", "role": role}
                | {"x0": None, "y0": None, "x1": None, "y1": None}
                | box
            )
    write_spec(folder)
    write_rows(folder, "listings.parquet", homes)
    write_rows(folder, "images.parquet", images)
    write_rows(folder, "search_log.parquet", _search_log([home["listing_id"] for home in homes], rng))
    write_rows(folder, "labels.parquet", labels)
    return folder
