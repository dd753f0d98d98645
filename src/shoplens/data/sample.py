"""A smaller contract folder for a quicker run: some listings, chosen by their ids, with all that belongs to them."""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from shoplens.contract import columns as c
from shoplens.contract.spec import read_spec
from shoplens.contract.store import SEPARATOR
from shoplens.errors import ShoplensError
from shoplens.files import replacing_folder, write_text
from shoplens.progress import say


def chosen_listings(listing_ids: list[str], count: int) -> set[str]:
    """The `count` listings whose ids have the smallest sha256 with the prefix `sample:`.

    The choice knows nothing but the ids, so it is the same on every machine; a smaller sample is part of a larger one,
    and the prefix makes it independent of the split.
    """
    return set(sorted(listing_ids, key=lambda listing_id: sha256(f"sample:{listing_id}".encode()).digest())[:count])


def sample_folder(data: Path, out: Path, count: int) -> None:
    """Write a contract folder with `count` of the listings, or all if there are fewer.

    Photos of listings, impressions and labels go with their listings; photos without a listing stay, with their
    labels. A fair pair that lost one of its two impressions is none any more. Photos are linked where the file system
    can, else copied. The folder's dataset.yaml says in its name that it is a sample, so reports and registry do.

    Args:
        data: a contract folder.
        out: written whole.
        count: of listings, at least 1.

    Raises:
        ShoplensError: if `data` has no dataset.yaml, or a table or photo is missing.
    """
    read_spec(data)
    tables = {file: _table(data / file) for file in (c.LISTINGS_FILE, c.IMAGES_FILE)}
    optional = {f: _table(data / f) for f in (c.SEARCH_LOG_FILE, c.LABELS_FILE) if (data / f).is_file()}
    listings, images = tables[c.LISTINGS_FILE], tables[c.IMAGES_FILE]
    chosen = chosen_listings(listings[c.LISTING_ID].to_pylist(), count)
    kept = pa.array(sorted(chosen), pa.string())
    listings = listings.filter(pc.is_in(_text(listings[c.LISTING_ID]), kept))
    owners = _text(images[c.LISTING_ID])
    images = images.filter(pc.or_(pc.is_null(owners), pc.is_in(owners, kept)))
    with replacing_folder(out) as folder:
        pq.write_table(listings, folder / c.LISTINGS_FILE)
        pq.write_table(images, folder / c.IMAGES_FILE)
        if c.SEARCH_LOG_FILE in optional:
            log = optional[c.SEARCH_LOG_FILE]
            log = log.filter(pc.is_in(_text(log[c.LISTING_ID]), kept))
            pq.write_table(_whole_pairs(log), folder / c.SEARCH_LOG_FILE)
        if c.LABELS_FILE in optional:
            labels = optional[c.LABELS_FILE]
            known = pc.unique(_text(images[c.IMAGE_ID]))
            pq.write_table(labels.filter(pc.is_in(_text(labels[c.IMAGE_ID]), known)), folder / c.LABELS_FILE)
        for file in sorted({path.split(SEPARATOR)[0] for path in images[c.PATH].to_pylist()}):
            _link(data / file, folder / file)
        spec = yaml.safe_load((data / c.SPEC_FILE).read_text(encoding="utf-8"))
        spec["name"] = f"{spec['name']} (sample of {len(listings)} listings)"
        write_text(folder / c.SPEC_FILE, yaml.safe_dump(spec, sort_keys=False, allow_unicode=True))
    say(f"sample: {len(listings)} of {len(tables[c.LISTINGS_FILE])} listings, {len(images)} photos")


def _table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise ShoplensError(f"{path} is missing: name a contract folder (docs/data.md)") from None


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())


def _whole_pairs(log: pa.Table) -> pa.Table:
    """The log with fair_pair only where both impressions of the pair are left."""
    if c.FAIR_PAIR not in log.column_names:
        return log
    pair = log[c.FAIR_PAIR]
    keys = pa.table({c.SESSION_ID: _text(log[c.SESSION_ID]), c.FAIR_PAIR: pair, "row": np.arange(len(log))})
    counts = keys.group_by([c.SESSION_ID, c.FAIR_PAIR]).aggregate([("row", "count"), ("row", "list")])
    both = counts.filter(pc.equal(counts["row_count"], 2))["row_list"]
    mask = np.zeros(len(log), bool)
    mask[np.asarray(pc.list_flatten(both), np.int64)] = True
    whole = pc.if_else(pa.array(mask), pair, pa.scalar(None, pair.type))
    return log.set_column(log.column_names.index(c.FAIR_PAIR), c.FAIR_PAIR, whole)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except FileNotFoundError:
        raise ShoplensError(f"{source} is missing: images.parquet names it; correct the row or add the photo") from None
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
