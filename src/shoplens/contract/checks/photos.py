"""Opening every photo once: is it there, does it decode, is its size as stated, does another split have its bytes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from shoplens.contract import columns as c
from shoplens.contract.checks.folder import Folder, codes, has, places
from shoplens.contract.checks.listings import listing_splits
from shoplens.contract.findings import Finding, found, found_rows
from shoplens.contract.pixels import FORMATS, MAX_PIXELS, BadPhoto, decode
from shoplens.contract.split import SPLITS
from shoplens.contract.store import SEPARATOR, PhotoError, PhotoStore
from shoplens.progress import progress

FILE = c.IMAGES_FILE
CHUNK = 128
TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

Depth = Literal["all", "headers"]


@dataclass(frozen=True)
class Photos:
    """What opening the photos showed, an entry a row of images.parquet.

    width, height (int32) and size (int64, bytes) are -1 where unknown; `content` numbers the distinct contents (-1
    unknown); `problems` maps a row to its check and message.
    """

    width: np.ndarray
    height: np.ndarray
    size: np.ndarray
    content: np.ndarray
    problems: dict[int, tuple[str, str]]


def _open_header(path: str, content: bytes) -> tuple[int, int]:
    """Upright width and height from the header alone."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112) in TURNED
    except Image.DecompressionBombError:
        raise PhotoError("photo-huge", f"photo {path}: far more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # Pillow raises a dozen types on hostile bytes, and each is a finding
        raise PhotoError("photo-unreadable", f"photo {path}: not a readable JPEG, PNG or WebP ({error})") from None
    if width * height > MAX_PIXELS:
        raise PhotoError("photo-huge", f"photo {path}: {width}x{height} pixels, more than {MAX_PIXELS:,}")
    return (height, width) if turned else (width, height)


def _open_photo(path: str, content: bytes, depth: Depth) -> tuple[int, int]:
    if depth == "headers":
        return _open_header(path, content)
    try:
        return decode(content).size
    except BadPhoto as error:
        _open_header(path, content)
        raise PhotoError("photo-unreadable", f"photo {path}: {error}") from None


def measure_photos(folder: Folder, depth: Depth) -> Photos | None:
    """Open every photo of images.parquet, in threads; None if the table or its paths cannot be read.

    Args:
        depth: "all" decodes every pixel, "headers" reads sizes only and so misses truncated photos.
    """
    if not has(folder.images, c.PATH):
        return None
    paths: list[str | None] = folder.images[c.PATH].to_pylist()
    store = PhotoStore(folder.data)
    sizes = np.full((3, len(paths)), -1, dtype=np.int64)
    digests = np.zeros((len(paths), 2), dtype=np.uint64)
    problems: dict[int, tuple[str, str]] = {}

    def measure(start: int) -> None:
        for row in range(start, min(start + CHUNK, len(paths))):
            path = paths[row]
            if not path:
                continue
            try:
                content = store.read(path)
                sizes[2, row] = len(content)
                digests[row] = np.frombuffer(blake2b(content, digest_size=16).digest(), dtype=np.uint64)
                sizes[:2, row] = _open_photo(path, content, depth)
            except PhotoError as error:
                problems[row] = (error.check, str(error))

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    starts = range(0, len(paths), CHUNK)
    with ThreadPoolExecutor(workers) as pool:
        for _ in progress(pool.map(measure, starts), "opening photos", total=len(starts), unit=f"x{CHUNK} photos"):
            pass
    _, content_number = np.unique(digests, axis=0, return_inverse=True)
    content_number = np.where(sizes[2] >= 0, content_number.reshape(-1), -1)
    return Photos(sizes[0].astype(np.int32), sizes[1].astype(np.int32), sizes[2], content_number, problems)


def check_photos(folder: Folder, photos: Photos | None) -> list[Finding]:
    """All checks of images.parquet that need the photos themselves."""
    if photos is None or folder.images is None:
        return []
    paths = folder.images[c.PATH]
    findings = _check_problems(photos, paths)
    code = codes(paths)
    known, first = np.unique(code, return_index=True)
    first_row = dict(zip(known.tolist(), first.tolist(), strict=True))
    later = np.setdiff1d(np.flatnonzero(code >= 0), first)
    findings += found_rows(
        "path-repeated",
        FILE,
        c.PATH,
        later,
        lambda row: f"{paths[row].as_py()!r} stands in row {first_row[int(code[row])]} already",
    )
    if has(folder.images, c.WIDTH, c.HEIGHT):
        width, height = (pc.fill_null(folder.images[name], 0).to_numpy() for name in (c.WIDTH, c.HEIGHT))
        stated = folder.images[c.WIDTH].is_valid().to_numpy() & folder.images[c.HEIGHT].is_valid().to_numpy()
        wrong = stated & (photos.width > 0) & ((photos.width != width) | (photos.height != height))
        findings += found_rows(
            "size-wrong",
            FILE,
            c.WIDTH,
            np.flatnonzero(wrong),
            lambda row: f"stated {width[row]}x{height[row]}, the photo has {photos.width[row]}x{photos.height[row]}",
        )
    return findings + _check_splits(folder, photos)


def _check_problems(photos: Photos, paths: pa.ChunkedArray) -> list[Finding]:
    by_check: dict[str, list[int]] = {}
    for row in sorted(photos.problems):
        by_check.setdefault(photos.problems[row][0], []).append(row)
    findings: list[Finding] = []
    for check, rows in by_check.items():
        if check == "tar-unreadable":
            tars: dict[str, list[int]] = {}
            for row in rows:
                tars.setdefault(paths[row].as_py().partition(SEPARATOR)[0], []).append(row)
            for group in tars.values():
                message = f"{photos.problems[group[0]][1]}; {len(group)} photos are affected"
                findings.append(found(check, FILE, message, row=group[0], column=c.PATH))
        else:
            findings += found_rows(check, FILE, c.PATH, np.array(rows), lambda row: photos.problems[row][1])
    return findings


def _check_splits(folder: Folder, photos: Photos) -> list[Finding]:
    images, listings = folder.images, folder.listings
    if not has(images, c.LISTING_ID) or not has(listings, c.LISTING_ID):
        return []
    at = places(images[c.LISTING_ID], listings[c.LISTING_ID])
    split = np.where(at >= 0, listing_splits(listings)[at], -1)
    usable = np.flatnonzero((split >= 0) & (photos.content >= 0))
    if not len(usable):
        return []
    most_held_out = np.full(int(photos.content.max()) + 1, -1)
    np.maximum.at(most_held_out, photos.content[usable], split[usable])
    copies = usable[split[usable] < most_held_out[photos.content[usable]]]
    return found_rows(
        "photo-across-splits",
        FILE,
        c.PATH,
        copies,
        lambda row: (
            f"a {SPLITS[split[row]]} listing's photo has the bytes of a {SPLITS[most_held_out[photos.content[row]]]} "
            f"listing's"
        ),
    )
