"""Render the demo marketplace as a contract folder."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from shoplens.files import replacing_folder
from shoplens.params import WorldParams
from shoplens.progress import progress
from shoplens.world.gallery import LONGEST, SHORTEST, Photo, photos
from shoplens.world.image_sources import SOURCES, ProductPhoto, labels_table, product_photos
from shoplens.world.listing import Listing, draw_listing
from shoplens.world.search_log import search_log
from shoplens.world.tables import HOLDOUT, LEVELS, TASKS

SHARD = 2000
"""A tar is closed at the first listing that fills it with this many photos."""
CHUNK = 40
"""Listings or products a worker renders at a time."""
ALONE = 400
"""Up to this many of them, starting workers costs more than it saves."""
Rendered = TypeVar("Rendered")
_ARROW = {"binary": pa.bool_(), "multiclass": pa.string(), "regression": pa.float64()}


def dataset_yaml(sources: bool = False) -> dict[str, Any]:
    """The content of dataset.yaml, with the image sources or without."""
    return {
        "name": "demo-marketplace",
        "contract": 1,
        "tasks": [{"name": name, "kind": kind} for name, kind in TASKS],
        "holdout": {"name": HOLDOUT, "kind": "multiclass", "levels": list(LEVELS)},
        "slices": ["market"],
        "gallery": {"min": SHORTEST, "max": LONGEST},
        **({"sources": SOURCES} if sources else {}),
        "licence": "CC0-1.0",
    }


def listings_table(listings: list[Listing]) -> pa.Table:
    """listings.parquet, in the order given."""
    columns: dict[str, pa.Array] = {
        "listing_id": pa.array([x.listing_id for x in listings], pa.string()),
        "shop_id": pa.array([x.shop_id for x in listings], pa.string()),
        "title": pa.array([x.title for x in listings], pa.string()),
        "tags": pa.array([list(x.tags) for x in listings], pa.list_(pa.string())),
        "market": pa.array([x.facts.market for x in listings], pa.string()),
    }
    for name, kind in TASKS:
        columns[name] = pa.array([x.labels[name] for x in listings], _ARROW[kind])
    columns[HOLDOUT] = pa.array([x.stars for x in listings], pa.string())
    return pa.table(columns)


def draw_listings(params: WorldParams) -> list[Listing]:
    """All listings without their photos, sorted by id (a hash, so the order tells nothing)."""
    return sorted((draw_listing(params, number) for number in range(params.listings)), key=lambda x: x.listing_id)


def _render(job: tuple[list[int], WorldParams]) -> list[tuple[str, list[Photo]]]:
    numbers, params = job
    listings = [draw_listing(params, number) for number in numbers]
    return [(listing.listing_id, list(photos(listing, params))) for listing in listings]


def _render_products(job: tuple[list[int], WorldParams]) -> list[list[ProductPhoto]]:
    numbers, params = job
    return [list(product_photos(params.seed, number)) for number in numbers]


def _mapped(
    render: Callable[[tuple[list[int], WorldParams]], list[Rendered]],
    numbers: list[int],
    params: WorldParams,
    workers: int,
) -> Iterator[Rendered]:
    """What `render` makes of each number, in the order given, by `workers` processes."""
    jobs = [(numbers[start : start + CHUNK], params) for start in range(0, len(numbers), CHUNK)]
    if workers == 1 or len(numbers) <= ALONE:
        for job in jobs:
            yield from render(job)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        for chunk in pool.map(render, jobs):
            yield from chunk


class _Shards:
    """Writes photos into images/000.tar, 001.tar, ... whose bytes depend on the photos alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number, self._members = -1, SHARD
        self._tar: tarfile.TarFile | None = None

    def add(self, gallery: list[Photo]) -> list[str]:
        """Write one gallery (a gallery is never divided) and return its paths in the contract's form."""
        if self._tar is None or self._members >= SHARD:
            self.close()
            self._number, self._members = self._number + 1, 0
            self._tar = tarfile.open(self._folder / f"{self._number:03d}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        paths = []
        for photo in gallery:
            info = tarfile.TarInfo(f"{photo.image_id}.{photo.suffix}")
            info.size = len(photo.content)
            self._tar.addfile(info, io.BytesIO(photo.content))
            paths.append(f"images/{self._number:03d}.tar::{info.name}")
        self._members += len(gallery)
        return paths

    def close(self) -> None:
        """Finish the open tar, if any."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def _draw_products(params: WorldParams, workers: int) -> tuple[list[ProductPhoto], pa.Table]:
    """The photos of the image sources that have a label, by image id, and labels.parquet."""
    rendered = _mapped(_render_products, list(range(params.products)), params, workers)
    found = progress(rendered, "rendering products", total=params.products, unit="product")
    drawn = [photo for photos_of_one in found for photo in photos_of_one]
    labels = labels_table(params.seed, drawn)
    used = set(labels["image_id"].to_pylist())
    return sorted((x for x in drawn if x.photo.image_id in used), key=lambda x: x.photo.image_id), labels


def render_world(out: Path, params: WorldParams, workers: int | None = None) -> None:
    """Render the demo marketplace into the contract folder `out`, replacing it whole.

    Args:
        out: the folder to write: dataset.yaml, listings.parquet, images.parquet, images/NNN.tar, unless
            `sessions_per_listing` is 0 search_log.parquet, and unless `products` is 0 labels.parquet.
        params: seed, size and knobs. Equal parameters give equal bytes (same Pillow and numpy), whatever `workers`.
        workers: processes to render with; None for one a processor.
    """
    listings = draw_listings(params)
    rows: dict[str, list[Any]] = {name: [] for name in ("image_id", "listing_id", "path", "width", "height", "domain")}
    workers = workers or os.cpu_count() or 1

    def write(photos_of_one: list[Photo], listing_id: str | None, domain: str) -> None:
        for photo, path in zip(photos_of_one, shards.add(photos_of_one), strict=True):
            row = (photo.image_id, listing_id, path, photo.width, photo.height, domain)
            for name, value in zip(rows, row, strict=True):
                rows[name].append(value)

    with replacing_folder(out) as folder:
        (folder / "images").mkdir()
        shards = _Shards(folder / "images")
        try:
            rendered = _mapped(_render, [listing.number for listing in listings], params, workers)
            for listing_id, gallery in progress(rendered, "rendering listings", total=len(listings), unit="listing"):
                # By image id, so that a photo's place in the tar does not tell which scene it shows.
                write(sorted(gallery, key=lambda photo: photo.image_id), listing_id, "catalogue")
            if params.products:
                shards.close()  # Photos of products have tars of their own, and no product's photos lie together.
                products, labels = _draw_products(params, workers)
                pq.write_table(labels, folder / "labels.parquet")
                for photo in products:
                    write([photo.photo], None, photo.domain)
        finally:
            shards.close()
        schema = pa.schema(
            [(name, pa.int32() if name in ("width", "height") else pa.string()) for name in rows],
        )
        pq.write_table(pa.table(rows, schema=schema).sort_by("image_id"), folder / "images.parquet")
        pq.write_table(listings_table(listings), folder / "listings.parquet")
        log = search_log(params, listings)
        if log is not None:
            pq.write_table(log, folder / "search_log.parquet")
        (folder / "dataset.yaml").write_text(
            yaml.safe_dump(dataset_yaml(params.products > 0), sort_keys=False), encoding="utf-8"
        )
