"""GradNorm (arXiv:1711.02257) equals a numpy implementation with hand-derived gradients, and survives a checkpoint."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.gradnorm import GradNormOracle, loss_and_gradient

from shoplens.training.gradnorm import SMALLEST, GradNorm

TASKS, PHOTOS = 3, 12
SCALES = np.array([1.0, 30.0, 0.1])


class Linear:
    """Two linear layers on random photos, the last of which is a head a task; some targets are unknown."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.x, self.shared = rng.standard_normal((PHOTOS, 5)), rng.standard_normal((5, 4))
        self.heads = rng.standard_normal((TASKS, 4))
        self.targets = SCALES[:, None] * rng.standard_normal((TASKS, PHOTOS))
        self.known = rng.random((TASKS, PHOTOS)) < 0.7

    def known_at(self, step: int) -> np.ndarray:
        """Task 2 has no label at first and then every other step; step 5 has no label at all."""
        known = self.known.copy()
        known[2] &= step % 2 == 1
        return known & (step != 5)

    def torch_losses(self, shared: torch.Tensor, step: int) -> torch.Tensor:
        known = torch.from_numpy(self.known_at(step))
        residual = (torch.from_numpy(self.x) @ shared @ torch.from_numpy(self.heads).T).T
        each = (residual - torch.from_numpy(self.targets)).square()
        return torch.where(known, each, 0.0).sum(1) / known.sum(1).clamp(min=1)


def steps(balancer: GradNorm, model: Linear, shared: torch.Tensor, places: range) -> list[list[float]]:
    """Train the shared layer; the weights after each step."""
    seen = []
    for step in places:
        losses = model.torch_losses(shared, step)
        total = balancer(losses)
        balancer.balance(losses, shared)
        shared.grad = None
        total.backward()
        with torch.no_grad():
            shared -= 1e-3 * shared.grad
        seen.append(balancer.weights.tolist())
    return seen


def start(model: Linear) -> torch.Tensor:
    return torch.from_numpy(model.shared.copy()).requires_grad_()


@pytest.mark.parametrize("asymmetry", [0.0, 0.12, 1.5])
def test_weights_and_training_equal_the_oracle(asymmetry: float) -> None:
    model, oracle = Linear(), GradNormOracle(TASKS, asymmetry, 0.025)
    found_shared, shared = start(model), model.shared.copy()
    found = steps(GradNorm(TASKS, asymmetry).double(), model, found_shared, range(30))
    for step, weights in enumerate(found):
        known, before = model.known_at(step), list(oracle.weights)
        pairs = [
            loss_and_gradient(model.x, shared, *row) for row in zip(model.heads, model.targets, known, strict=True)
        ]
        losses, gradients = zip(*pairs, strict=True)
        oracle.balance(losses, gradients)
        shared -= 1e-3 * sum(weight * gradient for weight, gradient in zip(before, gradients, strict=True))
        assert weights == pytest.approx(oracle.weights, rel=0, abs=1e-10), step
    assert found_shared.detach().numpy() == pytest.approx(shared, rel=0, abs=1e-10)
    assert max(found[-1]) - min(found[-1]) > 0.3


def test_weights_sum_to_the_number_of_tasks_and_the_loud_task_is_turned_down() -> None:
    model = Linear()
    found = steps(GradNorm(TASKS, asymmetry=0.0).double(), model, start(model), range(60))
    for weights in found:
        assert sum(weights) == pytest.approx(TASKS)
    assert found[-1][1] < 0.25 < 0.5 < min(found[-1][0], found[-1][2])


def test_no_weight_becomes_negative() -> None:
    model = Linear()
    found = steps(GradNorm(TASKS, asymmetry=0.0, learning_rate=0.5).double(), model, start(model), range(20))
    assert 0 < min(map(min, found)) <= SMALLEST


def test_a_task_without_a_label_keeps_its_weight_to_the_bit() -> None:
    model = Linear()
    found = steps(GradNorm(TASKS).double(), model, start(model), range(7))
    assert found[0][2] == 1.0
    assert found[4][2] == found[3][2] != found[2][2]
    assert found[5] == found[4]


def test_the_total_uses_equal_weights_at_first_and_gives_the_weights_no_gradient() -> None:
    balancer = GradNorm(2)
    losses = torch.tensor([2.0, 3.0], requires_grad=True)
    balancer(losses).backward()
    assert losses.grad is not None and losses.grad.tolist() == [1.0, 1.0]
    assert list(balancer.parameters()) == []


def test_a_checkpoint_goes_on_as_if_nothing_had_happened() -> None:
    model, shared, balancer = Linear(), start(Linear()), GradNorm(TASKS).double()
    steps(balancer, model, shared, range(4))
    saved = io.BytesIO()
    torch.save({"balancer": balancer.state_dict(), "shared": shared.detach()}, saved)
    expected = steps(balancer, model, shared, range(4, 9))

    saved.seek(0)
    states = torch.load(saved, weights_only=True)
    again = GradNorm(TASKS).double()
    again.load_state_dict(states["balancer"])
    assert steps(again, model, states["shared"].requires_grad_(), range(4, 9)) == expected


TWO_PROCESSES = """
import sys, torch
from torch import distributed
from shoplens.training.gradnorm import GradNorm
distributed.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]), world_size=2)
shared = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
balancer = GradNorm(2).double()
# the second task has labels on the second process alone; each process holds twice its part of the global mean
own = [torch.tensor([[3.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 2.0], [0.5, 1.5]])][int(sys.argv[2])].double()
for _ in range(3):
    balancer.balance((own @ shared).square(), shared)
print(balancer.weights.tolist())
"""


def test_processes_agree_on_the_weights_of_the_global_batch(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "meet")]
    running = [subprocess.Popen([*command, rank], stdout=subprocess.PIPE, text=True, env=environment) for rank in "01"]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]

    shared = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    parts = torch.tensor([[[3.0, 1.0], [0.0, 0.0]], [[1.0, 2.0], [0.5, 1.5]]], dtype=torch.float64)
    balancer = GradNorm(2).double()
    for _ in range(3):
        balancer.balance((parts @ shared).square().mean(0), shared)
    weights = [[float(x) for x in line.strip(" []\n").split(",")] for line in said]
    assert weights[0] == weights[1] == pytest.approx(balancer.weights.tolist(), rel=0, abs=1e-12)
    assert weights[0][0] != 1.0
