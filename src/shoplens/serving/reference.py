"""What a model was trained on and what it makes of photos that it never saw, in small: it travels in the package.

`shoplens drift` compares with it, on any machine that can reach the registry. Labels are those of training listings,
because they taught the model. Embeddings are those of validation and test listings and of held-out search queries: of
training photos a model makes more than of any others, so every new photo would look different from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shoplens.contract import columns as c
from shoplens.contract.spec import DatasetSpec, read_spec
from shoplens.contract.tables import read_listings
from shoplens.data.examples import crops_of, read_examples
from shoplens.data.galleries import read_galleries, rows_of
from shoplens.files import read_json, write_json
from shoplens.strict import StrictModel, parse

FOLDER = "reference"
LISTINGS = 5_000
EMBEDDINGS = 1_000
"""Of galleries, and of the queries of each image source."""
SHOP = "/shop"
"""A column of its own: no task or slice can have a slash in its name."""


class Facts(StrictModel):
    """reference.json: the weights that made the embeddings, and what the columns of the listings mean."""

    weights: str
    spec: DatasetSpec
    trained: int


@dataclass(frozen=True)
class Cloud:
    """Embeddings float32 (n, dim), and of each the cluster it came in: a shop, a label; int64 (n,)."""

    embeddings: NDArray[np.float32]
    clusters: NDArray[np.int64]


@dataclass(frozen=True)
class Reference:
    """What incoming data is compared with.

    Attributes:
        facts: see `Facts`; `trained` is the number of training listings, of which `listings` is a sample.
        listings: training listings: tasks, hold-out, slices, and `SHOP`, a number.
        galleries: held-out listings, with their slices in `slices`, in the same order.
        searches: held-out queries, by image source.
        known: `id_digests` of all listings that the model was trained or judged on, sorted.
    """

    facts: Facts
    listings: pa.Table
    galleries: Cloud
    slices: pa.Table
    searches: dict[str, Cloud]
    known: NDArray[np.uint64]


def id_digests(listing_ids: Iterable[str]) -> NDArray[np.uint64]:
    """Eight bytes of each id's sha256: enough to recognise an id, and none of it."""
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in listing_ids]
    return np.frombuffer(b"".join(digests), np.uint64).copy()


def write_reference(folder: Path, *, data: Path, prepare: Path, embed: Path, weights: str) -> None:
    """Write the reference of a run's candidate into a new folder. Equal inputs give equal bytes.

    Args:
        folder: to be made.
        data, prepare, embed: the run's.
        weights: digest of the weights that made the candidate's embeddings.
    """
    folder.mkdir(parents=True)
    spec, draw = read_spec(data), np.random.default_rng(0)
    listings = read_listings(data, spec)
    names = [*(task.name for task in spec.tasks), spec.holdout.name, *spec.slices]
    split = pq.read_table(prepare / "listings.parquet").sort_by("listing_id")
    trained = split.filter(pc.equal(split["split"], "train"))["listing_id"].to_numpy()
    _write_rows(folder / "listings.parquet", rows_of(listings, _some(draw, trained, LISTINGS)), names)

    galleries = read_galleries(prepare)
    chosen = _some(draw, np.flatnonzero(galleries.split != "train"), EMBEDDINGS)
    _write_embeddings(folder / "galleries.npy", embed / "candidate.npy", chosen)
    held_out = rows_of(listings, galleries.listing_ids[chosen])
    _write_rows(folder / "galleries.parquet", held_out, list(spec.slices))

    examples = read_examples(prepare)
    if examples is not None and spec.sources:
        held = examples.filter(pc.is_in(examples[c.ROLE], value_set=pa.array(["query", "corpus"])))
        crop = crops_of(held)[1]
        rows, sources, clusters = [], [], []
        for source in spec.sources:
            mine = pc.and_(pc.equal(held[c.SOURCE], source.name), pc.equal(held[c.TASK], source.eval.task))
            at = np.flatnonzero(pc.and_(mine, pc.equal(held[c.ROLE], "query")).to_numpy())
            at = _some(draw, at[np.unique(crop[at], return_index=True)[1]], EMBEDDINGS)
            rows.append(crop[at])
            sources += [source.name] * len(at)
            clusters.append(_numbered(held[c.LABEL].take(pa.array(at))))
        _write_embeddings(folder / "searches.npy", embed / "candidate_crops.npy", np.concatenate(rows))
        table = {"source": pa.array(sources, pa.string()), "label": pa.array(np.concatenate(clusters), pa.int64())}
        pq.write_table(pa.table(table), folder / "searches.parquet")
    np.save(folder / "known.npy", np.sort(id_digests(listings[c.LISTING_ID].to_pylist())))
    facts = Facts(weights=weights, spec=spec, trained=len(trained))
    write_json(folder / "reference.json", facts.model_dump(mode="json"))


def read_reference(folder: Path) -> Reference:
    """Read what `write_reference` wrote.

    Raises:
        ShoplensError: if it is missing (the model was packaged before there were references) or damaged.
    """
    facts = parse(Facts, read_json(folder / "reference.json"), str(folder / "reference.json"))
    listings, slices = (pq.read_table(folder / f"{name}.parquet") for name in ("listings", "galleries"))
    searches = {}
    if (folder / "searches.parquet").is_file():
        queries, embeddings = pq.read_table(folder / "searches.parquet"), _load(folder / "searches.npy")
        for source in pc.unique(queries["source"]).to_pylist():
            mine = pc.equal(queries["source"], source).to_numpy().astype(bool)
            searches[source] = Cloud(embeddings[mine], queries["label"].to_numpy()[mine])
    galleries = Cloud(_load(folder / "galleries.npy"), slices[SHOP].to_numpy())
    known = np.load(folder / "known.npy", allow_pickle=False)
    return Reference(facts, listings, galleries, slices, searches, known)


def _some(draw: np.random.Generator, items: np.ndarray, most: int) -> np.ndarray:
    """At most that many of the items, in their order."""
    return items if len(items) <= most else items[np.sort(draw.choice(len(items), most, replace=False))]


def _write_rows(path: Path, listings: pa.Table, names: list[str]) -> None:
    """Columns of listings, each once, with the shop as a number: its name is nobody's business."""
    columns = {name: listings[name] for name in names}
    pq.write_table(pa.table({SHOP: pa.array(_numbered(listings[c.SHOP_ID]), pa.int64()), **columns}), path)


def _numbered(column: pa.ChunkedArray) -> NDArray[np.int64]:
    _, numbers = np.unique(np.array(column.to_pylist(), dtype=object).astype(str), return_inverse=True)
    return numbers.astype(np.int64)


def _write_embeddings(path: Path, source: Path, rows: np.ndarray) -> None:
    embeddings = np.load(source, mmap_mode="r", allow_pickle=False)
    np.save(path, np.asarray(embeddings[rows], np.float32))


def _load(path: Path) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return found
