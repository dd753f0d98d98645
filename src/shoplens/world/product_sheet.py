"""The picture of docs/world.md's image sources: `python -m shoplens.world.product_sheet docs/img` draws it again."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from shoplens.params import WorldParams
from shoplens.world.camera import PHOTO
from shoplens.world.chance import stream
from shoplens.world.product_photos import SCENE, camera_photo, catalogue_photo, scene_photo
from shoplens.world.products import CATEGORIES, Product, draw_product

GAP, PHOTOS, ACROSS = 4, 4, 2
PAPER, INK = (255, 255, 255), (220, 40, 40)


def products_sheet(params: WorldParams) -> Image.Image:
    """One product a category, two by the catalogue and two by phone; below, four scenes with their crops."""
    step, middle = PHOTO + GAP, ACROSS * PHOTOS * (PHOTO + GAP)
    rows = -(-len(CATEGORIES) // ACROSS)
    sheet = Image.new("RGB", (middle + 2 * (SCENE[0] + GAP) - GAP, rows * step - GAP), PAPER)
    chosen: dict[int, Product] = {}
    number = 0
    while len(chosen) < len(CATEGORIES):
        product = draw_product(params.seed, number)
        chosen.setdefault(product.category, product)
        number += 1
    for category, product in sorted(chosen.items()):
        for place in range(PHOTOS):
            take = catalogue_photo if place < PHOTOS // 2 else camera_photo
            photo = take(stream(params.seed, 28, category, place), product)
            sheet.paste(photo, ((category % ACROSS * PHOTOS + place) * step, category // ACROSS * step))
    for place in range(4):
        photo, crops = scene_photo(stream(params.seed, 29, place), chosen[place])
        for crop in crops:
            box = [share * side for share, side in zip(crop.box, SCENE * 2, strict=True)]
            ImageDraw.Draw(photo).rectangle(box, outline=INK)
        sheet.paste(photo, (middle + place % 2 * (SCENE[0] + GAP), place // 2 * (SCENE[1] + GAP)))
    return sheet


if __name__ == "__main__":
    products_sheet(WorldParams()).save(Path(sys.argv[1]) / "world_products.jpg", quality=85, optimize=True)
