"""Stage embed: a row a listing and a row a crop, under each model; resumed after a kill; strangers refused."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from contract.builder import rows, write_rows, write_spec
from evaluation.embed_run import CONFIG, OLDER, Run, bundle
from PIL import Image

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.pixels import to_pixels
from shoplens.contract.store import PhotoStore
from shoplens.data.examples import BOX
from shoplens.data.prepare import prepare
from shoplens.errors import ShoplensError
from shoplens.evaluation import embed as embed_module
from shoplens.evaluation.embed import Embedder, reference_encoder
from shoplens.files import read_json
from shoplens.models.bundle import load_bundle, weights_digest
from shoplens.models.encoder import PhotoEncoder
from shoplens.params import PrepareParams


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(tiny_data: Path) -> Run:
    return Run(tiny_data, baseline=True)


def photo_by_photo(encoder: PhotoEncoder, photos: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Embedding and activation of photos by the plain way: decode, forward pass; no cache, no batches."""
    embeddings, activations = [], []
    with torch.inference_mode():
        for photo in photos:
            pixels = torch.from_numpy(to_pixels(photo, CONFIG.transform.size, None)[None])
            embeddings.append(encoder(pixels)[0].numpy())
            activations.append(encoder.activate(encoder.frozen(pixels))[0].numpy())
    return np.stack(embeddings), np.stack(activations)


