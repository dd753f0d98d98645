"""The sample holds the targets, has the exact size and is uniform; over all classes it is the full softmax."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.proxies import algorithm_1
from scipy import stats
from torch.nn import functional

from shoplens.errors import ShoplensError
from shoplens.models.proxies import SampledSoftmax, positions_in, sample_classes
from shoplens.models.proxy_bank import Place, ProxyBank, ProxySGD

CPU = torch.device("cpu")


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def softmax_of(folder: Path, classes: int, samples: int, dim: int = 6) -> SampledSoftmax:
    names = [str(i) for i in range(classes)]
    return SampledSoftmax(ProxyBank(names, dim, ProxySGD("lazy"), Place(1.0, folder), 3), samples, 5)


@given(classes=st.integers(1, 400), samples=st.integers(1, 500), seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(deadline=None)
def test_a_sample_holds_the_targets_and_exactly_as_many_distinct_classes(
    classes: int, samples: int, seed: int, data: st.DataObject
) -> None:
    targets = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=samples)))
    sample = sample_classes(targets, classes, samples, np.random.default_rng(seed))
    assert len(sample) == len(set(sample.tolist())) == min(samples, classes)
    assert set(targets.tolist()) <= set(sample.tolist()) <= set(range(classes))
    assert (sample[positions_in(sample, targets)] == targets).all()


def test_every_set_of_the_other_classes_is_equally_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(sample_classes(np.array([4, 1, 4]), 9, 5, rng).tolist()) for _ in range(7000))
    possible = [tuple(sorted((1, 4, *rest))) for rest in combinations((0, 2, 3, 5, 6, 7, 8), 3)]
    assert set(drawn) == set(possible)
    assert stats.chisquare([drawn[each] for each in possible]).pvalue > 1e-3


@pytest.mark.parametrize(("classes", "samples"), [(12_000, 1000), (30_000, 200)])
def test_every_other_class_is_equally_likely_among_many(classes: int, samples: int) -> None:
    """A large and a small share of the classes: the generator has another method for each."""
    rng = np.random.default_rng(1)
    targets = np.array([0, 5, 6, classes - 1])
    draws = 400
    counts = np.zeros(classes)
    for _ in range(draws):
        counts[sample_classes(targets, classes, samples, rng)] += 1
    assert (counts[targets] == draws).all()
    others = np.delete(counts, targets)
    share = (samples - len(targets)) / len(others)
    # without replacement the counts' variance is that of coins, and their sum is fixed
    statistic = ((others - draws * share) ** 2).sum() / (draws * share * (1 - share)) * (len(others) - 1) / len(others)
    assert 1e-3 < stats.chi2.sf(statistic, len(others) - 1) < 1 - 1e-3
    position = np.average(np.arange(len(others)), weights=others) / len(others)
    assert position == pytest.approx(0.5, abs=0.01)


def test_algorithm_1_draws_samples_of_the_same_kind() -> None:
    """Sizes, targets and the chance of each other class agree with the paper's loop."""
    targets, ours, theirs = [7, 2, 7], np.zeros(20), np.zeros(20)
    rng, loop = np.random.default_rng(2), random.Random(2)
    for _ in range(4000):
        listed, remapped = algorithm_1(targets, 20, 6, loop)
        assert [listed[place] for place in remapped] == targets
        theirs[listed] += 1
        ours[sample_classes(np.array(targets), 20, 6, rng)] += 1
    assert ours.sum() == theirs.sum()
    assert ours == pytest.approx(theirs, abs=5 * math.sqrt(2 * 4000 * 4 / 18 * 14 / 18))


def test_more_classes_in_a_batch_than_in_a_sample_are_refused() -> None:
    with pytest.raises(ShoplensError, match="photos of 3 classes, and only 2 are sampled"):
        sample_classes(np.array([1, 2, 3]), 10, 2, np.random.default_rng(0))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("samples", [40, 100])
def test_sampling_all_classes_is_the_full_softmax_in_loss_and_gradients(tmp_path: Path, samples: int) -> None:
    head = softmax_of(tmp_path, classes=40, samples=samples)
    torch.manual_seed(0)
    embeddings = torch.randn(12, 6, requires_grad=True)
    targets = torch.randint(40, (12,))
    rows = head.draw(targets, CPU)
    loss = head.loss(embeddings, targets)
    loss.backward()

    weight = head.bank.read(np.arange(40)).requires_grad_()
    copied = embeddings.detach().clone().requires_grad_()
    full = functional.cross_entropy(copied @ weight.T, targets)
    full.backward()
    torch.testing.assert_close(loss, full, rtol=0, atol=1e-10)
    torch.testing.assert_close(rows.grad, weight.grad, rtol=0, atol=1e-10)
    torch.testing.assert_close(embeddings.grad, copied.grad, rtol=0, atol=1e-10)


