"""The demo's image sources: which photos there are of each product, their roles, and labels.parquet.

Three sources as in the Pinterest paper's 3.2: `flashlight` (sets of images saved together in the catalogue), `lens`
(camera photos against catalogue photos of one class) and `shop_the_look` (products cropped from scenes against their
catalogue photos). No photo is in two sources; each product may be in all three. A product's photos either train or are
queries and corpus, in every source alike.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shoplens.world.camera import encode
from shoplens.world.chance import name_of, pick, stream
from shoplens.world.engagement import engagement
from shoplens.world.gallery import Photo
from shoplens.world.image_sets import image_sets
from shoplens.world.product_photos import Crop, camera_photo, catalogue_photo, encode_scene, scene_photo
from shoplens.world.products import CATEGORIES, Product, camera_classes, draw_product, instance_label

FLASHLIGHT, LENS, SHOP = "flashlight", "lens", "shop_the_look"
IMAGE_SET, CATEGORY, PRODUCT_CLASS, INSTANCE = "image_set", "category", "product_class", "instance"
SOURCES: list[dict[str, Any]] = [
    {"name": FLASHLIGHT, "tasks": [IMAGE_SET], "eval": {"task": IMAGE_SET, "metric": "avg_p@20"}},
    {"name": LENS, "tasks": [CATEGORY], "eval": {"task": CATEGORY, "metric": "avg_p@20"}},
    {"name": SHOP, "tasks": [PRODUCT_CLASS, INSTANCE], "eval": {"task": INSTANCE, "metric": "p@1"}},
]
"""The sources of dataset.yaml: the paper's four softmax tasks, and its metrics."""

KINDS = ("pin", "offer", "phone", "shop", "scene")
"""Photos of a product: two of the catalogue for flashlight and lens, by phone for lens, catalogue and rooms for the
shop."""
PINS, PHONES = 3, 2
OFFERS_TRAIN, OFFERS_HELD_OUT = 2, 3
SHOTS = (0.15, 0.40, 0.30, 0.15)
"""How likely a product has 1, 2, 3, 4 catalogue photos in the shop."""
SCENES_TRAIN, SCENES_QUERY = (0.15, 0.35, 0.30, 0.20), (0.0, 0.6, 0.4)
"""How likely it is in 0, 1, 2, 3 rooms; a product that is searched for is in one or two, a distractor in none."""
MIN_IMPRESSIONS, MIN_INTERACTIONS, MIN_IMAGES = 10, 9, 5
"""The strict heuristics that make sets of the engagement."""
SET_QUERIES = 0.2
"""Share of a held-out set's images that are queries; at least one."""

_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("source", "task", "label", "image_id", "role")]
    + [(name, pa.float64()) for name in ("x0", "y0", "x1", "y1")]
)
_Row = tuple[str, str, str | None, str, str, float | None, float | None, float | None, float | None]


@dataclass(frozen=True)
class ProductPhoto:
    """A photo as delivered, what it shows, of which kind it is (an index into KINDS), and a scene's crops."""

    photo: Photo
    product: Product
    kind: str
    crops: tuple[Crop, ...] = ()

    @property
    def domain(self) -> str:
        """The column `domain` of images.parquet."""
        return {"phone": "camera", "scene": "scene"}.get(self.kind, "catalogue")


def plan(seed: int, product: Product) -> dict[str, int]:
    """How many photos of each kind there are of the product."""
    rng, trains = stream(seed, 24, product.number), product.role == "train"
    shots, scenes = 1 + pick(rng, SHOTS), pick(rng, SCENES_TRAIN if trains else SCENES_QUERY)
    return {
        "pin": PINS,
        "offer": OFFERS_TRAIN if trains else OFFERS_HELD_OUT,
        "phone": PHONES,
        "shop": shots,
        "scene": 0 if product.role == "distractor" else scenes,
    }


