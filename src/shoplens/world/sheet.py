"""The pictures of docs/world.md: `python -m shoplens.world.sheet docs/img` draws them again."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from shoplens.contract.pixels import decode
from shoplens.params import WorldParams
from shoplens.world.camera import PHOTO, shoot
from shoplens.world.chance import stream
from shoplens.world.gallery import draw_scene, gallery, photos
from shoplens.world.listing import Listing, draw_listing
from shoplens.world.look import look_of

COLUMNS, ROWS, GAP, CAPTION = 10, 8, 4, 18
PAPER, INK = (255, 255, 255), (60, 60, 66)
EXAMPLES = (
    ("furnish", "how much there is", ("room", "pool", "bar")),
    ("order", "how straight it is", ("room", "bathroom", "lounge")),
    ("care", "how worn it is", ("pool", "bathroom", "kitchen")),
    ("harmony", "how well colours agree", ("dining", "beach", "lounge")),
)


def _caption(sheet: Image.Image, x: int, y: int, text: str) -> None:
    ImageDraw.Draw(sheet).text((x, y + 3), text, fill=INK, font=ImageFont.load_default(11))


def galleries(params: WorldParams) -> Image.Image:
    """Some galleries, one a row, with what their rows say."""
    step = PHOTO + GAP
    sheet = Image.new("RGB", (COLUMNS * step - GAP, ROWS * (step + CAPTION)), PAPER)
    chosen: list[Listing] = []
    number = 0
    while len(chosen) < ROWS:
        listing = draw_listing(params, number)
        number += 1
        fits = 8 <= len(gallery(listing, params)) <= COLUMNS and listing.stars is not None
        if fits and listing.facts.country_index not in {x.facts.country_index for x in chosen}:
            chosen.append(listing)
    for row, listing in enumerate(chosen):
        top, facts = row * (step + CAPTION), listing.facts
        words = f"{listing.title}   |   {facts.kind.name}, {facts.town}, {facts.country.name}   |   "
        words += f"{facts.number('price_eur'):.0f} euros, review {facts.number('review_score')}, stars {listing.stars}"
        _caption(sheet, 0, top, words)
        for column, photo in enumerate(photos(listing, params)):
            sheet.paste(decode(photo.content), (column * step, top + CAPTION))
    return sheet


def qualities(params: WorldParams) -> Image.Image:
    """Each quality poor and good: the same listing and scenes, all else equal up to chance."""
    step = PHOTO + GAP
    look = look_of(draw_listing(params, 0), params)
    look = replace(look, furnish=0.6, order=0.8, care=0.9, harmony=0.8)
    sheet = Image.new("RGB", (6 * step - GAP, len(EXAMPLES) * (step + CAPTION)), PAPER)
    for row, (quality, words, scenes) in enumerate(EXAMPLES):
        top = row * (step + CAPTION)
        _caption(sheet, 0, top, f"{quality}: {words} (each pair: low, high)")
        for place, scene in enumerate(scenes):
            for side, value in enumerate((0.05, 0.95)):
                change: dict[str, Any] = {quality: value}
                drawn = draw_scene(stream(params.seed, 9, row, place), replace(look, **change), scene)
                photo = shoot(stream(params.seed, 9, row, place, 0), drawn, 1.5, params.drift)
                sheet.paste(photo, ((place * 2 + side) * step, top + CAPTION))
    return sheet


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    galleries(WorldParams()).save(folder / "world.jpg", quality=80, optimize=True)
    qualities(WorldParams()).save(folder / "world_qualities.jpg", quality=85, optimize=True)
