"""Epochs, validation and when training ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from training import small

from shoplens.contract.store import PhotoStore
from shoplens.data.photos import read_pixels
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder
from shoplens.models.activations import FrozenRows
from shoplens.models.proxies import validation_loss
from shoplens.models.proxy_bank import ProxySGD
from shoplens.params import TrainParams
from shoplens.training import loop
from shoplens.training.batches import AugmentedRows, BatchReader, Material
from shoplens.training.loop import Trainer
from shoplens.training.mixture import batches_of, shares
from shoplens.training.processes import Processes
from shoplens.training.train import build_network, read_material

ALONE = Processes(0, 1, "cpu")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all tests here, so that photos go through the frozen blocks once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("SHOPLENS_HOME", str(folder))
        yield folder


def material_of(marketplace: Path, sources: list[str] | None = None) -> Material:
    return read_material(marketplace / "data", marketplace / "artifacts/prepare", sources)


def trainer_of(material: Material, **changes: Any) -> Trainer:
    params = TrainParams.model_validate(small.PARAMS.model_dump() | changes)
    network = build_network(params, material.tasks, material.sources)
    store, boxes = material.store, material.boxes
    rows = FrozenRows(network.encoder, store, material.paths, material.digests, params.cache_gib, boxes)
    rows.warm()
    return Trainer(network, material, rows, params, ALONE)


def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "checkpoint").mkdir(exist_ok=True)
    return tmp_path / "checkpoint/checkpoint.pt"


# --- optimiser -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimiser", "kind", "settings"),
    [
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 1e-4, "dampening": 0, "nesterov": False}),
    ],
)
def test_the_optimiser_has_the_paper_s_settings_for_all_that_learns_but_sampled_proxies(
    marketplace: Path, optimiser: str, kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    """Adam: Booking, section 3.4. SGD, and proxies with any optimiser: Pinterest, section 4.1."""
    changes = {"sampled": {"camera/set": 9}, "batch_photos": 24, "frozen_blocks": 8}
    trainer = trainer_of(material_of(marketplace), optimiser=optimiser, **changes)
    assert type(trainer.optimiser) is kind
    learning = {id(p) for p in trainer.network.parameters() if p.requires_grad}
    groups = trainer.optimiser.param_groups
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(learning)
    for group in groups:
        assert {name: group[name] for name in settings} == settings
        assert (group["lr"], group["maximize"]) == (trainer.params.learning_rate, False)
    assert trainer.network.sampled["camera/set"].bank._sgd == ProxySGD("lazy", 0.9, 1e-4)


def test_network_and_proxies_learn_at_the_rates_of_the_epoch(marketplace: Path, tmp_path: Path) -> None:
    """The network at learning_rate and proxies at theirs; both fall after warm-up and another epoch."""
    changes = {"sampled": {"camera/set": 9}, "batch_photos": 24, "warm_up_batch_photos": 24, "max_epochs": 3}
    schedule = {"learning_rate": 0.01, "proxy_learning_rate": 0.5, "warm_up_epochs": 1, "decay_every": 1}
    trainer = trainer_of(material_of(marketplace), optimiser="sgd", **changes, **schedule)
    sampler, rates = trainer.network.sampled["camera/set"], []
    update = sampler.update

    def watched(rate: float) -> None:
        rates.append((trainer.progress.epoch, *(group["lr"] for group in trainer.optimiser.param_groups), rate))
        update(rate)

    sampler.update = watched  # type: ignore[method-assign]
    trainer.run(checkpoint(tmp_path))
    seen = sorted(set(rates))
    assert [epoch for epoch, *_ in seen] == [0, 1, 2]
    assert [rate for _, *rest in seen for rate in rest] == pytest.approx([0.01, 0.5, 0.01, 0.5, 0.001, 0.05])


# --- validation ------------------------------------------------------------------------------------------------------


def plain_losses(trainer: Trainer) -> list[float]:
    """Validation losses by a loop over photos: each gallery and unit alone through the network."""
    material, network = trainer.material, trainer.network.eval()

    def embed(rows: np.ndarray) -> Tensor:
        with torch.no_grad():
            return network.embed(trainer.rows[rows])

    sums: dict[str, list[float]] = {task.name: [] for task in material.tasks}
    for gallery in np.flatnonzero(material.galleries.split == "validation"):
        outputs = network.heads(embed(material.galleries.photo_rows(np.array([gallery]))).mean(0, keepdim=True))
        for task in material.tasks:
            labels, output = material.labels[task.name], outputs[task.name][0].detach()
            value = torch.as_tensor(labels.values[gallery])
            if not labels.known[gallery] or (task.kind == "multiclass" and int(value) < 0):
                continue
            if task.kind == "multiclass":
                loss = functional.cross_entropy(output, value)
            elif task.kind == "binary":
                loss = functional.binary_cross_entropy_with_logits(output, value.float())
            else:
                loss = (output - value) ** 2
            sums[task.name].append(float(loss))
    first = len(material.galleries.paths)
    heads = iter(network.softmax)
    for source in material.sources:
        for place, task in enumerate(source.tasks):
            head = next(heads)
            sums[task.full_name] = [
                float(functional.cross_entropy(head(embed(first + source.crops[[unit]]))[0], torch.tensor(target)))
                for unit, target in enumerate(source.targets[:, place])
                if not source.trains[unit] and target >= 0
            ]
    return [sum(losses) / len(losses) for losses in sums.values()]


def test_validation_losses_are_those_of_a_plain_loop(marketplace: Path, tmp_path: Path) -> None:
    trainer = trainer_of(material_of(marketplace))
    trainer.train_epoch(checkpoint(tmp_path))
    inside, outside = trainer.validation_losses()
    assert [*inside, *outside] == pytest.approx(plain_losses(trainer), rel=1e-4)


def test_a_task_with_sampled_proxies_validates_on_the_same_sample_in_every_epoch(marketplace: Path) -> None:
    trainer = trainer_of(material_of(marketplace, ["camera"]), sampled={"camera/set": 9}, batch_photos=8)
    source = trainer.material.sources[0]
    units = np.flatnonzero(~source.trains)
    with torch.no_grad():
        embeddings = trainer.network.eval().embed(trainer.rows[source.crops[units]])
    expected = validation_loss(
        trainer.network.sampled["camera/set"], embeddings, torch.from_numpy(source.targets[units, 0]), 0
    )
    for _ in range(2):
        assert trainer.validation_losses()[1].tolist() == pytest.approx([float(expected)], rel=1e-5)


# --- when training ends ----------------------------------------------------------------------------------------------


def ended(trainer: Trainer, tmp_path: Path, losses: list[float]) -> list[dict[str, Tensor]]:
    """Train as if these were the validation losses of all tasks; the encoder's weights after each epoch."""
    weights = []

    def validation_losses() -> tuple[np.ndarray, np.ndarray]:
        weights.append({name: value.clone() for name, value in trainer.network.encoder.state_dict().items()})
        return np.zeros(len(trainer.material.tasks)), np.full(len(trainer.image_tasks), losses[len(weights) - 1])

    trainer.validation_losses = validation_losses  # type: ignore[method-assign]
    trainer.run(checkpoint(tmp_path))
    return weights


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("patience", "losses", "epochs", "best"),
    [
        (1, [3.0, 2.0, 2.5, 1.0], 3, 1),
        (2, [3.0, 2.0, 2.5, 1.0], 4, 3),
        (1, [3.0, 3.0, 1.0, 1.0], 2, 0),
        (2, [1.0, 2.0, 2.0, 0.5], 3, 0),
        (None, [1.0, 2.0, 3.0, 4.0], 4, 3),
    ],
)
def test_training_stops_after_so_many_epochs_without_a_lower_loss_and_keeps_the_best(
    marketplace: Path, tmp_path: Path, patience: int | None, losses: list[float], epochs: int, best: int
) -> None:
    """Without patience all epochs are trained, and the last one stays."""
    trainer = trainer_of(material_of(marketplace, ["camera"]), patience=patience, max_epochs=4)
    weights = ended(trainer, tmp_path, losses)
    assert len(weights) == len(trainer.progress.history) == epochs
    assert trainer.progress.best_epoch == best
    assert [same(each, trainer.network.encoder.state_dict()) for each in weights].index(True) == best


