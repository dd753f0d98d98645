"""Stage package: real bundle in, a package tried in a real server out, with values against the training path."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from contract.builder import write_rows, write_spec
from google.protobuf import text_format
from ranking.tiny_ranker import expected, small_plan, write_ranker
from serving.tiny import make_photo, training_code, training_path
from serving.tiny_search import found_in
from tritonclient.grpc.model_config_pb2 import ModelConfig

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.data.examples import BOX, crops_of
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder, read_json, write_bytes, write_json
from shoplens.models.bundle import load_bundle, save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.params import PackageParams
from shoplens.retrieval.index import load_index
from shoplens.serving.examples import (
    Gallery,
    read_codes,
    read_embeddings,
    read_examples,
    read_rankings,
    read_searches,
)
from shoplens.serving.package import package, ranker_examples, ranker_of, wrong_results
from shoplens.serving.reference import SHOP, id_digests, read_reference
from shoplens.serving.repository import VARIANTS, signature
from shoplens.serving.search_bundle import Query, build_search
from shoplens.serving.slots import read_description
from shoplens.serving.trial import try_server

PLAN = small_plan()
SOURCES = ("lens", "shop", "look")
SPLITS = ["test", "train", "test", "validation", "test", "train"]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """data, prepare, train and embed as the earlier stages write them, around a small EfficientNet at 64 px.

    Of the sources, `lens` has queries and a corpus of whole photos and crops, `shop` a corpus without queries, and
    `look` queries without a corpus.
    """
    root = tmp_path_factory.mktemp("stages")
    paths = {name: root / name for name in ("data", "prepare", "train", "embed")}
    photos = {f"listing-{n}": [make_photo(7 * n + k, 90 + 9 * k, 80) for k in range(n + 1)] for n in range(len(SPLITS))}
    rows = [
        {"image_id": f"{owner}/{k}", "listing_id": owner, "path": f"images/{owner}-{k}.jpg", "split": SPLITS[n]}
        for n, (owner, contents) in enumerate(photos.items())
        for k in range(len(contents))
    ]
    contents = [photo for gallery in photos.values() for photo in gallery]
    for row, content in zip(rows, contents, strict=True):
        write_bytes(paths["data"] / row["path"], content)
        row["sha256"] = hashlib.sha256(content).hexdigest()
    specs = [{"name": name, "tasks": ["object"], "eval": {"task": "object", "metric": "p@1"}} for name in SOURCES]
    write_spec(paths["data"], sources=specs)
    listed = [
        {"listing_id": owner, "shop_id": f"shop-{n // 2}", "title": "", "tags": [], "price": 10.0 * n, "country": "fr"}
        for n, owner in enumerate(photos)
    ]
    write_rows(paths["data"], "listings.parquet", listed)
    labels = labelled_photos(paths["data"])

    with write_artifact(paths["prepare"], "prepare", {"data": paths["data"]}, {}) as folder:
        pq.write_table(pa.table({"listing_id": list(photos), "split": SPLITS}), folder / "listings.parquet")
        pq.write_table(pa.Table.from_pylist(rows), folder / "photos.parquet")
        write_json(folder / "split.json", {"hash": "split-hash"})
        pq.write_table(labels, folder / "examples.parquet")
    inputs = {"data": paths["data"], "prepare": paths["prepare"]}
    with write_artifact(paths["train"], "train", inputs, {}) as folder:
        torch.manual_seed(0)
        config = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=6, transform=Transform(size=64))
        encoder = PhotoEncoder(config)
        save_bundle(folder / "encoder", encoder, TaskHeads((), encoder.dim, 8), 8)
    with write_artifact(paths["embed"], "embed", {**inputs, "train": paths["train"]}, {}) as folder:
        loaded = load_bundle(paths["train"] / "encoder").encoder
        np.save(folder / "candidate.npy", np.stack([training_path(loaded, g, 64) for g in photos.values()]))
        np.save(folder / "candidate_codes.npy", np.stack([training_code(loaded, g, 64) for g in photos.values()]))
        crops, _ = crops_of(labels)
        boxes = {name: pa.array(crops.boxes[:, at], from_pandas=True) for at, name in enumerate(BOX)}
        pq.write_table(pa.table({"image_id": crops.image_ids.tolist(), **boxes}), folder / "crops.parquet")
        codes = [
            training_code(
                loaded, [(paths["data"] / path).read_bytes()], 64, box=None if np.isnan(box[0]) else tuple(box)
            )
            for path, box in zip(crops.paths, crops.boxes, strict=True)
        ]
        np.save(folder / "candidate_crop_codes.npy", np.stack(codes))
        np.save(folder / "candidate_crops.npy", np.arange(len(codes), dtype=np.float32)[:, None])
        weights = read_json(paths["train"] / "encoder" / "encoder.json")["weights_digest"]
    paths["evaluate_ranking"] = root / "evaluate-ranking"
    with write_artifact(
        paths["evaluate_ranking"], "evaluate-ranking", {**inputs, "embed": paths["embed"]}, {}
    ) as folder:
        write_ranker(folder / "ranker", PLAN, weights)
    return paths


def labelled_photos(data: Path) -> pa.Table:
    """Photos of the image sources, as stage prepare lists them; a crop of `lens` has two labels, another none."""
    rows: list[dict[str, object]] = []

    def add(
        source: str, role: str, seed: int, label: str | None, box: tuple[float, ...] = (), task: str = "object"
    ) -> None:
        path, content = f"images/labelled-{seed}.png", make_photo(seed, 120, 90, "PNG")
        write_bytes(data / path, content)
        row = {"source": source, "task": task, "label": label, "role": role, "image_id": f"photo-{seed}", "path": path}
        row |= {"sha256": hashlib.sha256(content).hexdigest()} | dict(zip(BOX, box or (None,) * 4, strict=True))
        rows.append(row)

    for seed in range(200, 209):
        add("lens", "query", seed, "lamp", (0.1, 0.2, 0.7, 0.9) if seed % 2 else ())
    for seed in range(300, 312):
        add("lens", "corpus", seed, ["lamp", "vase", None][seed % 3], (0.0, 0.0, 0.5, 0.5) if seed % 2 else ())
    add("lens", "corpus", 300, "bowl")
    add("lens", "corpus", 350, "wood", task="material")  # not what is evaluated
    add("shop", "corpus", 400, "lamp")
    add("look", "query", 500, "lamp")
    add("look", "train", 501, "lamp")
    return pa.Table.from_pylist(rows).filter(pc.not_equal(pa.array([row["role"] for row in rows]), "train"))


@pytest.fixture(scope="module")
def packaged(stages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "package"
    package(**stages, out=out, params=PackageParams(examples=8, latency_requests=20))
    return out


def test_the_package_is_whole_and_its_metrics_measure_it(packaged: Path, stages: dict[str, Path]) -> None:
    named = {name.replace("_", "-"): path for name, path in stages.items()}
    artifact = read_artifact(packaged, "package", named)
    assert artifact.params["latency_requests"] == 20
    metrics = read_json(packaged / "metrics.json")
    assert metrics["split"] == "split-hash"
    values = {name: block["candidate"]["value"] for name, block in metrics["metrics"].items()}
    counts = {name: block["candidate"]["n"] for name, block in metrics["metrics"].items()}
    assert values["package/parity_cosine"] >= 0.9999
    assert values["package/served_cosine"] >= 0.9999
    assert values["package/served_corrupt"] == 0
    assert values["package/served_code_bits"] <= 0.001
    assert counts["package/served_code_bits"] == 1280 * (3 + 4 + 1)
    assert values["package/search_wrong"] == 0
    assert counts["package/search_wrong"] == 4 * 5 + 1
    assert values["package/search_latency_p50_ms"] > 0
    assert 0 < values["package/latency_p50_ms"] <= values["package/latency_p95_ms"]
    assert values["package/ranker_difference"] < 1e-5
    assert values["package/ranker_latency_p50_ms"] > 0
    assert counts["package/ranker_difference"] == 5 * len(PLAN.titles)
    assert counts["package/ranker_latency_p50_ms"] == 20
    assert counts["package/parity_cosine"] == 1 + 3 + 5
    assert counts["package/served_cosine"] == 3
    assert counts["package/latency_p95_ms"] == 20


def test_a_reference_for_drift_travels_along(packaged: Path, stages: dict[str, Path]) -> None:
    reference = read_reference(packaged / "reference")
    assert reference.facts.weights == read_json(stages["train"] / "encoder" / "encoder.json")["weights_digest"]
    assert reference.facts.trained == 2
    assert reference.listings["price"].to_pylist() == [10.0, 50.0]  # of the training listings
    assert reference.listings.column_names == [SHOP, "has_pool", "scene", "price", "stars", "country", "is_new"]
    held_out = [n for n, split in enumerate(SPLITS) if split != "train"]
    embeddings = np.load(stages["embed"] / "candidate.npy")
    np.testing.assert_array_equal(reference.galleries.embeddings, embeddings[held_out])
    assert reference.galleries.clusters.tolist() == [0, 1, 1, 2]  # of shops 0 (listing 0), 1 (2 and 3) and 2 (4)
    assert reference.slices["country"].to_pylist() == ["fr"] * 4
    assert {name: len(cloud.embeddings) for name, cloud in reference.searches.items()} == {"lens": 9, "look": 1}
    held = pq.read_table(stages["prepare"] / "examples.parquet")
    crops, _ = crops_of(held)
    asked = [crops.image_ids[int(row)] for row in reference.searches["lens"].embeddings[:, 0]]
    assert asked == [f"photo-{seed}" for seed in range(200, 209)]
    assert reference.known.tolist() == sorted(id_digests([f"listing-{n}" for n in range(len(SPLITS))]).tolist())


def test_the_trial_server_leaves_nothing_in_the_package(packaged: Path) -> None:
    """Bytecode would be in the digests, and DVC, which leaves it out, would restore a package with files missing."""
    assert [path for path in packaged.rglob("*") if path.suffix == ".pyc" or path.name == "__pycache__"] == []


def test_examples_are_the_test_listings_bytes_and_embeddings(packaged: Path, stages: dict[str, Path]) -> None:
    examples = read_examples(packaged / "examples")
    assert [(gallery.listing_id, len(gallery.photos)) for gallery in examples] == [
        ("listing-0", 1),
        ("listing-2", 3),
        ("listing-4", 5),
    ]
    assert examples[1].photos[2] == (stages["data"] / "images" / "listing-2-2.jpg").read_bytes()
    candidate = np.load(stages["embed"] / "candidate.npy")
    np.testing.assert_array_equal(read_embeddings(packaged / "examples", "expected"), candidate[[0, 2, 4]])
    served = read_embeddings(packaged / "examples", "served")
    np.testing.assert_allclose(served, candidate[[0, 2, 4]], rtol=1e-3, atol=1e-4 * np.abs(candidate).max())
    codes = np.load(stages["embed"] / "candidate_codes.npy")[[0, 2, 4]]
    np.testing.assert_array_equal(read_codes(packaged / "examples", "expected"), codes)
    served_codes = read_codes(packaged / "examples", "served")
    assert served_codes is not None
    assert np.bitwise_count(served_codes ^ codes).sum() <= 0.001 * codes.size * 8


def test_every_corpus_can_be_searched_by_the_codes_of_stage_embed(packaged: Path, stages: dict[str, Path]) -> None:
    index = load_index(packaged / "search")
    weights = read_json(stages["train"] / "encoder" / "encoder.json")["weights_digest"]
    assert read_json(packaged / "search" / "index.json")["encoder"] == weights
    assert index.width == 1280
    assert list(index.corpora) == ["lens", "shop"], "look has no corpus"
    lens = index.corpora["lens"]
    every = np.arange(12)
    assert lens.image_ids[every] == [b"photo-%d" % number for number in range(300, 312)]
    assert lens.labels[every][:4] == [b"bowl + lamp", b"vase", b"", b"lamp"]
    assert lens.boxes[:2].tolist() == [[0, 0, 1, 1], [0, 0, 0.5, 0.5]]
    crops = pq.read_table(stages["embed"] / "crops.parquet")["image_id"].to_pylist()
    codes = np.load(stages["embed"] / "candidate_crop_codes.npy")
    np.testing.assert_array_equal(lens.codes, [codes[crops.index(f"photo-{number}")] for number in range(300, 312)])
    for variant in VARIANTS:
        assert digest_folder(packaged / "repository" / variant / "search" / "1" / "index") == digest_folder(
            packaged / "search"
        )
    assert read_description(packaged / "description.json").search == digest_folder(packaged / "search")


def test_searches_travel_with_their_photos_boxes_and_results(packaged: Path, stages: dict[str, Path]) -> None:
    searches = read_searches(packaged / "examples")
    assert [one.unit for one in searches] == [
        "lens/photo-200",
        "lens/photo-203#0.1,0.2,0.7,0.9",
        "lens/photo-205#0.1,0.2,0.7,0.9",
        "lens/photo-208",
        "shop/photo-400",  # which has no query: its own corpus tries the server
    ]
    assert searches[1].photo == (stages["data"] / "images" / "labelled-203.png").read_bytes()
    index = load_index(packaged / "search")
    for one in searches:
        code = np.frombuffer(bytes.fromhex(one.code), np.uint8)
        found = found_in(index.corpora[one.source], code, 5)
        assert list(zip(one.image_ids, one.boxes, one.distances, strict=True)) == found
    assert (searches[4].image_ids, searches[4].distances) == (["photo-400"], [0])


def test_a_wrong_result_is_counted(packaged: Path) -> None:
    corpus = load_index(packaged / "search").corpora["lens"]
    found = read_searches(packaged / "examples")[0]
    assert wrong_results(corpus, found) == 0
    assert wrong_results(corpus, dataclasses.replace(found, distances=[0, *found.distances[1:]])) == 1
    swapped = {name: getattr(found, name)[::-1] for name in ("image_ids", "boxes", "distances")}
    assert wrong_results(corpus, dataclasses.replace(found, **swapped)) >= 4
    shorter = {name: getattr(found, name)[:3] for name in ("image_ids", "boxes", "distances")}
    assert wrong_results(corpus, dataclasses.replace(found, **shorter)) == 2


def test_without_a_corpus_there_is_no_search_and_it_is_said(
    stages: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def build(name: str, examples: pa.Table | None) -> tuple[Path | None, list[Query]]:
        prepare, embed = tmp_path / name / "prepare", tmp_path / name / "embed"
        prepare.mkdir(parents=True)
        embed.mkdir()
        if examples is not None:
            crops, _ = crops_of(examples)
            pq.write_table(examples, prepare / "examples.parquet")
            pq.write_table(pa.table({"image_id": crops.image_ids.tolist()}), embed / "crops.parquet")
            np.save(embed / "candidate_crop_codes.npy", np.zeros((len(crops), 2), np.uint8))
        return build_search(tmp_path / name / "search", stages["data"], prepare, embed, width=16, weights="w")

    assert build("nothing", None) == (None, [])
    assert "without visual search, the data has no image source" in capfd.readouterr().err
    examples = pq.read_table(stages["prepare"] / "examples.parquet")
    assert build("queries", examples.filter(pc.equal(examples["role"], "query"))) == (None, [])
    assert "source look cannot be searched, it has no corpus of its task object" in capfd.readouterr().err
    folder, queries = build("all", examples)
    assert folder is not None
    assert len(queries) == 5


def test_codes_of_other_examples_are_refused(stages: dict[str, Path], tmp_path: Path) -> None:
    for name in ("crops.parquet", "candidate_crop_codes.npy"):
        write_bytes(tmp_path / name, (stages["embed"] / name).read_bytes())
    pq.write_table(pq.read_table(tmp_path / "crops.parquet")[1:], tmp_path / "crops.parquet")
    with pytest.raises(ShoplensError, match=r"crops\.parquet and its codes are not those of .*: run embed again"):
        build_search(tmp_path / "search", stages["data"], stages["prepare"], tmp_path, width=1280, weights="w")


def test_the_ranker_travels_with_its_examples_and_is_part_of_what_is_served(
    packaged: Path, stages: dict[str, Path]
) -> None:
    bundle = stages["evaluate_ranking"] / "ranker"
    assert read_description(packaged / "description.json").ranker == digest_folder(bundle)
    for variant in VARIANTS:
        assert digest_folder(packaged / "repository" / variant / "ranker" / "1" / "ranker") == digest_folder(bundle)
    rankings = read_rankings(packaged / "examples")
    assert [ranking.query for ranking in rankings] == [*filter(None, PLAN.models), "never seen"]
    for ranking in rankings:
        wanted = [expected(PLAN, ranking.query, listing) for listing in ranking.listing_ids]
        assert ranking.expected == wanted
        np.testing.assert_allclose(ranking.served, wanted, atol=1e-5)


def test_without_a_ranker_there_is_none_in_the_package(make_package: Callable[..., Path]) -> None:
    package = make_package(1)
    assert read_description(package / "description.json").public == ("gallery", "photo")
    assert not list(package.rglob("ranker*"))
    assert read_rankings(package / "examples") == []


def test_a_package_from_before_there_were_rankers_codes_and_searches_can_be_read(tmp_path: Path) -> None:
    old = {"size": 64, "short_side": None, "dim": 8, "max_batch": 32, "front_instances": 2, "queue_delay_us": 500}
    write_json(tmp_path / "description.json", {"description": old, "weights": "w"})
    description = read_description(tmp_path / "description.json")
    assert (description.ranker, description.search, description.codes) == (None, None, False)
    assert [tensor["name"] for tensor in signature(description, "photo")["output"]] == ["EMBEDDING"]
    assert read_codes(tmp_path, "served") is None
    assert read_searches(tmp_path) == []


def test_a_ranker_of_another_encoder_or_without_a_listing_to_check_is_refused(tmp_path: Path) -> None:
    bundle = write_ranker(tmp_path / "ranker", PLAN, "other weights")
    with pytest.raises(ShoplensError, match="learned on embeddings of another encoder"):
        ranker_of(tmp_path, "weights")
    assert ranker_of(tmp_path, "other weights") == bundle
    assert ranker_of(tmp_path / "elsewhere", "weights") is None
    nothing, something = ({"query": "sea", "listing_ids": ids, "scores": []} for ids in ([], ["loft"]))
    write_json(bundle / "examples.json", [nothing, something])
    assert ranker_examples(bundle) == [something]
    write_json(bundle / "examples.json", [nothing])
    with pytest.raises(ShoplensError, match=r"examples\.json ranks no listing"):
        ranker_examples(bundle)


def test_both_variants_have_the_same_names_and_signatures(packaged: Path) -> None:
    description = read_description(packaged / "description.json")
    assert (description.size, description.short_side, description.dim) == (64, None, 1280)
    configs = {
        variant: {
            name: text_format.Parse(
                (packaged / "repository" / variant / name / "config.pbtxt").read_text(), ModelConfig()
            )
            for name in description.models
        }
        for variant in VARIANTS
    }
    assert description.models == ("encoder", "gallery", "photo", "ranker", "search")
    for name in description.models:
        embedded, gpu = configs["embedded"][name], configs["gpu"][name]
        assert list(embedded.input) == list(gpu.input)
        assert list(embedded.output) == list(gpu.output)
    assert configs["embedded"]["gallery"] == configs["gpu"]["gallery"]
    answered = [(t.name, t.data_type, list(t.dims)) for t in configs["gpu"]["gallery"].output]
    assert answered == [("EMBEDDING", 11, [1280]), ("CODE", 2, [160]), ("USED", 8, [1]), ("CORRUPT", 8, [1])]
    assert [(t.name, list(t.dims)) for t in configs["gpu"]["encoder"].output] == [
        ("embedding", [1280]),
        ("activation", [1280]),
    ]
    assert configs["embedded"]["search"] == configs["gpu"]["search"]
    tensors = [*configs["gpu"]["search"].input, *configs["gpu"]["search"].output]
    assert [(t.name, t.data_type, list(t.dims)) for t in tensors] == [
        ("PHOTO", 13, [1]),
        ("BOX", 12, [4]),
        ("SOURCE", 13, [1]),
        ("K", 8, [1]),
        ("IMAGE_IDS", 13, [-1]),
        ("BOXES", 12, [-1, 4]),
        ("LABELS", 13, [-1]),
        ("DISTANCES", 8, [-1]),
        ("CODE", 2, [160]),
    ]
    assert configs["embedded"]["encoder"].backend == "python"
    assert configs["gpu"]["encoder"].backend == "onnxruntime"
    assert configs["embedded"]["ranker"] == configs["gpu"]["ranker"]
    tensors = [*configs["gpu"]["ranker"].input, *configs["gpu"]["ranker"].output]
    assert [(t.name, t.data_type, list(t.dims)) for t in tensors] == [
        ("QUERY", 13, [1]),
        ("LISTINGS", 13, [-1]),
        ("SCORES", 11, [-1]),
        ("KNOWN", 8, [-1]),
        ("MODEL", 13, [1]),
        ("MODALITY", 13, [1]),
    ]
    accelerators = configs["gpu"]["encoder"].optimization.execution_accelerators.gpu_execution_accelerator
    assert [accelerator.name for accelerator in accelerators] == ["tensorrt"]
    onnx = {path.read_bytes() for path in packaged.rglob("*.onnx")}
    assert len(onnx) == 1


def test_a_candidate_of_another_training_is_refused(stages: dict[str, Path], tmp_path: Path) -> None:
    with write_artifact(tmp_path / "train", "train", {name: stages[name] for name in ("data", "prepare")}, {"x": 1}):
        pass
    with pytest.raises(ShoplensError, match="made from another train"):
        package(**{**stages, "train": tmp_path / "train"}, out=tmp_path / "out", params=PackageParams())


def test_a_server_that_cannot_load_the_model_is_an_error_with_its_reason(
    make_package: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    repository = tmp_path / "repository"
    shutil.copytree(make_package(1) / "repository" / "embedded", repository)
    (repository / "encoder" / "1" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ShoplensError, match=r"encoder.*model.onnx"):
        try_server(repository, [Gallery("a", [make_photo(1)])], 1)