def product_photos(seed: int, number: int) -> Iterator[ProductPhoto]:
    """Render all photos of product `number`, each from its own random stream."""
    product = draw_product(seed, number)
    for kind, photos in plan(seed, product).items():
        for place in range(photos):
            rng = stream(seed, 25, number, KINDS.index(kind), place)
            crops: list[Crop] = []
            if kind == "scene":
                image, crops = scene_photo(rng, product)
                suffix, content, width, height = encode_scene(image)
            else:
                image = (camera_photo if kind == "phone" else catalogue_photo)(rng, product)
                suffix, content, width, height = encode(rng, image)
            name = name_of("product-photo", seed, number, KINDS.index(kind), place)
            yield ProductPhoto(Photo(name, suffix, content, width, height), product, kind, tuple(crops))


def _row(source: str, task: str, label: str | None, photo: ProductPhoto, role: str, crop: Crop | None = None) -> _Row:
    box = crop.box if crop is not None else (None, None, None, None)
    return (source, task, label, photo.photo.image_id, role, *box)


def _flashlight(seed: int, photos: list[ProductPhoto]) -> Iterator[_Row]:
    """Sets of training products' pins train; those of the others are new sets, and what is in no set distracts."""
    for pool, trains in enumerate((True, False)):
        pins = sorted(
            (x for x in photos if x.kind == "pin" and (x.product.role == "train") == trains),
            key=lambda x: x.photo.image_id,
        )
        log = engagement(stream(seed, 26, pool), [x.product for x in pins])
        rng, alone = stream(seed, 27, pool), set(range(len(pins)))
        for found in image_sets(log, MIN_IMPRESSIONS, MIN_INTERACTIONS, MIN_IMAGES):
            label = name_of("set", seed, pool, found.query)
            images = [int(at) for at in found.images]
            alone -= set(images)
            queries = {images[at] for at in rng.permutation(len(images))[: max(1, round(SET_QUERIES * len(images)))]}
            for at in images:
                role = "train" if trains else "query" if at in queries else "corpus"
                yield _row(FLASHLIGHT, IMAGE_SET, label, pins[at], role)
        if not trains:
            yield from (_row(FLASHLIGHT, IMAGE_SET, None, pins[at], "corpus") for at in sorted(alone))


def _lens(seed: int, photos: list[ProductPhoto]) -> Iterator[_Row]:
    """Catalogue and camera photos train one class; camera photos of other products of the class are the queries."""
    classes = camera_classes(seed)
    for photo in photos:
        product, label = photo.product, classes.get((photo.product.category, photo.product.style))
        if photo.kind not in ("offer", "phone"):
            continue
        role = "train" if product.role == "train" else "query" if photo.kind == "phone" else "corpus"
        if label is not None or role == "corpus":
            yield _row(LENS, CATEGORY, label, photo, role)


def _shop(seed: int, photos: list[ProductPhoto]) -> Iterator[_Row]:
    """Crops and catalogue photos of training products train class and instance; props of their scenes the class alone.

    Crops of the products that are searched for are the queries, all catalogue photos of other products the corpus;
    their class says which category a query is of.
    """
    for photo in photos:
        product, trains = photo.product, photo.product.role == "train"
        instance, category = instance_label(seed, product), CATEGORIES[product.category]
        if photo.kind == "shop":
            role = "train" if trains else "corpus"
            yield _row(SHOP, PRODUCT_CLASS, category, photo, role)
            yield _row(SHOP, INSTANCE, None if product.role == "distractor" else instance, photo, role)
        elif photo.kind == "scene":
            role = "train" if trains else "query"
            yield _row(SHOP, INSTANCE, instance, photo, role, photo.crops[0])
            for crop in photo.crops if trains else photo.crops[:1]:
                yield _row(SHOP, PRODUCT_CLASS, CATEGORIES[crop.product.category], photo, role, crop)


def labels_table(seed: int, photos: Iterable[ProductPhoto]) -> pa.Table:
    """labels.parquet of the photos, by source, task, role, photo and box.

    Photos that no source labels (lens photos by phone of a pair without a class) have no row.
    """
    known = list(photos)
    rows: list[_Row] = [*_flashlight(seed, known), *_lens(seed, known), *_shop(seed, known)]
    columns = zip(*rows, strict=True) if rows else [[]] * len(_SCHEMA)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA)
    return table.sort_by([(name, "ascending") for name in ("source", "task", "role", "image_id", "x0")])