def test_guessing_among_2048_classes_costs_the_papers_7_62(tmp_path: Path) -> None:
    """Section 3.3.1: "the maximum loss from random guessing is ln(2048)"; with `<=` it would be ln(2049)."""
    head = softmax_of(tmp_path, classes=5000, samples=2048)
    targets = torch.arange(64)
    head.draw(targets, CPU)
    assert head.loss(torch.zeros(64, 6), targets).item() == pytest.approx(math.log(2048), abs=1e-4)


def test_photos_without_a_label_give_no_gradient_whatever_they_are(tmp_path: Path) -> None:
    head = softmax_of(tmp_path, classes=30, samples=10)
    targets = torch.tensor([3, -1, 29, -1])
    embeddings = torch.randn(4, 6)
    embeddings[1] = torch.inf
    embeddings.requires_grad_()
    rows = head.draw(targets, CPU)
    head.loss(embeddings, targets).backward()
    assert embeddings.grad is not None and rows.grad is not None
    assert (embeddings.grad[[1, 3]] == 0).all() and (embeddings.grad[[0, 2]] != 0).any()
    assert rows.grad.isfinite().all()


def test_a_batch_without_labels_costs_nothing_and_counts_as_a_step(tmp_path: Path) -> None:
    head = softmax_of(tmp_path, classes=30, samples=10)
    embeddings = torch.randn(2, 6, requires_grad=True)
    targets = torch.tensor([-1, -1])
    assert head.draw(targets, CPU).shape == (0,)
    loss = head.loss(embeddings, targets)
    loss.backward()
    head.update(0.1)
    assert loss.item() == 0 and embeddings.grad is not None and (embeddings.grad == 0).all()
    assert head.bank.steps == 1


@pytest.mark.usefixtures("double")
def test_losses_and_gradients_of_two_processes_add_up_to_those_of_one(tmp_path: Path) -> None:
    torch.manual_seed(1)
    embeddings, targets = torch.randn(9, 6), torch.tensor([1, -1, 5, 5, 8, -1, -1, 20, 1])
    one = softmax_of(tmp_path, classes=30, samples=10)
    rows = one.draw(targets, CPU)
    whole = one.loss(embeddings, targets)
    whole.backward()
    losses, gradients = [], []
    for part in (slice(0, 3), slice(3, 9)):
        process = softmax_of(tmp_path, classes=30, samples=10)
        drawn = process.draw(targets, CPU)
        losses.append(process.loss(embeddings[part], targets[part]))
        losses[-1].backward()
        gradients.append(drawn.grad)
    torch.testing.assert_close(losses[0] + losses[1], whole)
    torch.testing.assert_close(gradients[0] + gradients[1], rows.grad)


def test_classes_of_one_photo_each_are_learned(tmp_path: Path) -> None:
    head = softmax_of(tmp_path, classes=50, samples=20)
    torch.manual_seed(0)
    embeddings, targets = functional.normalize(torch.randn(8, 6), dim=1), torch.arange(0, 48, 6)
    losses = []
    for _ in range(200):
        head.draw(targets, CPU)
        loss = head.loss(embeddings, targets)
        loss.backward()
        head.update(0.5)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(20), abs=0.5)
    assert losses[-1] < 0.3
    assert ((embeddings @ head.bank.read(np.arange(50)).T).argmax(dim=1) == targets).all()


def test_a_resumed_bank_draws_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    straight, first, resumed = (softmax_of(tmp_path, classes=500, samples=20) for _ in range(3))
    torch.manual_seed(0)
    steps = [(torch.randn(8, 6), torch.randint(500, (8,))) for _ in range(12)]

    def train(head: SampledSoftmax, part: slice) -> None:
        for embeddings, targets in steps[part]:
            head.draw(targets, CPU)
            head.loss(embeddings, targets).backward()
            head.update(0.5)

    train(straight, slice(12))
    train(first, slice(7))
    resumed.bank.load_state_dict(first.bank.state_dict())
    train(resumed, slice(7, 12))
    assert torch.equal(resumed.bank.read(np.arange(500)), straight.bank.read(np.arange(500)))


def test_every_step_samples_afresh_by_the_seed(tmp_path: Path) -> None:
    head, again = (softmax_of(tmp_path, classes=500, samples=20) for _ in range(2))
    targets = torch.tensor([3])
    drawn = []
    for _ in range(5):
        rows = head.draw(targets, CPU)
        assert torch.equal(rows, again.draw(targets, CPU))
        drawn.append(rows)
        head.update(0.0)
        again.update(0.0)
    assert not any(torch.equal(one, other) for one, other in combinations(drawn, 2))
