"""Stage embed: a row a listing, the mean of its photos' embeddings; resumed after a kill; strangers refused."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.pixels import to_pixels
from shoplens.contract.store import PhotoStore
from shoplens.contract.validate import validate
from shoplens.data.galleries import Galleries, read_galleries
from shoplens.data.prepare import prepare
from shoplens.data.tasks import Task
from shoplens.errors import ShoplensError
from shoplens.evaluation import embed as embed_module
from shoplens.evaluation.embed import Embedder, embed, reference_encoder
from shoplens.files import read_json, write_json
from shoplens.models.bundle import load_bundle, save_bundle, weights_digest
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.params import EmbedParams, PrepareParams, ValidateParams

CONFIG = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=6, transform=Transform(size=32), embedding_dim=6)


def bundle(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    task = Task(name="has_pool", kind="binary", n=9, prior=(0.5, 0.5))
    save_bundle(folder, PhotoEncoder(CONFIG, "package"), TaskHeads([task], 6, 4), 4)


class Run:
    """The tiny marketplace, prepared, with a candidate and, if asked for, a baseline, both of random projections."""

    def __init__(self, data: Path, baseline: bool) -> None:
        root = data.parent
        self.data, self.prepare, self.train = data, root / "prepare", root / "train"
        self.champion, self.out = root / "champion", root / "embed"
        validate(data=data, out=root / "validate", params=ValidateParams())
        self.validate = root / "validate"
        prepare(data=data, validate=self.validate, out=self.prepare, params=PrepareParams())
        chain = {"data": data, "prepare": self.prepare}
        with write_artifact(self.train, "train", chain, {"pretrained": "package"}) as folder:
            bundle(folder / "encoder", seed=1)
        with write_artifact(self.champion, "champion", {"train": self.train}, {}) as folder:
            write_json(folder / "champion.json", {"version": "3" if baseline else None})
            if baseline:
                bundle(folder / "encoder", seed=2)

    def go(self) -> "Run":
        inputs = {"data": self.data, "prepare": self.prepare, "train": self.train, "champion": self.champion}
        embed(**inputs, out=self.out, params=EmbedParams())
        return self

    @property
    def galleries(self) -> Galleries:
        return read_galleries(self.prepare)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(tiny_data: Path) -> Run:
    return Run(tiny_data, baseline=True)


def one_by_one(encoder: PhotoEncoder, run: Run) -> np.ndarray:
    """Every gallery's embedding by the plain way: decode, forward pass, mean; no cache, no batches."""
    store, galleries = PhotoStore(run.data), run.galleries
    rows = []
    with torch.inference_mode():
        for start, count in zip(galleries.starts, galleries.counts, strict=True):
            paths = galleries.paths[start : start + count]
            pixels = np.stack([to_pixels(store.read(path), CONFIG.transform.size, None) for path in paths])
            rows.append(encoder(torch.from_numpy(pixels)).mean(dim=0).numpy())
    return np.stack(rows)


def test_rows_are_the_means_of_photo_embeddings_under_each_model(run: Run) -> None:
    run.go()
    listings = pq.read_table(run.out / "listings.parquet")
    assert listings["listing_id"].to_pylist() == run.galleries.listing_ids.tolist()
    assert listings["split"].to_pylist() == run.galleries.split.tolist()
    assert listings["photos"].to_pylist() == run.galleries.counts.tolist()
    encoders = {
        "candidate": load_bundle(run.train / "encoder").encoder,
        "baseline": load_bundle(run.champion / "encoder").encoder,
        "reference": reference_encoder(CONFIG, "package", "projection"),
    }
    for name, encoder in encoders.items():
        found, expected = np.load(run.out / f"{name}.npy"), one_by_one(encoder, run)
        assert found.dtype == np.float32
        assert found.shape == (len(listings), 1280 if name == "reference" else 6)
        # the cache holds float16 activations
        assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max(), name
    assert read_json(run.out / "embed.json") == {name: weights_digest(e) for name, e in encoders.items()}


def test_the_reference_is_the_untrained_backbone_without_a_projection() -> None:
    reference = reference_encoder(CONFIG, "package", "projection")
    assert reference.dim == 1280
    assert weights_digest(reference) == weights_digest(
        PhotoEncoder(CONFIG.model_copy(update={"embedding_dim": None}), "package")
    )


def test_without_a_champion_there_is_no_baseline(tiny_data: Path) -> None:
    run = Run(tiny_data, baseline=False).go()
    assert sorted(p.name for p in run.out.glob("*.npy")) == ["candidate.npy", "reference.npy"]
    read_artifact(run.out, "embed", {"train": run.train, "champion": run.champion})


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_rows(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_module, "GALLERIES_A_SEGMENT", 8)
    encoder = load_bundle(run.train / "encoder").encoder
    store, galleries = PhotoStore(run.data), run.galleries

    def all_rows() -> np.ndarray:
        return Embedder(encoder, store, "candidate", 1.0).galleries(galleries)[:, 0]

    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "undisturbed"))
    whole = all_rows()
    monkeypatch.setenv("SHOPLENS_HOME", str(home))
    finish, calls = encoder.finish, []

    def killed_at_the_third(frozen: torch.Tensor) -> torch.Tensor:
        calls.append(len(frozen))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return finish(frozen)

    monkeypatch.setattr(encoder, "finish", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        all_rows()
    rest: list[int] = []

    def counted(frozen: torch.Tensor) -> torch.Tensor:
        rest.append(len(frozen))
        return finish(frozen)

    monkeypatch.setattr(encoder, "finish", counted)
    assert (all_rows() == whole).all()
    assert sum(rest) == galleries.counts[16:].sum(), "galleries that were done are not done again"


def test_the_bound_of_the_cache_changes_the_speed_and_not_the_rows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_bundle(run.train / "encoder").encoder
    found = []
    for gib in (1.0, 2.0**-17):  # 8 KiB hold one photo or two
        monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / f"home-{gib}"))
        found.append(Embedder(encoder, PhotoStore(run.data), "candidate", gib).galleries(run.galleries)[:, 0])
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_second_run_computes_nothing_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {path.name: path.read_bytes() for path in run.go().out.iterdir()}

    def no_work(*_: object) -> torch.Tensor:
        raise AssertionError("computed again")

    frozen = PhotoEncoder.frozen

    def one_photo_at_most(self: PhotoEncoder, pixels: torch.Tensor) -> torch.Tensor:
        assert len(pixels) == 1, "more than the one photo that tells a row's size"
        return frozen(self, pixels)

    monkeypatch.setattr(PhotoEncoder, "finish", no_work)
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
            bundle(folder / "encoder", seed=9)
    with pytest.raises(ShoplensError, match=f"made from another {changed}"):
        run.go()
    assert not run.out.exists()