def check_rows(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max(), "the cache holds float16 activations"


def check_codes(found: np.ndarray, activations: np.ndarray) -> None:
    """Codes are the activations' signs, where these are not so near 0 that the size of a batch may decide."""
    width = activations.shape[1]
    assert found.dtype == np.uint8
    assert found.shape == (len(activations), -(-width // 8))
    bits = np.unpackbits(found, axis=1)
    sure = (np.abs(activations) > 1e-4 * np.abs(activations).max()) | (activations == 0)
    assert sure.mean() > 0.99
    assert (bits[:, :width][sure] == (activations > 0)[sure]).all()
    assert not bits[:, width:].any()


def test_rows_of_galleries_are_the_means_of_their_photos_and_codes_the_signs_of_the_mean_activation(run: Run) -> None:
    run.go()
    store, galleries = PhotoStore(run.data), run.galleries
    listings = pq.read_table(run.out / "listings.parquet")
    assert listings["listing_id"].to_pylist() == galleries.listing_ids.tolist()
    assert listings["split"].to_pylist() == galleries.split.tolist()
    assert listings["photos"].to_pylist() == galleries.counts.tolist()
    for name, encoder in run.encoders(for_crops=False).items():
        embeddings, activations = (
            np.stack([part.mean(axis=0) for part in np.split(rows, galleries.starts[1:])])
            for rows in photo_by_photo(encoder, [store.read(path) for path in galleries.paths])
        )
        assert embeddings.shape == (30, {"candidate": 12, "baseline": 6, "reference": 1280}[name])
        check_rows(np.load(run.out / f"{name}.npy"), embeddings)
        check_codes(np.load(run.out / f"{name}_codes.npy"), activations)
    candidate = np.load(run.out / "candidate_codes.npy")
    assert 0.2 < np.unpackbits(candidate, axis=1, count=12).mean() < 0.8, "codes of means after the ReLU are all ones"
    digests = {name: weights_digest(encoder) for name, encoder in run.encoders(for_crops=False).items()}
    assert read_json(run.out / "embed.json") == digests


def test_rows_of_crops_are_those_of_the_cut_out_photos(tiny_data: Path) -> None:
    labels = rows(tiny_data, "labels.parquet")
    query = next(r for r in labels if r["role"] == "query" and r["x0"] is None)
    labels += [query | dict(zip(BOX, box, strict=True)) for box in [(0.5, 0.0, 1.0, 1.0), (0.0, 0.3, 0.52, 1.0)]]
    labels.append(next(r for r in labels if r["role"] == "corpus") | {"label": "lantern"})  # a crop of two labels
    write_rows(tiny_data, "labels.parquet", labels)
    run = Run(tiny_data, baseline=True).go()

    def whole_first(unit: tuple[Any, ...]) -> tuple[Any, ...]:
        return unit[0], unit[1] is not None, unit[1:]

    units = sorted({(r["image_id"], *(r[k] for k in BOX)) for r in labels if r["role"] != "train"}, key=whole_first)
    table = pq.read_table(run.out / "crops.parquet")
    assert list(zip(*table.to_pydict().values(), strict=True)) == units
    assert table.schema.equals(pa.schema([("image_id", pa.string()), *((name, pa.float64()) for name in BOX)]))
    assert [unit[0] for unit in units].count(query["image_id"]) == 3

    photos = []
    images = {r["image_id"]: r for r in rows(tiny_data, "images.parquet")}
    for image_id, *box in units:
        content, size = PhotoStore(tiny_data).read(images[image_id]["path"]), (32, 24)
        if box[0] is not None:
            corners = [round(part * side) for part, side in zip(box, size * 2, strict=True)]
            stream = io.BytesIO()
            Image.open(io.BytesIO(content)).crop(tuple(corners)).save(stream, "PNG")
            content = stream.getvalue()
        photos.append(content)
    for name, encoder in run.encoders(for_crops=True).items():
        embeddings, activations = photo_by_photo(encoder, photos)
        check_rows(np.load(run.out / f"{name}_crops.npy"), embeddings)
        check_codes(np.load(run.out / f"{name}_crop_codes.npy"), activations)


def test_the_reference_is_the_untrained_backbone_without_a_projection() -> None:
    reference = reference_encoder(CONFIG, "package", "projection")
    assert reference.dim == 1280
    assert weights_digest(reference) == weights_digest(
        PhotoEncoder(OLDER.model_copy(update={"embedding_dim": None}), "package")
    )


def test_the_reference_of_search_is_the_same_backbone_standardised() -> None:
    """So that half of the signs are positive, as they are not of features after a ReLU."""
    searching, reference = (reference_encoder(CONFIG, "package", module) for module in ("layer_norm", "projection"))
    assert weights_digest(searching) == weights_digest(reference)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    with torch.inference_mode():
        features, found = reference(pixels).double().numpy(), searching(pixels).numpy()
    centred = features - features.mean(axis=1, keepdims=True)
    assert found == pytest.approx(centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5), abs=1e-3)


@pytest.mark.parametrize("baseline", [True, False])
def test_every_model_has_its_files_and_without_a_champion_there_is_no_baseline(tiny_data: Path, baseline: bool) -> None:
    run = Run(tiny_data, baseline=baseline).go()
    models = ["candidate", "baseline", "reference"] if baseline else ["candidate", "reference"]
    assert {p.name for p in run.out.glob("*.npy")} == {
        f"{name}{kind}.npy" for name in models for kind in ("", "_codes", "_crops", "_crop_codes")
    }
    assert sorted(read_json(run.out / "embed.json")) == sorted(models)
    read_artifact(run.out, "embed", {"train": run.train, "champion": run.champion})


def test_data_without_labels_has_no_crops(tiny_data: Path) -> None:
    (tiny_data / "labels.parquet").unlink()
    write_spec(tiny_data, sources=[])
    run = Run(tiny_data, baseline=False).go()
    expected = ["artifact.json", "candidate.npy", "candidate_codes.npy", "embed.json", "listings.parquet"]
    assert sorted(p.name for p in run.out.iterdir()) == [*expected, "reference.npy", "reference_codes.npy"]


def test_sources_that_only_train_have_no_crop_but_the_files_of_one(tiny_data: Path) -> None:
    labels = rows(tiny_data, "labels.parquet")
    write_rows(tiny_data, "labels.parquet", [r for r in labels if r["role"] == "train"])
    run = Run(tiny_data, baseline=True).go()
    crops = pq.read_table(run.out / "crops.parquet")
    assert len(crops) == 0
    assert crops.schema.equals(pa.schema([("image_id", pa.string()), *((name, pa.float64()) for name in BOX)]))
    for name, encoder in run.encoders(for_crops=True).items():
        assert np.load(run.out / f"{name}_crops.npy").shape == (0, encoder.dim)
        assert np.load(run.out / f"{name}_crop_codes.npy").shape == (0, -(-encoder.dim // 8))


def test_a_model_that_diverged_is_embedded_as_nan_and_has_codes_all_the_same(tiny_data: Path) -> None:
    """The gate refuses it by its floats; the run gets that far."""
    run = Run(tiny_data, baseline=True, diverged=True).go()
    for embeddings, codes in (("", "_codes"), ("_crops", "_crop_codes")):
        found = np.load(run.out / f"candidate{embeddings}.npy")
        assert np.isnan(found).all()
        assert np.load(run.out / f"candidate{codes}.npy").shape == (len(found), 2)
        for name in ("baseline", "reference"):
            assert np.isfinite(np.load(run.out / f"{name}{embeddings}.npy")).all(), "the others are as they are"


Rows = Callable[[Embedder, Run], np.ndarray]
rows_of_either = pytest.mark.parametrize(
    "made",
    [lambda embedder, run: embedder.galleries(run.galleries), lambda embedder, run: embedder.crops(run.crops)],
    ids=["galleries", "crops"],
)


@rows_of_either
def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_rows(
    made: Rows, run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_module, "GALLERIES_A_SEGMENT", 8)
    monkeypatch.setattr(embed_module, "CROPS_A_SEGMENT", 4)
    encoder = load_bundle(run.train / "encoder").encoder
    store = PhotoStore(run.data)

    def all_rows() -> np.ndarray:
        return made(Embedder(encoder, store, "candidate", 1.0), run)

    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "undisturbed"))
    whole = all_rows()
    monkeypatch.setenv("SHOPLENS_HOME", str(home))
    activate, calls = encoder.activate, []

    def killed_at_the_third(frozen: torch.Tensor) -> torch.Tensor:
        calls.append(len(frozen))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return activate(frozen)

    monkeypatch.setattr(encoder, "activate", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        all_rows()
    rest: list[int] = []

    def counted(frozen: torch.Tensor) -> torch.Tensor:
        rest.append(len(frozen))
        return activate(frozen)

    monkeypatch.setattr(encoder, "activate", counted)
    assert (all_rows() == whole).all()
    photos = len(run.galleries.paths) if len(whole) == len(run.galleries.counts) else len(run.crops)
    assert sum(rest) == photos - sum(calls[:2]), "rows that were done are not done again"


@rows_of_either
def test_the_bound_of_the_cache_changes_the_speed_and_not_the_rows(
    made: Rows, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_bundle(run.train / "encoder").encoder
    found = []
    for gib in (1.0, 2.0**-17):  # 8 KiB hold one photo or two
        monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / f"home-{gib}"))
        found.append(made(Embedder(encoder, PhotoStore(run.data), "candidate", gib), run))
    assert found[0] == pytest.approx(found[1], abs=2e-4), "rounding to float16 of what batches of another size gave"


def test_a_second_run_computes_nothing_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {path.name: path.read_bytes() for path in run.go().out.iterdir()}

    def no_work(*_: object) -> torch.Tensor:
        raise AssertionError("computed again")

    frozen = PhotoEncoder.frozen

    def one_photo_at_most(self: PhotoEncoder, pixels: torch.Tensor) -> torch.Tensor:
        assert len(pixels) == 1, "more than the one photo that tells a row's size"
        return frozen(self, pixels)

    monkeypatch.setattr(PhotoEncoder, "activate", no_work)
    monkeypatch.setattr(PhotoEncoder, "frozen", one_photo_at_most)
    assert {path.name: path.read_bytes() for path in run.go().out.iterdir()} == first


@pytest.mark.parametrize("changed", ["data", "prepare", "train"])
def test_artifacts_of_other_data_another_split_or_candidate_are_refused(run: Run, changed: str) -> None:
    if changed == "data":
        (run.data / "dataset.yaml").write_text((run.data / "dataset.yaml").read_text().replace("tiny", "other"))
    if changed == "prepare":
        prepare(data=run.data, validate=run.validate, out=run.prepare, params=PrepareParams(duplicate_correlation=0.5))
    if changed == "train":
        chain = {"data": run.data, "prepare": run.prepare}
        with write_artifact(run.train, "train", chain, {"pretrained": "package"}) as folder:
            bundle(folder / "encoder", 9, CONFIG)
    with pytest.raises(ShoplensError, match=f"made from another {changed}"):
        run.go()
    assert not run.out.exists()
