"""A row that was left alone for many steps is caught up to where step after step would have brought it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.models.lazy_momentum import IdleSteps, powers


def step_by_step(momentum: float, decay: float, rates: list[float], proxy: float, velocity: float) -> list[float]:
    """torch.optim.SGD's two lines with a gradient of zero, a loop over steps."""
    for rate in rates:
        velocity = momentum * velocity + decay * proxy
        proxy = proxy - rate * velocity
    return [proxy, velocity]


@given(
    momentum=st.floats(0, 0.99),
    decay=st.floats(0, 0.1),
    rates=st.lists(st.sampled_from([0.0, 0.001, 0.1, 2.0]), max_size=60),
    data=st.data(),
)
@settings(deadline=None)
def test_matrices_equal_idle_steps_one_by_one(
    momentum: float, decay: float, rates: list[float], data: st.DataObject
) -> None:
    """Rates of 2 with a decay of 0.1 have complex eigenvalues."""
    done = data.draw(st.lists(st.integers(0, len(rates)), min_size=1, max_size=8))
    idle = IdleSteps(momentum, decay)
    for rate in rates:
        idle.append(rate)
    found = idle.matrices(np.array(done)) @ np.array([0.7, -1.3])
    expected = [step_by_step(momentum, decay, rates[seen:], 0.7, -1.3) for seen in done]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_coinciding_eigenvalues_are_no_special_case() -> None:
    idle = IdleSteps(0.81, 0.1)
    for _ in range(500):
        idle.append(0.1)  # sqrt(0.1 * 0.1) = 1 - sqrt(0.81)
    found = idle.matrices(np.array([0])) @ np.array([1.0, 1.0])
    np.testing.assert_allclose(found[0], step_by_step(0.81, 0.1, [0.1] * 500, 1.0, 1.0), rtol=0, atol=1e-12)


def test_rows_that_have_seen_every_step_stay() -> None:
    idle = IdleSteps(0.9, 1e-4)
    assert idle.matrices(np.array([0, 0])).tolist() == [np.eye(2).tolist()] * 2
    idle.append(0.1)
    assert idle.matrices(np.array([1])).tolist() == [np.eye(2).tolist()]
    assert idle.matrices(np.array([], np.int64)).shape == (0, 2, 2)


def test_a_resumed_history_goes_on() -> None:
    idle, resumed = IdleSteps(0.9, 1e-4), IdleSteps(0.9, 1e-4)
    for rate in (0.1, 0.1, 0.01):
        idle.append(rate)
    resumed.load_state_dict(idle.state_dict())
    for rate in (0.01, 0.001):
        idle.append(rate)
        resumed.append(rate)
    assert resumed.count == idle.count == 5
    assert (resumed.matrices(np.arange(6)) == idle.matrices(np.arange(6))).all()


def test_powers_are_numpys_whatever_the_exponents_have_of_digits() -> None:
    matrix = np.array([[0.99999, -2e-5], [1e-5, 0.9]])
    exponents = np.array([*range(20), 63, 64, 65, 127, 128, 4095, 4096, 4097, 262_143, 262_144, 300_001])
    expected = np.array([np.linalg.matrix_power(matrix, k) for k in exponents.tolist()])
    assert np.abs(expected[-1]).max() > 0.01
    assert powers(matrix, exponents) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert powers(matrix, exponents[:0]).shape == (0, 2, 2)
