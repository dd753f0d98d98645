"""Losses equal values computed by hand (Booking, section 3.3), and unknown labels do not touch them."""

import math

import pytest
import torch

from shoplens.data.tasks import Task
from shoplens.training.losses import Kendall, PseudoUniform, Target, build_loss, task_losses, usable

BINARY = Task(name="pool", kind="binary", n=4)
CLASSES = Task(name="type", kind="multiclass", n=4, classes=("a", "b", "c"))
NUMBER = Task(name="price", kind="regression", n=4, mean=10.0, variance=25.0)
TASKS = [BINARY, CLASSES, NUMBER]
OUTPUTS = {
    "pool": torch.tensor([0.0, 2.0, -1.0]),
    "type": torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0], [9.0, 9.0, 9.0]]),
    "price": torch.tensor([12.0, 7.0, 100.0]),
}
TARGETS = {
    "pool": Target(torch.tensor([1, 0, 1]), torch.tensor([True, True, False])),
    "type": Target(torch.tensor([2, 0, -1]), torch.tensor([True, True, True])),  # -1: a class unseen in training
    "price": Target(torch.tensor([10.0, 10.0, math.inf]), torch.tensor([True, True, False])),
}
BY_HAND = [
    (math.log(2) + math.log(1 + math.exp(2))) / 2,
    (math.log(3) + math.log(math.e + 1 + 1 / math.e) - 1) / 2,
    (4 + 9) / 2,
]


def labelled(tasks: list[Task], targets: dict[str, Target]) -> torch.Tensor:
    return torch.tensor([int(usable(task, targets[task.name]).sum()) for task in tasks])


def test_task_losses_equal_hand_computed_values() -> None:
    assert task_losses(TASKS, OUTPUTS, TARGETS, labelled(TASKS, TARGETS)).tolist() == pytest.approx(BY_HAND, rel=1e-6)


def test_pseudo_uniform_divides_squared_errors_by_the_variance() -> None:
    total = PseudoUniform(TASKS)(task_losses(TASKS, OUTPUTS, TARGETS, labelled(TASKS, TARGETS)))
    assert float(total) == pytest.approx(BY_HAND[0] + BY_HAND[1] + BY_HAND[2] / 25, rel=1e-6)


def test_kendall_equals_its_formula_and_its_hand_derived_gradient() -> None:
    loss = Kendall(TASKS)
    with torch.no_grad():
        loss.log_scales.copy_(torch.tensor([0.1, -0.2, 0.3]))
    total = loss(torch.tensor(BY_HAND))
    by_hand = (
        BY_HAND[0] / math.exp(0.1) ** 2
        + 0.1
        + BY_HAND[1] / math.exp(-0.2) ** 2
        - 0.2
        + BY_HAND[2] / (2 * math.exp(0.3) ** 2)
        + 0.3
    )
    assert total.item() == pytest.approx(by_hand, rel=1e-6)
    total.backward()
    gradient = [
        1 - 2 * BY_HAND[0] * math.exp(-0.2),
        1 - 2 * BY_HAND[1] * math.exp(0.4),
        1 - BY_HAND[2] * math.exp(-0.6),
    ]
    assert loss.log_scales.grad is not None
    assert loss.log_scales.grad.tolist() == pytest.approx(gradient, rel=1e-5)


def test_kendall_starts_regressions_at_their_standard_deviation() -> None:
    assert Kendall(TASKS).log_scales.exp().tolist() == pytest.approx([1, 1, 5])


def test_a_task_without_a_label_in_the_batch_is_zero_and_gives_no_gradient() -> None:
    output = torch.tensor([1.0, math.inf], requires_grad=True)
    target = {"pool": Target(torch.tensor([1, 0]), torch.tensor([False, False]))}
    loss = task_losses([BINARY], {"pool": output}, target, labelled([BINARY], target))
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert output.grad is not None
    assert torch.nan_to_num(output.grad, nan=99.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("name", "kind"), [("pseudo_uniform", PseudoUniform), ("kendall", Kendall)])
def test_losses_are_chosen_by_name(name: str, kind: type) -> None:
    assert isinstance(build_loss(name, TASKS), kind)  # type: ignore[arg-type]
