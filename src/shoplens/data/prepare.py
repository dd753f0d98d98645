"""Stage prepare: who trains, who validates, who tests, and which photos may be used for it.

Listings are split by the hash of their id (contract.split). Role wins over split: query and corpus photos never enter
a gallery of a training listing; train-role photos of validation or test listings are dropped. Photos without a listing
are split by the hash of their own id: those in the validation bucket validate their source, the others train it, and
queries and corpus test it. Training photos that equal or nearly equal a test photo are left out, and all are listed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.spec import read_spec
from shoplens.contract.split import splits_of
from shoplens.contract.store import PhotoStore
from shoplens.contract.tables import read_images, read_labels, read_listings
from shoplens.contract.validate import require_valid
from shoplens.data.duplicates import Matches, find_matches
from shoplens.data.examples import BOX, FILE
from shoplens.data.photos import fingerprint, map_photos
from shoplens.data.tasks import describe_tasks
from shoplens.files import digest_json, write_json
from shoplens.params import PrepareParams
from shoplens.progress import counter, say

TOO_MANY = 0.05


@dataclass(frozen=True)
class _Photos:
    """The photos that a listing or an image source uses, in order of id.

    Attributes:
        table: their rows of images.parquet.
        owner: int64 (n,), the listing's row; -1 without a listing.
        split: str (n,), the listing's split, or the photo's own.
        evaluation, training: bool (n,), whether a source has it as a query or in its corpus, or trains on it.
    """

    table: pa.Table
    owner: np.ndarray
    split: np.ndarray
    evaluation: np.ndarray
    training: np.ndarray

    @property
    def ids(self) -> np.ndarray:
        """Str (n,)."""
        ids: np.ndarray = self.table["image_id"].to_numpy()
        return ids

    @property
    def fitted(self) -> np.ndarray:
        """Bool (n,): trains a gallery or a source."""
        chosen: np.ndarray = (self.split == "train") & np.where(self.owner >= 0, True, self.training)
        return chosen

    @property
    def tested(self) -> np.ndarray:
        """Bool (n,): in a test listing, a query or in a corpus."""
        chosen: np.ndarray = ((self.split == "test") & (self.owner >= 0)) | self.evaluation
        return chosen


def _photos(data: Path, listing_ids: pa.Array, split: np.ndarray, labels: pa.Table | None) -> _Photos:
    images = read_images(data).sort_by("image_id")
    role_of = {"evaluation": ["query", "corpus"], "training": ["train"]}
    empty = pa.array([], pa.string())
    labelled = {
        name: empty
        if labels is None
        else labels.filter(pc.is_in(labels["role"], value_set=pa.array(roles)))["image_id"].combine_chunks()
        for name, roles in role_of.items()
    }
    used = images["listing_id"].is_valid()
    for ids in labelled.values():
        used = pc.or_(used, pc.is_in(images["image_id"], value_set=ids))
    images = images.filter(used)
    owner = pc.fill_null(pc.index_in(images["listing_id"], value_set=listing_ids), -1).to_numpy().astype(np.int64)
    own = np.array(splits_of(images["image_id"].filter(pa.array(owner < 0)).to_pylist()), dtype=object)
    of_photo = np.empty(len(images), dtype=object)
    of_photo[owner >= 0] = split[owner[owner >= 0]]
    of_photo[owner < 0] = np.where(own == "validation", own, "train")  # what tests is said by its role
    flags = {
        name: pc.is_in(images["image_id"], value_set=ids).to_numpy().astype(bool) for name, ids in labelled.items()
    }
    return _Photos(images, owner, of_photo, **flags)


def _fingerprints(store: PhotoStore, paths: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """sha256 (n,) and thumbnails (n, 32, 32) of photos, with progress."""

    def rows() -> Iterator[tuple[str, np.ndarray]]:
        with counter("Reading photos", total=len(paths), unit="photo") as bar:
            for start in range(0, len(paths), 1024):
                part = paths[start : start + 1024]
                yield from map_photos(lambda path: fingerprint(store, path), part)
                bar.update(len(part))

    digests, thumbnails = zip(*rows(), strict=True)
    return np.array(digests), np.stack(thumbnails)


def _tightest_setting(matches: Matches, params: PrepareParams, photos: int) -> str:
    """The largest hash distance (then the nearest correlation) that leaves out at most 5% of the training photos."""
    correlations = [params.duplicate_correlation, 0.99, 0.995, 0.999, 0.9999]
    for bits, correlation in itertools.product(range(params.duplicate_bits, -1, -1), sorted(set(correlations))):
        if correlation >= params.duplicate_correlation:
            share = len(matches.left_out(bits, correlation)) / photos
            if share <= TOO_MANY:
                return f"duplicate_bits: {bits}, duplicate_correlation: {correlation} leaves out {share:.1%}"
    return "no setting leaves out less: the byte-equal photos alone are that many"


def _examples(labels: pa.Table, photos: _Photos, kept: np.ndarray, digests: np.ndarray) -> pa.Table:
    """labels.parquet with paths and digests, without what may not train; validation is a role of its own."""
    at = pc.index_in(labels["image_id"], value_set=photos.table["image_id"].combine_chunks()).to_numpy()
    trains = pc.equal(labels["role"], "train").to_numpy().astype(bool)
    role = np.where(trains, photos.split[at], labels["role"].to_numpy())
    usable = pa.array(kept[at] | ~trains)
    columns = {
        **{name: labels[name] for name in ("source", "task", "label")},
        "role": pa.array(role.tolist(), pa.string()),
        "image_id": labels["image_id"],
        "path": photos.table["path"].take(pa.array(at)),
        "sha256": pa.array(digests[at].tolist(), pa.string()),
        **{name: labels[name] for name in BOX},
    }
    order = ("source", "task", "role", "image_id", *BOX, "label")
    return pa.table(columns).filter(usable).sort_by([(name, "ascending") for name in order])


def _count_examples(examples: pa.Table) -> dict[str, dict[str, int]]:
    """Source -> role -> rows."""
    found: dict[str, dict[str, int]] = {}
    counts = examples.group_by(["source", "role"]).aggregate([([], "count_all")])
    for row in counts.sort_by([("source", "ascending"), ("role", "ascending")]).to_pylist():
        found.setdefault(row["source"], {})[row["role"]] = row["count_all"]
    return found


def prepare(*, data: Path, validate: Path, out: Path, params: PrepareParams) -> None:
    """Write the split, the photos and examples each part may use, the photos left out and why, and the tasks' facts.

    Raises:
        ShoplensError: if the data was not validated, or there is no training, validation or test listing.
    """
    read_artifact(validate, "validate", {"data": data})
    require_valid(validate)
    spec = read_spec(data)
    listings = read_listings(data, spec).sort_by("listing_id")
    ids = listings["listing_id"].to_pylist()
    split = np.array(splits_of(ids))
    labels = read_labels(data)
    photos = _photos(data, listings["listing_id"].combine_chunks(), split, labels)
    listed, image_ids = photos.owner >= 0, photos.ids
    digests, thumbnails = _fingerprints(PhotoStore(data), photos.table["path"].to_pylist())

    reasons = np.full(len(image_ids), "", dtype=object)
    like = np.full(len(image_ids), None, dtype=object)
    in_train = listed & (photos.split == "train")
    reasons[in_train & photos.evaluation] = "query or corpus photo of a training listing"
    reasons[listed & ~in_train & photos.training] = "train-role photo of a validation or test listing"

    test_rows, train_rows = np.flatnonzero(photos.tested), np.flatnonzero(photos.fitted & (reasons == ""))
    matches = find_matches(thumbnails[train_rows], thumbnails[test_rows], params.duplicate_bits)
    near = matches.left_out(params.duplicate_bits, params.duplicate_correlation)
    chosen = (matches.distance <= params.duplicate_bits) & (matches.correlation > params.duplicate_correlation)
    partner = dict(zip(matches.train[chosen].tolist(), matches.test[chosen].tolist(), strict=True))
    for position in near.tolist():
        reasons[train_rows[position]] = "nearly equal to a test photo"
        like[train_rows[position]] = image_ids[test_rows[partner[position]]]
    first_test = dict(zip(digests[test_rows][::-1].tolist(), image_ids[test_rows][::-1].tolist(), strict=True))
    for row in train_rows[np.isin(digests[train_rows], digests[test_rows])].tolist():
        reasons[row] = "equal in bytes to a test photo"
        like[row] = first_test[str(digests[row])]

    out_rows = np.flatnonzero(reasons != "")
    duplicates = int(np.sum([value is not None for value in like]))
    if duplicates > TOO_MANY * max(1, len(train_rows)):
        say(
            f"{duplicates} of {len(train_rows)} training photos ({duplicates / len(train_rows):.1%}) equal or nearly "
            f"equal a test photo; {_tightest_setting(matches, params, len(train_rows))}"
        )
    kept = reasons == ""
    emptied = np.setdiff1d(photos.owner[in_train], photos.owner[in_train & kept])
    split_rows = [[i, s] for i, s in zip(ids, split.tolist(), strict=True)]
    gallery = kept & listed
    table = photos.table.filter(pa.array(gallery))
    usable = pa.table(
        {
            "image_id": table["image_id"],
            "listing_id": table["listing_id"],
            "path": table["path"],
            "split": pa.array(photos.split[gallery].tolist(), pa.string()),
            "sha256": pa.array(digests[gallery].tolist(), pa.string()),
        }
    )
    left_out = pa.table(
        {
            "image_id": pa.array(image_ids[out_rows].tolist(), pa.string()),
            "reason": pa.array(reasons[out_rows].tolist(), pa.string()),
            "like": pa.array(like[out_rows].tolist(), pa.string()),
        }
    )
    counts: dict[str, Any] = {
        "listings": {name: int((split == name).sum()) for name in ("train", "validation", "test")},
        "photos": {name: int((photos.split[gallery] == name).sum()) for name in ("train", "validation", "test")},
        "left_out": {reason: int((reasons == reason).sum()) for reason in sorted(set(reasons[out_rows].tolist()))},
        "training_galleries_emptied": len(emptied),
    }
    hashed = {"listings": split_rows, "left_out": sorted(left_out["image_id"].to_pylist())}
    with write_artifact(out, "prepare", {"data": data, "validate": validate}, params.model_dump()) as folder:
        if labels is not None:
            examples = _examples(labels, photos, kept, digests)
            pq.write_table(examples, folder / FILE)
            counts["examples"] = _count_examples(examples)
            hashed["examples"] = examples.drop_columns(["path"]).to_pylist()
        pq.write_table(pa.table({"listing_id": ids, "split": split.tolist()}), folder / "listings.parquet")
        pq.write_table(usable, folder / "photos.parquet")
        pq.write_table(left_out, folder / "left_out.parquet")
        write_json(folder / "tasks.json", describe_tasks(spec, listings, split))
        split_hash = digest_json(hashed)
        write_json(folder / "split.json", {"dataset": spec.name, "hash": split_hash, **counts})
    sources = "".join(f", {name} {found}" for name, found in counts.get("examples", {}).items())
    say(f"{counts['listings']} listings{sources}, {len(out_rows)} photos left out, split {split_hash[:12]}")
