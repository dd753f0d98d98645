"""Rates and batches of each epoch (Pinterest, section 4.1); the recipe's own are in test_pinterest_recipe.py."""

import pytest

from shoplens.params import TrainParams
from shoplens.training.schedule import Epoch, plan_epoch

PAPER = TrainParams(
    optimiser="sgd",
    learning_rate=0.01,
    warm_up_epochs=1,
    warm_up_batch_photos=128,
    batch_photos=64,
    decay_every=3,
    max_epochs=10,
    patience=None,
)


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_the_papers_schedule_is_one_epoch_at_128_and_nine_at_64_with_a_tenth_every_three(processes: int) -> None:
    """ "0.01 x 8 from the linear scaling heuristic", "gamma of 0.1", "reduce learning rate every 3 epochs"."""
    base = 0.01 * processes
    plans = [plan_epoch(PAPER, epoch, processes) for epoch in range(10)]
    assert plans[0] == Epoch(rate=base, proxy_rate=base, batch_photos=128, new_parameters_only=True)
    assert [plan.rate for plan in plans[1:]] == pytest.approx([base] * 3 + [base / 10] * 3 + [base / 100] * 3)
    assert {(plan.batch_photos, plan.new_parameters_only) for plan in plans[1:]} == {(64, False)}


def test_proxies_may_have_a_rate_of_their_own_that_falls_with_the_others() -> None:
    params = PAPER.model_copy(update={"proxy_learning_rate": 0.5})
    plans = [plan_epoch(params, epoch, 2) for epoch in (0, 3, 4)]
    assert [plan.proxy_rate for plan in plans] == pytest.approx([1.0, 1.0, 0.1])
    assert [plan.rate for plan in plans] == pytest.approx([0.02, 0.02, 0.002])


def test_without_warm_up_and_decay_all_epochs_are_alike() -> None:
    params = TrainParams(learning_rate=1e-3, batch_photos=96, decay_every=None, max_epochs=50)
    assert {plan_epoch(params, epoch, 1) for epoch in range(50)} == {Epoch(1e-3, 1e-3, 96, False)}


def test_without_warm_up_the_first_epochs_count_for_the_decay() -> None:
    params = TrainParams(learning_rate=1.0, decay_every=2, max_epochs=5)
    assert [plan_epoch(params, epoch, 1).rate for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
