"""What came since: a contract folder's new listings, as the champion sees them, or a log of served requests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoplens.contract import columns as c
from shoplens.contract.spec import DatasetSpec, read_spec
from shoplens.contract.tables import read_images, read_listings
from shoplens.data.galleries import Galleries, rows_of
from shoplens.errors import ShoplensError
from shoplens.serving.reference import EMBEDDINGS, LISTINGS, Cloud, Reference, id_digests
from shoplens.serving.request_log import SUFFIX, read_requests

if TYPE_CHECKING:
    from shoplens.models.encoder import PhotoEncoder

EQUAL = 0.01
"""Embeddings that differ by less than this share of their length are of the same photos, on another machine."""


class NothingNew(ShoplensError):
    """All can be read, and nothing in it is news to the champion, or too little of it to compare."""


@dataclass(frozen=True)
class Listings:
    """New listings of a contract folder.

    Attributes:
        table: a sample of them: tasks, hold-out and slices, as far as the folder has them.
        shops: int64 (n,), the shop of each.
        galleries: the champion's embeddings of a sample of their galleries.
        slices: of the listings of `galleries`.
        notes: what was left out.
    """

    table: pa.Table
    shops: NDArray[np.int64]
    galleries: Cloud
    slices: pa.Table
    notes: tuple[str, ...]


def read_new_listings(data: Path, reference: Reference, encoder: PhotoEncoder, seed: int, cache_gib: float) -> Listings:
    """The listings of `data` that the champion's data did not have, labelled and embedded.

    Args:
        data: a contract folder.
        reference: what it will be compared with.
        encoder: the champion's.
        seed: of the samples.
        cache_gib: bound of the cache of activations.

    Raises:
        ShoplensError: if the folder cannot be read, or means something else by a column.
        NothingNew: if the champion's data had all of its listings.
    """
    spec = read_spec(data)
    _check_columns(data, spec, reference.facts.spec)
    listings = read_listings(data, spec).sort_by(c.LISTING_ID)
    new = ~np.isin(id_digests(listings[c.LISTING_ID].to_pylist()), reference.known)
    if not new.any():
        raise NothingNew(f"{data}: the champion's data had all of its {len(new)} listings, so nothing is new")
    notes = [f"{data}: {int(new.sum())} new listings"]
    if not new.all():
        notes.append(f"{data}: {int((~new).sum())} listings are left out, the champion's data had them")
    draw = np.random.default_rng(seed)
    listings = listings.filter(pa.array(new))
    sample = listings.take(pa.array(_some(draw, len(listings), LISTINGS)))
    galleries = _galleries(data, listings, draw)
    embedded = rows_of(listings, galleries.listing_ids)
    embeddings = _embed(data, galleries, encoder, cache_gib)
    return Listings(sample, _shops(sample), Cloud(embeddings, _shops(embedded)), embedded, tuple(notes))


def check_log(log: Path) -> None:
    """Refuse a folder that cannot be a log of requests; an empty one is, of no request yet.

    Raises:
        ShoplensError: if it is missing, or holds other files only.
    """
    if not log.is_dir():
        raise ShoplensError(f"{log} is missing: `shoplens serve` keeps a log there once it is asked something")
    found = [path for path in log.iterdir() if path.name != "lost+found"]  # which a new volume has
    if found and not any(path.suffix == SUFFIX for path in found):
        raise ShoplensError(f"{log} holds no log of requests: name the folder that `shoplens serve` keeps it in")


def read_new_requests(
    log: Path, reference: Reference, examples: NDArray[np.float32]
) -> tuple[dict[str, Cloud], list[str]]:
    """The latest requests to the champion, by kind, and what was left out.

    Requests about photos that the reference has, or that a deployment is checked by, are no news and left out.

    Args:
        log: the folder that `shoplens serve` writes.
        reference: what they will be compared with.
        examples: embeddings of the package's examples.

    Raises:
        NothingNew: if no request of the champion is in it.
    """
    found, others = read_requests(log, reference.facts.weights)
    if not found:
        raise NothingNew(
            f"{log}: no request of the champion is logged" + (f", {others} of other versions" if others else "")
        )
    notes = [f"{log}: {others} requests of other versions are left out"] if others else []
    clouds = {}
    for kind, requests in found.items():
        stored = examples if kind == "gallery" else np.empty((0, examples.shape[1]), np.float32)
        cloud = compared_with(kind, reference)
        stored = stored if cloud is None else np.concatenate([stored, cloud.embeddings])
        fresh = requests.embeddings[~_near(requests.embeddings, stored)]
        if len(fresh) < len(requests.embeddings):
            left = len(requests.embeddings) - len(fresh)
            notes.append(f"{log}: {left} requests ({kind}) are left out, the reference or a check has these photos")
        if len(fresh) > EMBEDDINGS:
            notes.append(f"{log}: the latest {EMBEDDINGS} of {len(fresh)} requests ({kind}) are compared")
        fresh = _distinct(fresh[-EMBEDDINGS:])
        clouds[kind] = Cloud(fresh, np.arange(len(fresh)))
    return clouds, notes


def compared_with(kind: str, reference: Reference) -> Cloud | None:
    """What requests of a kind are compared with: galleries, or the held-out queries of a source."""
    if kind == "gallery":
        return reference.galleries
    return reference.searches.get(kind.removeprefix("search/"))


def _check_columns(data: Path, spec: DatasetSpec, trained: DatasetSpec) -> None:
    """The same column must mean the same."""
    kinds, before = (
        {**{task.name: task.kind for task in one.tasks}, one.holdout.name: one.holdout.kind} for one in (spec, trained)
    )
    for name in sorted({*kinds} & {*before}):
        if kinds[name] != before[name]:
            raise ShoplensError(
                f"{data / c.SPEC_FILE}: {name} is {kinds[name]} here and was {before[name]} in the champion's data: "
                "give one of them another name"
            )


def _some(draw: np.random.Generator, count: int, most: int) -> NDArray[np.int64]:
    return np.sort(draw.permutation(count)[:most])


def _shops(listings: pa.Table) -> NDArray[np.int64]:
    _, numbers = np.unique(listings[c.SHOP_ID].to_numpy(), return_inverse=True)
    return numbers.astype(np.int64)


def _galleries(data: Path, listings: pa.Table, draw: np.random.Generator) -> Galleries:
    """A sample of the listings that have photos."""
    from shoplens.contract.store import PhotoStore

    images = read_images(data)
    images = images.filter(pc.is_in(images[c.LISTING_ID], value_set=listings[c.LISTING_ID].combine_chunks()))
    owners = np.unique(images[c.LISTING_ID].to_numpy())
    chosen = owners[_some(draw, len(owners), EMBEDDINGS)]
    images = images.filter(pc.is_in(images[c.LISTING_ID], value_set=pa.array(chosen.tolist(), pa.string())))
    images = images.sort_by([(c.LISTING_ID, "ascending"), (c.IMAGE_ID, "ascending")])
    _, counts = np.unique(images[c.LISTING_ID].to_numpy(), return_counts=True)
    paths, store = images[c.PATH].to_pylist(), PhotoStore(data)
    digests = [hashlib.sha256(store.read(path)).hexdigest() for path in paths]
    none = np.array([""] * len(chosen), dtype=object)
    return Galleries(chosen, none, counts.astype(np.int64), paths, digests, missing=len(listings) - len(owners))


def _embed(data: Path, galleries: Galleries, encoder: PhotoEncoder, cache_gib: float) -> NDArray[np.float32]:
    from shoplens.contract.store import PhotoStore
    from shoplens.evaluation.embed import Embedder
    from shoplens.models.memory import keep_freed_pages

    if not len(galleries.listing_ids):
        return np.empty((0, encoder.dim), np.float32)
    keep_freed_pages()
    made = Embedder(encoder, PhotoStore(data), "champion", cache_gib).galleries(galleries)
    return np.asarray(made[:, 0], np.float32)


def _distinct(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows without those that equal an earlier one but for rounding, as the same photos in another batch give."""
    kept = [at for at in range(len(rows)) if not _near(rows[at : at + 1], rows[:at]).any()]
    return rows[kept]


def _near(rows: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each row equals a stored one but for rounding."""
    lengths, found = np.linalg.norm(stored, axis=1), np.zeros(len(rows), bool)
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        squares = np.einsum("nd,nd->n", part, part)[:, None] - 2 * (part @ stored.T) + lengths**2
        found[start : start + 4096] = (squares <= (EQUAL * lengths) ** 2).any(axis=1)
    return found