def test_warm_up_leaves_the_backbone_alone_and_then_everything_learns(marketplace: Path, tmp_path: Path) -> None:
    trainer = trainer_of(
        material_of(marketplace, ["camera"]),
        frozen_blocks=8,
        warm_up_epochs=1,
        warm_up_batch_photos=8,
        optimiser="sgd",
        dropout=0.0,
    )
    start = {name: value.clone() for name, value in trainer.network.encoder.state_dict().items()}
    after = ended(trainer, tmp_path, [2.0, 1.0])
    backbone = [name for name in start if name.startswith("tail.") and "num_batches" not in name]
    module = [name for name in start if name.startswith("ending.")]
    assert backbone and module
    assert all(torch.equal(start[name], after[0][name]) for name in backbone), "with its batch norm's statistics"
    assert not any(torch.equal(start[name], after[0][name]) for name in module)
    assert not any(torch.equal(after[0][name], after[1][name]) for name in backbone)


def test_learning_goes_on_through_all_losses(marketplace: Path, tmp_path: Path) -> None:
    changes = {"frozen_blocks": 8, "max_epochs": 6, "dropout": 0.0, "sampled": {"camera/set": 9}, "batch_photos": 24}
    trainer = trainer_of(material_of(marketplace), proxy_learning_rate=0.1, **changes)
    history = trainer.run(checkpoint(tmp_path)).history
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]


