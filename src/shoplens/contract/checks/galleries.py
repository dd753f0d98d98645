"""Checks of listings against photos: gallery lengths, photos of unknown listings, photos that nobody uses."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract import columns as c
from shoplens.contract.checks.folder import Folder, has, places, rows_where
from shoplens.contract.findings import Finding, found_rows
from shoplens.contract.spec import DatasetSpec


def gallery_lengths(listings: pa.Table, images: pa.Table) -> np.ndarray:
    """The number of photos of each listing, in the order of the listings."""
    counts = pc.value_counts(images[c.LISTING_ID].drop_null())
    at = places(listings[c.LISTING_ID], pa.chunked_array([counts.field("values")]))
    return np.asarray(np.append(counts.field("counts").to_numpy(), 0)[at])


def check_galleries(folder: Folder) -> list[Finding]:
    """All checks that compare listings.parquet with images.parquet."""
    listings, images = folder.listings, folder.images
    findings: list[Finding] = []
    if has(listings, c.LISTING_ID) and has(images, c.LISTING_ID):
        findings += _check_lengths(listings, images, folder.spec)
        column = images[c.LISTING_ID]
        dangling = rows_where(column.is_valid())
        dangling = dangling[places(column, listings[c.LISTING_ID])[dangling] < 0]
        findings += found_rows(
            "listing-unknown",
            c.IMAGES_FILE,
            c.LISTING_ID,
            dangling,
            lambda row: f"{c.LISTINGS_FILE} has no listing {column[row].as_py()!r}",
        )
    if has(images, c.LISTING_ID, c.IMAGE_ID):
        alone = images[c.LISTING_ID].is_null()
        if has(folder.labels, c.IMAGE_ID):
            labelled = pc.is_in(images[c.IMAGE_ID], value_set=folder.labels[c.IMAGE_ID].combine_chunks())
            alone = pc.and_(alone, pc.invert(labelled))
        findings += found_rows(
            "image-unused",
            c.IMAGES_FILE,
            c.LISTING_ID,
            rows_where(alone),
            lambda row: f"photo {images[c.IMAGE_ID][row].as_py()!r} has neither a listing nor a label",
        )
    return findings


def _check_lengths(listings: pa.Table, images: pa.Table, spec: DatasetSpec | None) -> list[Finding]:
    ids = listings[c.LISTING_ID]
    lengths = gallery_lengths(listings, images)
    known = ids.is_valid().to_numpy()

    def describe(row: int) -> str:
        return f"listing {ids[row].as_py()!r} has {lengths[row]} photos"

    findings = found_rows("gallery-empty", c.LISTINGS_FILE, None, np.flatnonzero(known & (lengths == 0)), describe)
    if spec is not None:
        low, high = spec.gallery.min, spec.gallery.max
        small = np.flatnonzero(known & (lengths > 0) & (lengths < low))
        large = np.flatnonzero(known & (lengths > high))
        findings += found_rows(
            "gallery-small", c.LISTINGS_FILE, None, small, lambda row: f"{describe(row)}, fewer than {low}"
        )
        findings += found_rows(
            "gallery-large", c.LISTINGS_FILE, None, large, lambda row: f"{describe(row)}, more than {high}"
        )
    return findings
