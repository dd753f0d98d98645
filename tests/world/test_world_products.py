"""Products: factors that label spaces share, details of their own, photos whose boxes are true."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageChops

from shoplens.world.chance import stream
from shoplens.world.product_photos import SCENE, camera_photo, catalogue_photo, scene_photo
from shoplens.world.product_sprites import draw_sprite
from shoplens.world.products import (
    CATEGORIES,
    FAMILY,
    HUES,
    MATERIALS,
    STYLES,
    Product,
    camera_classes,
    draw_product,
    instance_label,
)

SEED = 5
FACTORS = {"category": len(CATEGORIES), "style": len(STYLES), "material": len(MATERIALS), "colour": len(HUES)}


@pytest.fixture(scope="module")
def products() -> list[Product]:
    return [draw_product(SEED, number) for number in range(3000)]


def test_factors_are_evenly_spread_and_roles_by_their_shares(products: list[Product]) -> None:
    for factor, values in FACTORS.items():
        shares = np.bincount([getattr(x, factor) for x in products], minlength=values) / len(products)
        assert len(shares) == values and np.abs(shares - 1 / values).max() < 0.05, factor
    roles = Counter(x.role for x in products)
    for role, share in (("train", 0.60), ("query", 0.25), ("distractor", 0.15)):
        assert abs(roles[role] / len(products) - share) < 0.04, role


def test_families_are_alike_but_not_the_same(products: list[Product]) -> None:
    colours = []
    for start in range(0, 600, FAMILY):
        family = products[start : start + FAMILY]
        assert len({(x.category, x.style, x.material) for x in family}) == 1
        assert len({(x.paint, x.trim, x.details) for x in family}) == FAMILY
        colours.append(len({x.colour for x in family}))
    assert {1, 2, 3} == set(colours)


def test_a_role_has_nothing_to_do_with_what_the_product_is(products: list[Product]) -> None:
    trains = np.array([x.role == "train" for x in products])
    for factor, values in FACTORS.items():
        for value in range(values):
            here = np.array([getattr(x, factor) == value for x in products])
            assert abs(trains[here].mean() - trains.mean()) < 5 * 0.5 / np.sqrt(here.sum()), factor


def test_labels_of_instances_tell_nothing(products: list[Product]) -> None:
    labels = [instance_label(SEED, x) for x in products]
    assert len(set(labels)) == len(labels)
    number = np.array([int(label[:6], 16) for label in labels], float)
    for factor in FACTORS:
        values = np.array([getattr(x, factor) for x in products], float)
        assert abs(np.corrcoef(number, values)[0, 1]) < 5 / np.sqrt(len(products))
    assert abs(np.corrcoef(number, np.arange(len(products)))[0, 1]) < 5 / np.sqrt(len(products))


def test_some_pairs_have_no_camera_class() -> None:
    named = [len(camera_classes(seed)) / (len(CATEGORIES) * len(STYLES)) for seed in range(50)]
    assert abs(np.mean(named) - 0.85) < 0.03 and max(named) <= 1
    classes = camera_classes(SEED)
    assert len(set(classes.values())) == len(classes)
    assert all(label == f"{STYLES[style]} {CATEGORIES[category]}" for (category, style), label in classes.items())


@pytest.mark.parametrize("category", range(len(CATEGORIES)), ids=CATEGORIES)
def test_every_factor_and_detail_shows_in_every_category(category: int) -> None:
    product = replace(draw_product(SEED, 0), category=category, style=1, material=0, count=3)
    image = draw_sprite(product).image
    changes: list[Product] = [replace(product, style=style) for style in (0, 2, 3)]
    changes += [replace(product, material=material) for material in (1, 2, 3)]
    changes += [replace(product, paint=(9, 9, 9)), replace(product, trim=(9, 9, 9)), replace(product, count=2)]
    for place in range(4):
        details = list(product.details)
        details[place] = (details[place] + 0.5) % 1
        changes.append(replace(product, details=(details[0], details[1], details[2], details[3])))
    for changed in changes:
        assert ImageChops.difference(image, draw_sprite(changed).image).getbbox() is not None, changed
    assert image.tobytes() == draw_sprite(product).image.tobytes()


def test_the_mask_is_where_something_is_drawn(products: list[Product]) -> None:
    for product in products[:40]:
        sprite = draw_sprite(product)
        drawn, mask = np.asarray(sprite.image), np.asarray(sprite.mask)
        assert set(np.unique(mask)) == {0, 255}
        assert not drawn[mask == 0].any() and (drawn[mask == 255].any(axis=1)).mean() > 0.99
        assert 0.08 < (mask > 0).mean() < 0.7


def test_boxes_are_where_the_products_are(products: list[Product]) -> None:
    """Paint the product otherwise and nothing else: the photo differs within the box, up to its borders."""
    for number, product in enumerate(products[:40]):
        other = replace(product, paint=(255, 255, 255), trim=(255, 255, 255))
        photo, crops = scene_photo(stream(9, number), product)
        repainted, _ = scene_photo(stream(9, number), other)
        assert photo.size == SCENE and crops[0].product == product and len(crops) == 3
        changed = np.abs(np.asarray(photo).astype(int) - np.asarray(repainted)).max(axis=2) > 12
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert np.abs(seen - np.array(crops[0].box) * np.array(SCENE * 2)).max() <= 2.5, number


def test_boxes_do_not_overlap_and_are_large_enough_to_learn_from(products: list[Product]) -> None:
    sides = []
    for number, product in enumerate(products[:60]):
        _, crops = scene_photo(stream(10, number), product)
        x = sorted((crop.box[0], crop.box[2]) for crop in crops)
        assert x[0][1] <= x[1][0] and x[1][1] <= x[2][0]
        for x0, y0, x1, y1 in (crop.box for crop in crops):
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
            sides += [(x1 - x0) * SCENE[0], (y1 - y0) * SCENE[1]]
    assert min(sides) > 14 and np.median(sides) > 40


def test_the_product_is_not_always_at_one_place_of_its_scene(products: list[Product]) -> None:
    places = Counter(int(3 * scene_photo(stream(11, n), products[0])[1][0].box[0]) for n in range(60))
    assert set(places) == {0, 1, 2} and min(places.values()) > 8


def test_camera_photos_are_of_another_domain_than_catalogue_photos(products: list[Product]) -> None:
    """Darker, and less alike: a pale ground tells a catalogue photo."""
    catalogue, camera = (
        np.stack([np.asarray(take(stream(12, n), x)) for n, x in enumerate(products[:60])]).astype(float)
        for take in (catalogue_photo, camera_photo)
    )
    assert catalogue.shape == camera.shape == (60, 96, 96, 3)
    assert catalogue.mean() > camera.mean() + 40
    assert camera.mean(axis=(1, 2, 3)).std() > 2 * catalogue.mean(axis=(1, 2, 3)).std()


def test_two_photos_of_a_product_differ_and_the_same_stream_gives_the_same() -> None:
    product = draw_product(SEED, 1)
    for take in (catalogue_photo, camera_photo):
        first, again, second = (take(stream(13, n), product).tobytes() for n in (0, 0, 1))
        assert first == again != second
