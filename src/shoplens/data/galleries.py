"""Galleries as the encoder wants them: listings, their split, and for each one the rows of its photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Galleries:
    """All listings that have a usable photo, in order of id, with their photos one gallery after the other.

    Attributes:
        listing_ids: str (G,).
        split: str (G,): train, validation or test.
        counts: int64 (G,): photos of each gallery.
        paths: photo paths (N,), gallery after gallery.
        digests: sha256 of each photo's bytes (N,).
        missing: listings without any usable photo.
    """

    listing_ids: np.ndarray
    split: np.ndarray
    counts: np.ndarray
    paths: list[str]
    digests: list[str]
    missing: int

    @property
    def starts(self) -> np.ndarray:
        """First photo row of each gallery, int64 (G,)."""
        first: np.ndarray = np.cumsum(self.counts) - self.counts
        return first

    def photo_rows(self, galleries: np.ndarray) -> np.ndarray:
        """Photo rows of the given galleries, one gallery after the other."""
        counts = self.counts[galleries]
        first = np.repeat(self.starts[galleries] - (np.cumsum(counts) - counts), counts)
        rows: np.ndarray = first + np.arange(counts.sum())
        return rows


def read_galleries(prepare: Path) -> Galleries:
    """Read the galleries that stage prepare left usable."""
    listings = pq.read_table(prepare / "listings.parquet").sort_by("listing_id")
    photos = pq.read_table(prepare / "photos.parquet").sort_by([("listing_id", "ascending"), ("image_id", "ascending")])
    owner = pc.index_in(photos["listing_id"], value_set=listings["listing_id"].combine_chunks()).to_numpy()
    counts = np.bincount(owner, minlength=len(listings))
    present = counts > 0
    return Galleries(
        listing_ids=listings["listing_id"].to_numpy()[present],
        split=listings["split"].to_numpy()[present],
        counts=counts[present].astype(np.int64),
        paths=photos["path"].to_pylist(),
        digests=photos["sha256"].to_pylist(),
        missing=int((~present).sum()),
    )


def rows_of(listings: pa.Table, listing_ids: np.ndarray) -> pa.Table:
    """The rows of `listings` for the given ids, in their order."""
    position = pc.index_in(
        pa.array(listing_ids.tolist(), pa.string()), value_set=listings["listing_id"].combine_chunks()
    )
    return listings.take(position)