def test_the_photos_learned_from_are_those_of_the_planned_batches(marketplace: Path, tmp_path: Path) -> None:
    """Galleries count by their photos. An epoch is one pass through the largest source: tests/training/test_mixture."""
    trainer = trainer_of(material_of(marketplace), batch_photos=24, max_epochs=3)
    trainer.run(checkpoint(tmp_path))
    counts, planned = shares(trainer.pools, 24, "even"), 0
    for epoch in range(3):
        for galleries, *units in batches_of(trainer.pools, counts, trainer.params.seed, epoch):
            planned += int(trainer.material.galleries.counts[galleries].sum()) + sum(map(len, units))
    assert trainer.progress.photos == planned


def test_dropout_depends_on_epoch_step_and_process_alone(marketplace: Path) -> None:
    trainer = trainer_of(material_of(marketplace, ["camera"]))
    drawn = []
    for epoch, step, rank in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (0, 0, 0)]:
        trainer.progress.epoch, trainer.progress.step = epoch, step
        trainer.group = Processes(rank, 2, "cpu")
        trainer._seed()
        drawn.append(tuple(torch.rand(3).tolist()))
    assert drawn[0] == drawn[4] and len(set(drawn)) == 4


# --- augmentation ----------------------------------------------------------------------------------------------------

AUGMENT = {"augment": True, "frozen_blocks": 0, "short_side": 36, "sources": ("camera",), "batch_photos": 6}


def test_a_photo_changes_by_epoch_step_and_photo_wherever_it_is_read(marketplace: Path) -> None:
    material = material_of(marketplace, ["camera"])
    encoder = trainer_of(material, **AUGMENT, max_epochs=1).network.encoder
    every = [(np.arange(7),), (np.arange(7),)]
    rows = AugmentedRows(encoder, material, (1, 0))
    whole, again = (BatchReader(rows, material, every, ALONE)[number][0] for number in range(2))
    assert whole.shape == (7, 32, 32, 3) and whole.dtype == torch.uint8
    for rank in range(2):
        part, number = BatchReader(rows, material, every, Processes(rank, 2, "cpu"))[0]
        assert number == 0 and torch.equal(part, whole[rank::2])
    assert not torch.equal(again, whole)
    later = AugmentedRows(encoder, material, (1, 1))
    assert not torch.equal(BatchReader(later, material, every, ALONE)[0][0], whole)


