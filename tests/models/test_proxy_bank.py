"""Only touched rows move, lazy momentum is dense SGD's, memory or file is the same, a resumed bank goes on exactly."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from oracles.proxies import DenseProxies
from torch.nn import functional

from shoplens.errors import ShoplensError, system_error
from shoplens.models import proxy_bank
from shoplens.models.proxies import positions_in
from shoplens.models.proxy_bank import Place, ProxyBank, ProxySGD

CLASSES = [f"set {i}" for i in range(37)]
CPU = torch.device("cpu")
EVERY = np.arange(len(CLASSES))
# (momentum, weight decay): the paper's, strong decay, and none of either
SETTINGS = [(0.9, 1e-4), (0.9, 0.05), (0.5, 0.0), (0.0, 0.01), (0.0, 0.0)]


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def bank_of(
    folder: Path,
    rule: Literal["lazy", "scaled"] = "lazy",
    setting: tuple[float, float] = (0.9, 1e-4),
    memory_gib: float = 1.0,
    seed: int = 1,
) -> ProxyBank:
    return ProxyBank(CLASSES, 5, ProxySGD(rule, *setting), Place(memory_gib, folder), seed)


Batch = tuple[torch.Tensor, np.ndarray, np.ndarray, float]


def batches(count: int, seed: int = 0) -> list[Batch]:
    """Embeddings, targets, sampled classes and learning rates: three rates, the largest one unusually large."""
    rng = np.random.default_rng(seed)
    found = []
    for step in range(count):
        sample = np.sort(rng.choice(len(CLASSES), 8, replace=False))
        rate = (0.5, 3.0, 0.05)[3 * step // count]
        found.append((torch.from_numpy(rng.normal(size=(6, 5))), rng.choice(sample, 6), sample, rate))
    return found


def train(bank: ProxyBank, steps: list[Batch], device: torch.device = CPU) -> None:
    for embeddings, targets, sample, rate in steps:
        rows = bank.gather(sample, device)
        logits = embeddings.to(device, rows.dtype) @ rows.T
        functional.cross_entropy(logits, torch.from_numpy(positions_in(sample, targets)).to(device)).backward()
        bank.update(rate)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("setting", SETTINGS)
def test_lazy_momentum_equals_dense_sgd_for_every_row(tmp_path: Path, setting: tuple[float, float]) -> None:
    bank = bank_of(tmp_path, setting=setting)
    dense = DenseProxies(bank.read(EVERY), *setting)
    steps = batches(60)
    for number, (embeddings, targets, sample, rate) in enumerate(steps):
        if number == 20:
            # a batch without labels: dense gradients of zero
            dense.step(embeddings * 0, targets.tolist(), sample, rate)
            bank.update(rate)
        train(bank, [(embeddings, targets, sample, rate)])
        dense.step(embeddings, targets.tolist(), sample, rate)
    torch.testing.assert_close(bank.read(EVERY), dense.rows.detach(), rtol=0, atol=1e-10)


@pytest.mark.usefixtures("double")
def test_the_scaled_rule_is_one_step_at_ten_times_the_rate(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, "scaled", (0.9, 0.01))
    before = bank.read(EVERY)
    dense = DenseProxies(before, momentum=0.0, weight_decay=0.01)
    embeddings, targets, sample, rate = batches(1)[0]
    train(bank, [(embeddings, targets, sample, rate)])
    dense.step(embeddings, targets.tolist(), sample, 10 * rate)
    torch.testing.assert_close(bank.read(sample), dense.rows.detach()[sample], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("setting", SETTINGS)
def test_without_momentum_both_rules_agree_where_nothing_decays(tmp_path: Path, setting: tuple[float, float]) -> None:
    """And differ otherwise: one of them would have been enough."""
    lazy, scaled = bank_of(tmp_path, setting=setting), bank_of(tmp_path, "scaled", setting)
    for bank in (lazy, scaled):
        train(bank, batches(20))
    assert torch.allclose(lazy.read(EVERY), scaled.read(EVERY), atol=1e-12) == (setting == (0.0, 0.0))


@pytest.mark.parametrize("rule", ["lazy", "scaled"])
def test_a_step_writes_the_sampled_rows_and_no_other(tmp_path: Path, rule: Literal["lazy", "scaled"]) -> None:
    bank = bank_of(tmp_path, rule)
    table = bank.state_dict()["table"]
    before = table.clone()
    steps = batches(1)
    train(bank, steps)
    changed = (table != before).flatten(1).any(dim=1).numpy()
    assert np.flatnonzero(changed).tolist() == steps[0][2].tolist()


def test_the_gradient_has_the_sampled_rows_only_and_what_changes_it_counts(tmp_path: Path) -> None:
    bank, halved = bank_of(tmp_path, "scaled", (0.9, 0.0)), bank_of(tmp_path, "scaled", (0.9, 0.0))
    sample = np.array([3, 20])
    before = bank.read(EVERY)
    for each, factor in ((bank, 1.0), (halved, 0.5)):
        rows = each.gather(sample, CPU)
        (rows * torch.tensor([[1.0], [-2.0]])).sum().backward()
        assert rows.grad is not None and rows.grad.shape == (2, 5)
        rows.grad *= factor  # as a mean over two processes does
        each.update(0.01)
    torch.testing.assert_close(bank.read(EVERY) - before, 2 * (halved.read(EVERY) - before))


def test_gathering_again_before_the_update_would_lose_a_gradient(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    bank.gather(np.array([1]), CPU).sum().backward()
    with pytest.raises(RuntimeError, match="call update"):
        bank.gather(np.array([2]), CPU)
    bank.update(0.1)
    with torch.no_grad():
        bank.gather(np.array([2]), CPU)  # a validation batch: no gradient, nothing to lose
    bank.gather(np.array([2]), CPU)


def test_mixed_precision_around_a_gather_does_not_round_the_rows(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    train(bank, batches(3))
    expected = bank.read(EVERY)
    with torch.autocast("cpu", torch.bfloat16):
        rows = bank.gather(EVERY, CPU)
    assert rows.dtype == torch.float32
    assert torch.equal(rows, expected)


@pytest.mark.parametrize("rule", ["lazy", "scaled"])
def test_rows_are_the_same_however_many_are_worked_on_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: Literal["lazy", "scaled"]
) -> None:
    whole = bank_of(tmp_path, rule)
    train(whole, batches(30))
    monkeypatch.setattr(proxy_bank, "PIECE", 3 * whole.state_dict()["table"][:1].nbytes)  # a sample of 8: 3, 3 and 2
    pieces = bank_of(tmp_path, rule)
    train(pieces, batches(30))
    assert torch.equal(whole.read(EVERY), pieces.read(EVERY))


@pytest.mark.parametrize("rule", ["lazy", "scaled"])
def test_a_mapped_file_holds_the_same_and_leaves_nothing_behind(
    tmp_path: Path, rule: Literal["lazy", "scaled"]
) -> None:
    memory, mapped = bank_of(tmp_path / "a", rule), bank_of(tmp_path / "b", rule, memory_gib=0)
    for bank in (memory, mapped):
        train(bank, batches(30))
    assert torch.equal(memory.read(EVERY), mapped.read(EVERY))
    assert not (tmp_path / "a").exists()
    assert list((tmp_path / "b").iterdir()) == []


def test_a_disk_without_room_is_an_error_before_training(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        ProxyBank(["a", "b"], 2**51, ProxySGD("scaled"), Place(1.0, tmp_path), 0)
    assert "make room" in str(system_error(caught.value))


@pytest.mark.parametrize("rule", ["lazy", "scaled"])
def test_a_resumed_bank_goes_on_exactly(tmp_path: Path, rule: Literal["lazy", "scaled"]) -> None:
    straight, first, resumed = bank_of(tmp_path, rule), bank_of(tmp_path, rule), bank_of(tmp_path, rule, seed=9)
    steps = batches(40)
    train(straight, steps)
    train(first, steps[:25])
    content = io.BytesIO()
    torch.save(first.state_dict(), content)
    content.seek(0)
    resumed.load_state_dict(torch.load(content, weights_only=True))
    assert resumed.steps == 25
    train(resumed, steps[25:])
    assert torch.equal(resumed.read(EVERY), straight.read(EVERY))


def test_a_checkpoint_of_other_classes_or_another_shape_is_refused(tmp_path: Path) -> None:
    state = bank_of(tmp_path).state_dict()
    other = ProxyBank([*CLASSES[:-1], "another set"], 5, ProxySGD("lazy"), Place(1.0, tmp_path), 1)
    with pytest.raises(ShoplensError, match="another list of classes"):
        other.load_state_dict(state)
    wider = ProxyBank(CLASSES, 6, ProxySGD("lazy"), Place(1.0, tmp_path), 1)
    with pytest.raises(ShoplensError, match="another width or momentum rule"):
        wider.load_state_dict(state)
    with pytest.raises(ShoplensError, match="another width or momentum rule"):
        bank_of(tmp_path, "scaled").load_state_dict(state)


def test_rows_start_like_a_linear_layers_by_the_seed(tmp_path: Path) -> None:
    rows = bank_of(tmp_path).read(EVERY)
    assert 0.9 / 5**0.5 < rows.abs().max() <= 1 / 5**0.5
    assert rows.mean().abs() < 0.1
    assert torch.equal(rows, bank_of(tmp_path).read(EVERY))
    assert not torch.equal(rows, bank_of(tmp_path, seed=2).read(EVERY))


def test_velocities_double_the_memory(tmp_path: Path) -> None:
    assert bank_of(tmp_path, "scaled").nbytes == 37 * (5 * 4 + 8)
    assert bank_of(tmp_path, "lazy").nbytes == 37 * (2 * 5 * 4 + 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("rule", ["lazy", "scaled"])
def test_rows_that_travel_to_a_gpu_and_back_are_those_of_the_cpu(
    tmp_path: Path, rule: Literal["lazy", "scaled"]
) -> None:
    here, there = bank_of(tmp_path, rule), bank_of(tmp_path, rule)
    train(here, batches(60))
    train(there, batches(60), torch.device("cuda"))
    torch.testing.assert_close(there.read(EVERY), here.read(EVERY), rtol=0, atol=1e-10)
