"""`shoplens search`: the nearest crops of an image source's corpus to a photo, by the served codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.files import read_json
from shoplens.retrieval.index import WHOLE
from shoplens.serving import live
from shoplens.serving.client import Box, search
from shoplens.serving.repository import SEARCH, in_slot
from shoplens.serving.serve import read_photo


@dataclass(frozen=True)
class Hit:
    """A crop that was found: its place, 1 for the nearest, and how many bits of its code differ.

    Attributes:
        box: x0, y0, x1, y1 as fractions from the top left; None for a whole photo.
        label: of the evaluated task; None for a distractor.
    """

    rank: int
    image_id: str
    box: list[float] | None
    label: str | None
    distance: int


@dataclass(frozen=True)
class Searched:
    """The nearest crops to a photo: by the encoder of a version, in the corpus of a source, `bits` a code."""

    photo: str
    source: str
    version: str
    bits: int
    hits: list[Hit]


def search_photo(path: Path, source: str | None, top: int, box: Box | None) -> Searched:
    """Search a source's corpus for a photo file, or for a crop of it.

    Without a running server a temporary one is started, and that is said.

    Args:
        path: the photo file.
        source: an image source of the data; None stands for the only one.
        top: how many to give, at least one.
        box: the crop: x0, y0, x1, y1 as fractions from the top left; None: all of the photo.

    Raises:
        ShoplensError: if nothing is deployed, it has no visual search or not this source, or the photo or the box
            cannot be used.
    """
    current = live.deployed()
    if live.described(current.slot).search is None:
        raise ShoplensError(
            f"version {current.version} of {current.model} was deployed without visual search: its data has no image "
            "source with a corpus. Add labels.parquet to the data and run `dvc repro`"
        )
    chosen = _source(current.slot, source)
    photo = read_photo(path)
    with live.answering("search") as (url, served):
        answer = search(url, photo, chosen, top, box or WHOLE)
    found = zip(answer.image_ids, answer.boxes.tolist(), answer.labels, answer.distances.tolist(), strict=True)
    hits = [
        Hit(place, image_id, None if tuple(where) == WHOLE else where, label or None, distance)
        for place, (image_id, where, label, distance) in enumerate(found, 1)
    ]
    return Searched(str(path), chosen, served.version, live.described(served.slot).dim, hits)


def _source(slot: str, wanted: str | None) -> str:
    known = read_json(live.repository() / in_slot(SEARCH, slot) / "1" / "index" / "index.json")["sources"]
    if wanted is not None and wanted in known:
        return wanted
    if wanted is None and len(known) == 1:
        return str(known[0])
    asked = "name the source to search with --source" if wanted is None else f"there is no source {wanted!r} to search"
    raise ShoplensError(f"{asked}: there is {', '.join(known)}")


def searched_text(searched: Searched) -> str:
    """Results for a person: rank, bits that differ, image id with its box, label."""
    head = f"{searched.photo} in {searched.source}, version {searched.version}: bits of {searched.bits} that differ"
    width = len(str(len(searched.hits)))
    rows = [
        f"{hit.rank:>{width}}  {hit.distance:5d}  {hit.image_id}"
        + (f" [{' '.join(f'{side:g}' for side in hit.box)}]" if hit.box else "")
        + (f"  {hit.label}" if hit.label else "")
        for hit in searched.hits
    ]
    return "\n".join([head, *rows])
