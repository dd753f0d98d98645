"""What is found, to look at: queries with the first results of two models, as in Pinterest's Figure 7.

The query is on the left; the candidate's results are in the upper row, the other model's below. A relevant result has a
green frame and a tick in its corner, any other a thin grey frame and no tick.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from shoplens.contract.pixels import cut, decode
from shoplens.contract.store import PhotoStore
from shoplens.data.examples import Crops
from shoplens.evaluation.outcomes import Model
from shoplens.evaluation.precision import NOTHING
from shoplens.evaluation.retrieval_search import Found
from shoplens.evaluation.retrieval_sources import Source
from shoplens.evaluation.retrieval_tables import Results
from shoplens.files import write_bytes

QUERIES, SHOWN = 3, 5
SIDE, GAP = 88, 10
PAPER, RELEVANT, OTHER, INK = "white", (17, 99, 41), (208, 215, 222), (27, 31, 36)


def draw_results(
    data: Path, folder: Path, sources: Sequence[Source], results: Results, crops: Crops, other: Model, seed: int
) -> list[dict[str, Any]]:
    """Draw three queries a source, by chance; writes a picture for each source into `folder`/pictures.

    Args:
        data: the contract folder, for the photos.
        folder: the artifact.
        sources: those that are evaluated.
        results: of candidate and `other`, by embeddings; a source in which one of them has none is left out.
        crops: where the photos are.
        other: the model below the candidate.
        seed: of the choice.

    Returns:
        The content of pictures.json: `source`, `picture`, and in order `queries` (unit ids), their `labels` and
        `categories` (or None).

    Raises:
        ShoplensError: if a photo cannot be read.
    """
    store = PhotoStore(data)
    pictures = []
    for place, source in enumerate(sources):
        models = results[source.name]
        if not {"candidate", other} <= models.keys():
            continue
        drawn = np.random.default_rng((seed, place)).permutation(len(source.units))[:QUERIES]
        rows = [models[model]["float"] for model in ("candidate", other)]
        name = f"pictures/{place}.jpg"
        write_bytes(folder / name, _jpeg(_montage(store, source, rows, crops, drawn.tolist())))
        pictures.append(
            {
                "source": source.name,
                "picture": name,
                "queries": source.units[drawn].tolist(),
                "labels": source.labels[drawn].tolist(),
                "categories": source.categories[drawn].tolist(),
            }
        )
    return pictures


def _montage(
    store: PhotoStore, source: Source, found: Sequence[Found], crops: Crops, queries: list[int]
) -> Image.Image:
    block = 2 * SIDE + GAP
    size = (block + (GAP + SIDE) * SHOWN + 3 * GAP, (block + 2 * GAP) * len(queries))
    sheet = Image.new("RGB", size, PAPER)
    for place, query in enumerate(queries):
        top = GAP + place * (block + 2 * GAP)
        sheet.paste(_tile(store, crops, int(source.queries[query]), block, INK, 2), (GAP, top))
        for line, results in enumerate(found):
            for rank, row in enumerate(results.rows[query, :SHOWN].tolist()):
                if row == NOTHING:
                    continue
                hit = bool(results.hits[query, rank])
                tile = _tile(store, crops, row, SIDE, RELEVANT if hit else OTHER, 5 if hit else 1)
                if hit:
                    _tick(tile)
                sheet.paste(tile, (2 * GAP + block + rank * (SIDE + GAP), top + line * (SIDE + GAP)))
    return sheet


def _tile(
    store: PhotoStore, crops: Crops, row: int, side: int, colour: str | tuple[int, int, int], width: int
) -> Image.Image:
    """A crop within a frame, a square of `side` pixels; what is not square stands in the middle."""
    photo = decode(store.read(crops.paths[row]))
    box = crops.boxes[row]
    if not np.isnan(box[0]):
        photo = cut(photo, box.tolist())
    inner = side - 2 * width
    scale = inner / max(photo.size)
    photo = photo.resize(
        (max(1, round(photo.width * scale)), max(1, round(photo.height * scale))), Image.Resampling.BILINEAR
    )
    tile = Image.new("RGB", (side, side), PAPER)
    tile.paste(photo, ((side - photo.width) // 2, (side - photo.height) // 2))
    ImageDraw.Draw(tile).rectangle((0, 0, side - 1, side - 1), outline=colour, width=width)
    return tile


def _tick(tile: Image.Image) -> None:
    """A white tick on a green ground in the lower right corner."""
    side = tile.width
    draw = ImageDraw.Draw(tile)
    draw.rectangle((side - 25, side - 25, side, side), fill=RELEVANT)
    draw.line(
        [(side - 20, side - 13), (side - 15, side - 8), (side - 6, side - 19)], fill=PAPER, width=3, joint="curve"
    )


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()
