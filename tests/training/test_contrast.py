"""The contrastive loss: by hand, who searches whom, its memory, and shares of several processes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shoplens.training import contrast
from shoplens.training.contrast import MUTUAL, TEMPERATURE, Contrast
from shoplens.training.processes import Processes
from shoplens.training.sources import ImageSource, SoftmaxTask

ALONE = Processes(0, 1, "cpu")
DIM = 5
WEIGHT = 3.0
EVERY = torch.arange(8)
LABELS = (0, 0, 0, 1, 1, -1, 2, 0)
SEARCHES = (True, True, False, True, False, True, True, False)
SEARCHED = (False, True, True, True, True, True, True, True)
"""Of eight units; 5 has no label, 6 is alone in its class, 7 validates."""


def source(
    labels: Sequence[int] = LABELS, searches: Sequence[bool] = SEARCHES, searched: Sequence[bool] = SEARCHED
) -> ImageSource:
    task = SoftmaxTask("a", "set", tuple("xyz"))
    trains = np.arange(len(labels)) != 7
    targets = np.array(labels)[:, None]
    return ImageSource(
        "a", (task,), np.arange(len(labels)), targets, trains, np.array(searches), np.array(searched), searched_by=0
    )


def embeddings(units: Tensor, turn: int = 0) -> Tensor:
    """Of each unit its own, in every turn another."""
    drawn = [np.random.default_rng([turn, unit]).random(DIM) for unit in units.tolist()]
    return torch.from_numpy(np.array(drawn, np.float32).reshape(-1, DIM))


def filled(*batches: Tensor) -> Contrast:
    """A loss that has seen these batches."""
    made = Contrast(source(), 0, DIM, WEIGHT)
    for turn, units in enumerate(batches):
        made.remember(embeddings(units, turn), units, ALONE)
    return made


def by_hand(photos: Tensor, units: Tensor, memory: dict[int, Tensor]) -> float:
    losses = []
    for photo, unit in zip(functional.normalize(photos, dim=1), units.tolist(), strict=True):
        keys = {at: functional.normalize(key, dim=0) for at, key in memory.items() if at != unit}
        own = [at for at in keys if LABELS[at] == LABELS[unit]]
        if SEARCHES[unit] and LABELS[unit] >= 0 and own:
            likeness = {at: math.exp(float(photo @ key) / TEMPERATURE) for at, key in keys.items()}
            losses.append(-sum(math.log(likeness[at] / sum(likeness.values())) for at in own) / len(own))
    return MUTUAL * WEIGHT * sum(losses) / len(losses)


def test_it_is_the_mean_over_keys_of_the_class_of_their_log_share() -> None:
    memory = {
        unit: embeddings(torch.tensor([unit]))[0] for unit in (1, 2, 3, 4, 6)
    }  # 0 is not searched, 5 has no label
    made, photos = filled(EVERY[:7]), embeddings(EVERY[:7], 9)
    assert sorted(made.units.tolist()) == sorted(memory)
    assert float(made(photos, EVERY[:7], EVERY[:7])) == pytest.approx(by_hand(photos, EVERY[:7], memory), rel=1e-5)


def test_only_photos_that_search_and_find_their_class_have_a_gradient() -> None:
    photos = embeddings(EVERY, 9).requires_grad_()
    filled(EVERY[:7])(photos, EVERY, EVERY).backward()
    assert photos.grad is not None
    assert (photos.grad != 0).any(dim=1).tolist() == [True, True, False, True, False, False, False, False]


def test_an_empty_memory_gives_no_loss_and_no_gradient_but_takes_part() -> None:
    photos = embeddings(EVERY).requires_grad_()
    loss = Contrast(source(), 0, DIM, WEIGHT)(photos, EVERY, EVERY)
    loss.backward()
    assert float(loss.detach()) == 0 and photos.grad is not None and not photos.grad.any()


def test_the_newest_photos_take_the_places_of_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrast, "MEMORY", 3)
    made = filled(EVERY[1:3], EVERY[3:5])
    assert sorted(made.units.tolist()) == [2, 3, 4]
    for turn, unit in ((0, 2), (1, 3), (1, 4)):
        key = made.keys[made.units.tolist().index(unit)]
        torch.testing.assert_close(key, functional.normalize(embeddings(torch.tensor([unit]), turn)[0], dim=0))
    made.remember(embeddings(EVERY[:7]), EVERY[:7], ALONE)
    assert sorted(made.units.tolist()) == [3, 4, 6], "the last three of a batch that is larger than the memory"


def test_a_memory_without_a_bound_holds_each_training_photo_once() -> None:
    assert len(filled().keys) == 5


def test_the_memory_is_part_of_the_state() -> None:
    made, photos = filled(EVERY[:4], EVERY[4:7]), embeddings(EVERY, 9)
    other = Contrast(source(), 0, DIM, WEIGHT)
    other.load_state_dict(made.state_dict())
    assert float(other(photos, EVERY, EVERY)) == float(made(photos, EVERY, EVERY)) != 0
    assert list(made.parameters()) == []


@dataclass(frozen=True)
class Halves(Processes):
    """One of two processes; what the other one adds is given."""

    other: np.ndarray | None = None

    def add_up(self, value: np.ndarray) -> np.ndarray:
        assert self.other is not None
        return value + self.other


def test_two_processes_remember_the_same_and_their_losses_add_up() -> None:
    one, photos, fresh = filled(EVERY[:7]), embeddings(EVERY[:7]), embeddings(EVERY, 9)
    for rank in range(2):
        made, mine = Contrast(source(), 0, DIM, WEIGHT), Processes(rank, 2, "cpu").own(np.arange(7))
        theirs = functional.normalize(photos, dim=1).numpy().copy()
        theirs[mine] = 0
        made.remember(photos[mine], EVERY[:7], Halves(rank, 2, "cpu", theirs))
        assert torch.equal(made.units, one.units)
        torch.testing.assert_close(made.keys, one.keys)
    parts = [one(fresh[rank::2], EVERY[rank::2], EVERY) for rank in range(2)]
    assert float(sum(parts)) == pytest.approx(float(one(fresh, EVERY, EVERY)), rel=1e-6)


def test_a_source_none_of_whose_photos_is_on_both_sides_has_its_whole_weight() -> None:
    made, photos = Contrast(source(searched=[not side for side in SEARCHES]), 0, DIM, WEIGHT), embeddings(EVERY, 9)
    made.remember(embeddings(EVERY[:7]), EVERY[:7], ALONE)
    memory = {unit: embeddings(torch.tensor([unit]))[0] for unit in (2, 4)}
    expected = by_hand(photos[:7], EVERY[:7], memory) / MUTUAL
    assert float(made(photos[:7], EVERY[:7], EVERY[:7])) == pytest.approx(expected, rel=1e-5)
