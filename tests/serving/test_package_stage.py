"""Stage package: real bundle in, a package tried in a real server out, with values against the training path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from google.protobuf import text_format
from ranking.tiny_ranker import expected, small_plan, write_ranker
from serving.tiny import make_photo, training_path
from tritonclient.grpc.model_config_pb2 import ModelConfig

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder, read_json, write_bytes, write_json
from shoplens.models.bundle import load_bundle, save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.params import PackageParams
from shoplens.serving.examples import Gallery, read_embeddings, read_examples, read_rankings
from shoplens.serving.live import read_description
from shoplens.serving.package import package, ranker_examples, ranker_of
from shoplens.serving.repository import VARIANTS
from shoplens.serving.trial import try_server

PLAN = small_plan()
SPLITS = ["test", "train", "test", "validation", "test", "train"]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """data, prepare, train and embed as the earlier stages write them, around a small EfficientNet at 64 px."""
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

    with write_artifact(paths["prepare"], "prepare", {"data": paths["data"]}, {}) as folder:
        pq.write_table(pa.table({"listing_id": list(photos), "split": SPLITS}), folder / "listings.parquet")
        pq.write_table(pa.Table.from_pylist(rows), folder / "photos.parquet")
        write_json(folder / "split.json", {"hash": "split-hash"})
    inputs = {"data": paths["data"], "prepare": paths["prepare"]}
    with write_artifact(paths["train"], "train", inputs, {}) as folder:
        torch.manual_seed(0)
        config = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=6, transform=Transform(size=64))
        encoder = PhotoEncoder(config)
        save_bundle(folder / "encoder", encoder, TaskHeads((), encoder.dim, 8), 8)
    with write_artifact(paths["embed"], "embed", {**inputs, "train": paths["train"]}, {}) as folder:
        loaded = load_bundle(paths["train"] / "encoder").encoder
        np.save(folder / "candidate.npy", np.stack([training_path(loaded, g, 64) for g in photos.values()]))
        weights = read_json(paths["train"] / "encoder" / "encoder.json")["weights_digest"]
    paths["evaluate_ranking"] = root / "evaluate-ranking"
    with write_artifact(
        paths["evaluate_ranking"], "evaluate-ranking", {**inputs, "embed": paths["embed"]}, {}
    ) as folder:
        write_ranker(folder / "ranker", PLAN, weights)
    return paths


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
    assert 0 < values["package/latency_p50_ms"] <= values["package/latency_p95_ms"]
    assert values["package/ranker_difference"] < 1e-5
    assert values["package/ranker_latency_p50_ms"] > 0
    assert counts["package/ranker_difference"] == 5 * len(PLAN.titles)
    assert counts["package/ranker_latency_p50_ms"] == 20
    assert counts["package/parity_cosine"] == 1 + 3 + 5
    assert counts["package/served_cosine"] == 3
    assert counts["package/latency_p95_ms"] == 20


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


def test_a_package_from_before_there_were_rankers_can_be_read(tmp_path: Path) -> None:
    old = {"size": 64, "short_side": None, "dim": 8, "max_batch": 32, "front_instances": 2, "queue_delay_us": 500}
    write_json(tmp_path / "description.json", {"description": old, "weights": "w"})
    assert read_description(tmp_path / "description.json").ranker is None


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
    assert description.models == ("encoder", "gallery", "photo", "ranker")
    for name in description.models:
        embedded, gpu = configs["embedded"][name], configs["gpu"][name]
        assert list(embedded.input) == list(gpu.input)
        assert list(embedded.output) == list(gpu.output)
    assert configs["embedded"]["gallery"] == configs["gpu"]["gallery"]
    signature = [(t.name, t.data_type, list(t.dims)) for t in configs["gpu"]["gallery"].output]
    assert signature == [("EMBEDDING", 11, [1280]), ("USED", 8, [1]), ("CORRUPT", 8, [1])]
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
