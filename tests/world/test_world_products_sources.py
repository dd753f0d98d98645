"""labels.parquet of the demo: three sources, valid by the contract, disjoint roles, nothing that gives a label away."""

import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from shoplens.contract.checks import check_folder
from shoplens.contract.spec import read_spec
from shoplens.contract.tables import read_images, read_labels
from shoplens.files import digest_folder
from shoplens.params import WorldParams
from shoplens.world import render
from shoplens.world.image_sources import labels_table, plan, product_photos
from shoplens.world.products import CATEGORIES, camera_classes, draw_product, instance_label
from shoplens.world.render import render_world

PARAMS = WorldParams(listings=20, seed=6, sessions_per_listing=0, products=120)
Rows = list[dict[str, object]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "data"
    render_world(out, PARAMS, workers=1)
    return out


@pytest.fixture(scope="module")
def labels(world: Path) -> Rows:
    table = read_labels(world)
    assert table is not None
    rows: Rows = table.to_pylist()
    return rows


@pytest.fixture(scope="module")
def product_of() -> dict[str, int]:
    """Image id -> number of the product that it is about."""
    return {
        photo.photo.image_id: number
        for number in range(PARAMS.products)
        for photo in product_photos(PARAMS.seed, number)
    }


def of(labels: Rows, **wanted: object) -> Rows:
    return [row for row in labels if all(row[name] == value for name, value in wanted.items())]


def values(rows: Rows, name: str = "label") -> set[object]:
    return {row[name] for row in rows}


def test_a_valid_contract_folder_with_three_sources_and_the_four_tasks_of_the_paper(world: Path) -> None:
    """The 20 listings fill the splits unevenly; of labels.parquet only classes with one photo are warned of."""
    sources = read_spec(world).sources
    assert [(x.name, x.tasks, x.eval.task, x.eval.metric) for x in sources] == [
        ("flashlight", ("image_set",), "image_set", "avg_p@20"),
        ("lens", ("category",), "category", "avg_p@20"),
        ("shop_the_look", ("product_class", "instance"), "instance", "p@1"),
    ]
    found = [x for x in check_folder(world) if x.file in ("labels.parquet", "images.parquet", "dataset.yaml")]
    assert {x.check for x in found} <= {"class-single"}


def test_without_products_there_are_no_sources_and_the_marketplace_is_the_same(world: Path, tmp_path: Path) -> None:
    render_world(tmp_path / "data", PARAMS.model_copy(update={"products": 0}), workers=1)
    for name in ("listings.parquet", "images/000.tar"):
        assert (tmp_path / "data" / name).read_bytes() == (world / name).read_bytes()
    assert read_labels(tmp_path / "data") is None and read_spec(tmp_path / "data").sources == ()
    images = read_images(world)
    assert images.filter(pc.is_valid(images["listing_id"])).equals(read_images(tmp_path / "data"))


def test_equal_bytes_whatever_the_workers(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "ALONE", 0)
    render_world(tmp_path / "again", PARAMS, workers=2)
    assert digest_folder(tmp_path / "again") == digest_folder(world)


def test_products_photos_have_a_label_and_no_listing(world: Path, labels: Rows) -> None:
    images = [row for row in read_images(world).to_pylist() if row["listing_id"] is None]
    assert values(images, "image_id") == values(labels, "image_id")
    assert Counter(row["domain"] for row in images).keys() == {"catalogue", "camera", "scene"}


def test_no_photo_is_in_two_sources_or_roles(labels: Rows) -> None:
    for name in ("source", "role"):
        assert len({(row["image_id"], row[name]) for row in labels}) == len(values(labels, "image_id")), name


def test_products_are_trained_on_or_held_out_in_all_sources(labels: Rows, product_of: dict[str, int]) -> None:
    for row in labels:
        product = draw_product(PARAMS.seed, product_of[str(row["image_id"])])
        assert (row["role"] == "train") == (product.role == "train")
    trained = {product_of[str(row["image_id"])] for row in of(labels, role="train")}
    per_source = [{product_of[str(r["image_id"])] for r in of(labels, source=s, role="train")} for s in
                  ("flashlight", "lens", "shop_the_look")]  # fmt: skip
    assert all(len(numbers) > 0.6 * len(trained) for numbers in per_source)


def test_queries_find_something_among_distractors(labels: Rows) -> None:
    for task in ("image_set", "category", "instance"):
        queries, corpus = of(labels, task=task, role="query"), of(labels, task=task, role="corpus")
        assert None not in values(queries) | values(of(labels, task=task, role="train"))
        assert values(queries) <= values(corpus)
        share = sum(row["label"] is None for row in corpus) / len(corpus)
        assert 0 < share < 0.6, task
        assert len(queries) >= 20


def test_held_out_sets_and_instances_are_new_and_camera_classes_are_known(labels: Rows) -> None:
    for task, known in (("image_set", False), ("category", True), ("instance", False)):
        trained = values(of(labels, task=task, role="train"))
        seen = [row["label"] in trained for row in of(labels, task=task, role="query")]
        assert np.mean(seen) > 0.9 if known else not any(seen), task


def test_camera_queries_search_catalogue_photos(world: Path, labels: Rows) -> None:
    domain = {row["image_id"]: row["domain"] for row in read_images(world).to_pylist()}
    assert {domain[row["image_id"]] for row in of(labels, source="lens", role="query")} == {"camera"}
    assert {domain[row["image_id"]] for row in of(labels, source="lens", role="corpus")} == {"catalogue"}
    assert {domain[row["image_id"]] for row in of(labels, source="lens", role="train")} == {"camera", "catalogue"}
    assert {domain[row["image_id"]] for row in of(labels, source="flashlight")} == {"catalogue"}


def test_labels_say_what_the_product_is(labels: Rows, product_of: dict[str, int]) -> None:
    classes = camera_classes(PARAMS.seed)
    for row in labels:
        product = draw_product(PARAMS.seed, product_of[str(row["image_id"])])
        if row["task"] == "category":
            assert row["label"] == classes.get((product.category, product.style))
        elif row["task"] == "instance":
            assert row["label"] == (None if product.role == "distractor" else instance_label(PARAMS.seed, product))
        elif row["task"] == "product_class" and row["x0"] is None:
            assert row["label"] == CATEGORIES[product.category]


def test_crops_search_whole_catalogue_photos(labels: Rows) -> None:
    shop = of(labels, source="shop_the_look")
    assert all(row["x0"] is not None for row in of(shop, role="query"))
    assert all(row["x0"] is None for row in of(shop, role="corpus"))
    assert all(row["x0"] is None for row in labels if row["source"] != "shop_the_look")
    crops = Counter(row["image_id"] for row in of(shop, role="train", task="product_class") if row["x0"] is not None)
    assert set(crops.values()) == {3}, "a training scene teaches the class of the product and of its two props"
    instances = Counter(row["image_id"] for row in of(shop, task="instance"))
    assert set(instances.values()) == {1}


def test_few_instances_have_a_single_photo() -> None:
    sizes = np.array(
        [
            photos["shop"] + photos["scene"]
            for number in range(3000)
            if (product := draw_product(2, number)).role == "train"
            for photos in [plan(2, product)]
        ]
    )
    assert sizes.min() == 1 and sizes.max() == 7
    assert 0.01 < (sizes == 1).mean() < 0.04 and np.median(sizes) == 4


def test_a_products_photos_do_not_depend_on_the_number_of_products(labels: Rows) -> None:
    """Nor do its labels, but for the sets, which depend on what else there is to be saved."""
    few = labels_table(PARAMS.seed, [photo for number in range(30) for photo in product_photos(PARAMS.seed, number)])
    kept = [row for row in few.to_pylist() if row["source"] != "flashlight"]
    assert len(kept) > 100
    known = {tuple(row.values()) for row in labels}
    assert all(tuple(row.values()) in known for row in kept)


def test_ids_order_size_and_place_in_the_tar_tell_nothing(
    world: Path, labels: Rows, product_of: dict[str, int]
) -> None:
    """Within a kind of photo; that scenes are larger than products is no secret."""
    images = [row for row in read_images(world).to_pylist() if row["listing_id"] is None]
    stored = []
    for shard in sorted({row["path"].split("::")[0] for row in images}):
        with tarfile.open(world / shard) as tar:
            stored += [name.split(".")[0] for name in tar.getnames()]
    assert stored == sorted(stored) == [row["image_id"] for row in images], "of products alone, in the order of the ids"
    order = {image_id: place for place, image_id in enumerate(stored)}
    size = {row["image_id"]: row["width"] * row["height"] for row in images}
    for source in ("flashlight", "lens", "shop_the_look"):
        ids = sorted(str(x) for x in values(of(labels, source=source), "image_id") if size[x] < 96 * 192)
        products = [draw_product(PARAMS.seed, product_of[x]) for x in ids]
        for clue in ([order[x] for x in ids], [int(x[:6], 16) for x in ids], [size[x] for x in ids]):
            for value in ([p.category for p in products], [p.style for p in products], [p.colour for p in products],
                          [p.number for p in products], [p.role == "train" for p in products]):  # fmt: skip
                assert abs(np.corrcoef(np.array(clue, float), np.array(value, float))[0, 1]) < 5 / np.sqrt(len(ids))
    neighbours = [product_of[a] == product_of[b] for a, b in pairwise(stored)]
    assert np.mean(neighbours) < 0.03


@pytest.mark.parametrize("products", [1, 2, 7])
def test_the_smallest_worlds_have_labels_without_errors(products: int, tmp_path: Path) -> None:
    render_world(tmp_path / "data", PARAMS.model_copy(update={"products": products}), workers=1)
    found = [x for x in check_folder(tmp_path / "data") if x.file in ("labels.parquet", "images.parquet")]
    assert not [x for x in found if x.level == "error"]
