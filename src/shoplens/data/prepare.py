"""Stage prepare: who trains, who validates, who tests, and which photos may be used for it.

Listings are split by the hash of their id (contract.split). Role wins over split: query and corpus photos never enter
a gallery of a training listing; train-role photos of validation or test listings are dropped. Training photos that
equal or nearly equal a test photo are left out, and all of them are listed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

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
from shoplens.data.photos import fingerprint, map_photos
from shoplens.data.tasks import describe_tasks
from shoplens.files import digest_json, write_json
from shoplens.params import PrepareParams
from shoplens.progress import counter, say

TOO_MANY = 0.05


def _roles(data: Path, image_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image: is it a query or corpus photo, is it a train-role photo (both False without labels.parquet)."""
    labels = read_labels(data)
    if labels is None:
        return np.zeros(len(image_ids), bool), np.zeros(len(image_ids), bool)
    ids = pa.array(image_ids)
    evaluation = labels.filter(pc.is_in(labels["role"], value_set=pa.array(["query", "corpus"])))["image_id"]
    training = labels.filter(pc.equal(labels["role"], "train"))["image_id"]
    return tuple(
        pc.is_in(ids, value_set=chosen.combine_chunks()).to_numpy(zero_copy_only=False)
        for chosen in (evaluation, training)
    )


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


def prepare(*, data: Path, validate: Path, out: Path, params: PrepareParams) -> None:
    """Write the split, the photos each part may use, the photos left out and why, and the tasks' training facts.

    Raises:
        ShoplensError: if the data was not validated, or there is no training, validation or test listing.
    """
    read_artifact(validate, "validate", {"data": data})
    require_valid(validate)
    spec = read_spec(data)
    listings = read_listings(data, spec).sort_by("listing_id")
    ids = listings["listing_id"].to_pylist()
    split = np.array(splits_of(ids))

    images = read_images(data).sort_by("image_id")
    images = images.filter(pc.is_valid(images["listing_id"]))
    owner = pc.index_in(images["listing_id"], value_set=listings["listing_id"].combine_chunks())
    photo_split = split[owner.to_numpy()]
    image_ids = images["image_id"].to_numpy()
    digests, thumbnails = _fingerprints(PhotoStore(data), images["path"].to_pylist())

    in_train, in_test = photo_split == "train", photo_split == "test"
    reasons = np.full(len(image_ids), "", dtype=object)
    like = np.full(len(image_ids), None, dtype=object)
    evaluation_role, train_role = _roles(data, image_ids)
    reasons[in_train & evaluation_role] = "query or corpus photo of a training listing"
    reasons[~in_train & train_role] = "train-role photo of a validation or test listing"

    test_rows, train_rows = np.flatnonzero(in_test), np.flatnonzero(in_train)
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
    emptied = np.setdiff1d(owner.to_numpy()[in_train], owner.to_numpy()[in_train & kept])
    split_rows = [[i, s] for i, s in zip(ids, split.tolist(), strict=True)]
    photos = pa.table(
        {
            "image_id": images["image_id"].filter(pa.array(kept)),
            "listing_id": images["listing_id"].filter(pa.array(kept)),
            "path": images["path"].filter(pa.array(kept)),
            "split": pa.array(photo_split[kept].tolist(), pa.string()),
            "sha256": pa.array(digests[kept].tolist(), pa.string()),
        }
    )
    left_out = pa.table(
        {
            "image_id": pa.array(image_ids[out_rows].tolist(), pa.string()),
            "reason": pa.array(reasons[out_rows].tolist(), pa.string()),
            "like": pa.array(like[out_rows].tolist(), pa.string()),
        }
    )
    counts = {
        "listings": {name: int((split == name).sum()) for name in ("train", "validation", "test")},
        "photos": {name: int((photo_split[kept] == name).sum()) for name in ("train", "validation", "test")},
        "left_out": {reason: int((reasons == reason).sum()) for reason in sorted(set(reasons[out_rows].tolist()))},
        "training_galleries_emptied": len(emptied),
    }
    with write_artifact(out, "prepare", {"data": data, "validate": validate}, params.model_dump()) as folder:
        pq.write_table(pa.table({"listing_id": ids, "split": split.tolist()}), folder / "listings.parquet")
        pq.write_table(photos, folder / "photos.parquet")
        pq.write_table(left_out, folder / "left_out.parquet")
        write_json(folder / "tasks.json", describe_tasks(spec, listings, split))
        split_hash = digest_json({"listings": split_rows, "left_out": sorted(left_out["image_id"].to_pylist())})
        write_json(folder / "split.json", {"hash": split_hash, **counts})
    say(f"{counts['listings']} listings, {len(out_rows)} photos left out, split {split_hash[:12]}")