def test_validation_photos_are_not_changed(marketplace: Path) -> None:
    """Section 4.1: "during testing we center crop to a 224x224 image from the resized image"."""
    material = material_of(marketplace, ["camera"])
    trainer = trainer_of(material, **AUGMENT, max_epochs=1)
    rows = material.sources[0].crops[~material.sources[0].trains]
    pixels = read_pixels(PhotoStore(marketplace / "data"), [material.paths[row] for row in rows], 32, 36)
    assert np.array_equal(trainer.rows[rows].numpy(), pixels)


def test_training_on_changed_photos_resumes_with_the_same_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    whole = digest_folder(small.go(root, **AUGMENT, max_epochs=1))
    (root / "artifacts/train").rename(root / "whole")
    step, calls = loop.Trainer._step, iter(range(2))

    def stopping(*arguments: Any) -> float:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Trainer, "_step", stopping)
        small.go(root, **AUGMENT, max_epochs=1)
    assert digest_folder(small.go(root, **AUGMENT, max_epochs=1)) == whole


# --- what cannot be trained ------------------------------------------------------------------------------------------


def test_a_sample_that_a_batch_may_exceed_is_refused_before_training(marketplace: Path) -> None:
    with pytest.raises(ShoplensError, match=r"train.sampled: .* 10 classes of camera/set, and only 4 .* at least 10"):
        trainer_of(material_of(marketplace), sampled={"camera/set": 4})


def test_a_sample_that_only_the_warm_up_exceeds_is_refused_before_training(marketplace: Path) -> None:
    warm_up = {"warm_up_epochs": 1, "warm_up_batch_photos": 24, "batch_photos": 9}
    with pytest.raises(ShoplensError, match="8 classes of camera/set, and only 4 are sampled"):
        trainer_of(material_of(marketplace), sampled={"camera/set": 4}, **warm_up)
    trainer_of(material_of(marketplace), sampled={"camera/set": 8}, **warm_up)


def without_validation(material: Material) -> Material:
    return replace(material, sources=[replace(s, trains=np.ones(len(s.trains), bool)) for s in material.sources])


def test_nothing_to_validate_on_is_refused_if_training_is_to_stop_by_it(marketplace: Path) -> None:
    with pytest.raises(ShoplensError, match=r"nothing that trains has a validation label.*train.patience to null"):
        trainer_of(without_validation(material_of(marketplace, ["camera"])), patience=1)


def test_without_patience_nothing_has_to_validate_and_no_loss_is_made_up(marketplace: Path, tmp_path: Path) -> None:
    trainer = trainer_of(without_validation(material_of(marketplace, ["camera"])), patience=None)
    history = trainer.run(checkpoint(tmp_path)).history
    assert [set(row) for row in history] == [{"epoch", "train_loss", "val_loss"}] * 2


def test_gradnorm_needs_a_shared_layer(marketplace: Path) -> None:
    changes = {"module": "layer_norm", "embedding_dim": None, "balance": "gradnorm"}
    with pytest.raises(ShoplensError, match=r"gradnorm needs a layer that all tasks share: set train.embedding_dim"):
        trainer_of(material_of(marketplace, ["camera"]), **changes)


def test_gradnorm_balances_by_the_weights_of_the_last_shared_layer(marketplace: Path) -> None:
    trainer = trainer_of(material_of(marketplace, ["camera"]), balance="gradnorm")
    assert trainer._last_shared() is trainer.network.encoder.ending.projection.weight
