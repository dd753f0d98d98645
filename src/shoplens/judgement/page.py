"""The page that a worker opens: one file, photos included, which works offline and keeps answers in the browser."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from PIL import Image

from shoplens.contract.pixels import BadPhoto, cut, decode
from shoplens.contract.store import PhotoStore
from shoplens.data.photos import map_photos
from shoplens.errors import ShoplensError
from shoplens.judgement.questions import Pair
from shoplens.judgement.results import Box, Item

SIDE = 360
"""Longest side of a photo on the page in pixels; smaller ones stay as they are."""
QUALITY = 85


def judge_page(run: str, ask: str, ids: Sequence[str], pairs: Sequence[Pair], photos: Mapping[Item, bytes]) -> str:
    """The page as HTML. It holds neither unit ids nor models, only the questions' own ids.

    Args:
        run: under which the browser keeps the answers.
        ask: the question put to the worker, as text.
        ids: (n,) question ids.
        pairs: (n,) what is shown.
        photos: JPEG of each item of the pairs.
    """
    from jinja2 import Environment, StrictUndefined

    place = {item: at for at, item in enumerate(photos)}
    job = {
        "run": run,
        "photos": ["data:image/jpeg;base64," + base64.b64encode(content).decode() for content in photos.values()],
        "questions": [[name, place[pair.query], place[pair.result]] for name, pair in zip(ids, pairs, strict=True)],
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files("shoplens.judgement").joinpath("judge.html").read_text("utf-8")
    return environment.from_string(template).render(ask=ask, job=job)


def photos_of(data: Path, pairs: Sequence[Pair], paths: Mapping[str, str]) -> dict[Item, bytes]:
    """JPEGs of all items of the pairs, in order of their first appearance; a photo with many crops is decoded once.

    Args:
        data: the contract folder.
        pairs: what is shown.
        paths: image id -> where the photo is in the folder.

    Raises:
        ShoplensError: if a photo cannot be read.
    """
    items = list(dict.fromkeys(item for pair in pairs for item in (pair.query, pair.result)))
    boxes: defaultdict[str, list[Box | None]] = defaultdict(list)
    for item in items:
        boxes[paths[item.image_id]].append(item.box)
    store = PhotoStore(data)

    def draw(path: str) -> list[bytes]:
        image = decode(store.read(path))
        return [_jpeg(path, image, box) for box in boxes[path]]

    drawn = dict(zip(boxes, map_photos(draw, list(boxes)), strict=True))
    return {item: drawn[path][boxes[path].index(item.box)] for item in items for path in [paths[item.image_id]]}


def _jpeg(path: str, image: Image.Image, box: Box | None) -> bytes:
    """A photo or its crop, no side longer than SIDE."""
    try:
        image = cut(image, box or (0, 0, 1, 1))
    except BadPhoto as error:
        raise ShoplensError(f"{path}: {error}: enlarge it") from None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
