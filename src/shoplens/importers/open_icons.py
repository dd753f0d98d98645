"""`shoplens data import open-icons`: a contract folder of emojis as four vendors draw them.

An emoji is a listing, the vendors' drawings of its base form are its gallery, its Unicode group is the hold-out. Ids
and file names are hashes and all rows are in their order, so neither a name nor a place says anything about a label.
The searches are simulated (see `open_icons_searches`).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from shoplens.contract import columns as c
from shoplens.contract.store import SEPARATOR
from shoplens.errors import ShoplensError
from shoplens.files import check_replaceable, locked, replacing_folder, write_text
from shoplens.home import home
from shoplens.importers.open_icons_catalogue import Emoji, read_catalogue
from shoplens.importers.open_icons_download import fetch
from shoplens.importers.open_icons_drawings import Drawing, read_galleries
from shoplens.importers.open_icons_licences import LICENCE, write_licences
from shoplens.importers.open_icons_packages import EMOJIBASE, EMOJILIB, GOOGLE, PACKAGES
from shoplens.importers.open_icons_searches import read_keywords, search_log
from shoplens.importers.open_icons_tasks import HOLDOUT, SLICE, TASKS, era_of, task_columns
from shoplens.progress import say

NAME = "open-icons"
PER_SHARD = 1000
TYPES = {"binary": pa.bool_(), "multiclass": pa.string(), "regression": pa.float64()}


def listing_id_of(key: str) -> str:
    """A listing's id: a hash, because code points come in blocks that tell the group."""
    return "e" + hashlib.sha256(key.encode()).hexdigest()[:12]


def _write_listings(folder: Path, emojis: list[Emoji]) -> None:
    table = {
        c.LISTING_ID: pa.array([listing_id_of(emoji.key) for emoji in emojis]),
        c.SHOP_ID: pa.array([f"emoji-{emoji.version}" for emoji in emojis]),
        c.TITLE: pa.array([emoji.name for emoji in emojis]),
        c.TAGS: pa.array([list(emoji.keywords) for emoji in emojis], pa.list_(pa.string())),
        **{name: pa.array(labels, TYPES[TASKS[name]]) for name, labels in task_columns(emojis).items()},
        HOLDOUT: pa.array([emoji.group for emoji in emojis]),
        SLICE: pa.array([era_of(emoji) for emoji in emojis]),
        "code_points": pa.array([emoji.key for emoji in emojis]),
    }
    pq.write_table(pa.table(table), folder / c.LISTINGS_FILE)


def _write_images(folder: Path, galleries: list[tuple[str, list[Drawing]]]) -> None:
    """Tar shards with fixed headers, and their table; `galleries` is (listing_id, drawings) in the rows' order."""
    rows = [(f"{listing_id}-{drawing.domain}", listing_id, drawing) for listing_id, own in galleries for drawing in own]
    paths = []
    (folder / "images").mkdir()
    for start in range(0, len(rows), PER_SHARD):
        shard = f"images/{start // PER_SHARD:03}.tar"
        with tarfile.open(folder / shard, "w", format=tarfile.USTAR_FORMAT) as archive:
            for image_id, _, drawing in rows[start : start + PER_SHARD]:
                member = tarfile.TarInfo(f"{image_id}.{drawing.suffix}")
                member.size = len(drawing.content)
                archive.addfile(member, io.BytesIO(drawing.content))
                paths.append(f"{shard}{SEPARATOR}{member.name}")
    table = {
        c.IMAGE_ID: [image_id for image_id, _, _ in rows],
        c.LISTING_ID: [listing_id for _, listing_id, _ in rows],
        c.PATH: paths,
        c.WIDTH: pa.array([drawing.width for *_, drawing in rows], pa.int32()),
        c.HEIGHT: pa.array([drawing.height for *_, drawing in rows], pa.int32()),
        c.DOMAIN: [drawing.domain for *_, drawing in rows],
    }
    pq.write_table(pa.table(table), folder / c.IMAGES_FILE)


def _write_spec(folder: Path, sizes: list[int]) -> None:
    spec = {
        "name": NAME,
        "contract": 1,
        "tasks": [{"name": name, "kind": kind} for name, kind in TASKS.items()],
        "holdout": {"name": HOLDOUT, "kind": "multiclass"},
        "slices": [SLICE],
        "gallery": {"min": min(sizes), "max": max(sizes)},
        "licence": LICENCE,
    }
    write_text(folder / c.SPEC_FILE, yaml.safe_dump(spec, sort_keys=False))


def build_folder(folder: Path, tarballs: Mapping[str, Path]) -> None:
    """Fill the empty `folder` from the packages' tarballs (package name -> file).

    Raises:
        ShoplensError: if a tarball cannot be read, holds no drawing of any emoji, or resvg-py is missing.
    """
    emojis = read_catalogue(tarballs[EMOJIBASE.name], tarballs[GOOGLE.name])
    galleries = read_galleries(emojis, tarballs)
    drawn = sorted((emoji for emoji in emojis if emoji.key in galleries), key=lambda emoji: listing_id_of(emoji.key))
    if not drawn:
        raise ShoplensError("the packages hold no drawing of any emoji: delete the cached tarballs and import again")
    _write_listings(folder, drawn)
    _write_images(folder, [(listing_id_of(emoji.key), galleries[emoji.key]) for emoji in drawn])
    log = search_log(drawn, [listing_id_of(emoji.key) for emoji in drawn], read_keywords(tarballs[EMOJILIB.name]))
    if log is not None:
        pq.write_table(log, folder / c.SEARCH_LOG_FILE)
    _write_spec(folder, [len(galleries[emoji.key]) for emoji in drawn])
    write_licences(folder, tarballs)
    undrawn = f"; {len(emojis) - len(drawn)} emojis without any left out" if len(drawn) < len(emojis) else ""
    say(f"{len(drawn)} emojis, {sum(len(galleries[emoji.key]) for emoji in drawn)} drawings{undrawn}")


def import_open_icons(out: Path, cache: Path | None = None) -> None:
    """Write the contract folder `out` from pinned npm packages; `out` is either whole or as it was before.

    Args:
        out: the folder; an earlier import in it is replaced.
        cache: folder of downloaded tarballs (163 MB), default `downloads` in the home folder.

    Raises:
        ShoplensError: if `out` holds something else, a package cannot be had, or resvg-py is missing.
    """
    check_replaceable(out, c.SPEC_FILE, f"name: {NAME}\n")
    cache = cache or home() / "downloads"
    tarballs = {package.name: fetch(package, cache) for package in PACKAGES}
    with locked(out.parent / f".{out.name}.lock", f"{out}"), replacing_folder(out) as folder:
        build_folder(folder, tarballs)
    say(f"{out}: written; licences and attributions are in {out / 'LICENCES.md'}")
