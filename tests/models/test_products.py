"""oneDNN's dot products and their gradients are those of float64; what it does not take, torch's own functions do."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from shoplens.models import products
from shoplens.models.products import dot_products


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    """What torch has is asked once a process."""
    products._has_onednn.cache_clear()
    yield
    products._has_onednn.cache_clear()


def test_products_and_both_gradients_are_right_to_float32() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(7, 300, requires_grad=True), torch.randn(50, 300, requires_grad=True)
    weights = torch.randn(7, 50)
    found = dot_products(left, right)
    (found * weights).sum().backward()
    torch.testing.assert_close(found.double(), left.double() @ right.double().T, rtol=0, atol=1e-4)
    torch.testing.assert_close(left.grad, (weights.double() @ right.double()).float(), rtol=0, atol=1e-4)
    torch.testing.assert_close(right.grad, (weights.double().T @ left.double()).float(), rtol=0, atol=1e-4)
    assert found.grad_fn is not None and "Products" in found.grad_fn.name()


@pytest.mark.parametrize("learns", [(True, False), (False, True)])
def test_a_side_that_learns_nothing_gets_no_gradient(learns: tuple[bool, bool]) -> None:
    left, right = torch.randn(3, 8, requires_grad=learns[0]), torch.randn(5, 8, requires_grad=learns[1])
    dot_products(left, right).sum().backward()
    assert (left.grad is not None, right.grad is not None) == learns


def test_without_any_gradient_it_is_a_product() -> None:
    with torch.no_grad():
        assert torch.equal(dot_products(torch.eye(4), torch.ones(2, 4)), torch.ones(4, 2))


def test_other_types_and_mixed_precision_are_torchs_own() -> None:
    left, right = torch.randn(3, 8), torch.randn(5, 8)
    exact = dot_products(left.double(), right.double())
    assert torch.equal(exact, left.double() @ right.double().T)
    with torch.autocast("cpu", torch.bfloat16):
        assert dot_products(left, right).dtype == torch.bfloat16
    assert dot_products(left[:0], right).shape == (0, 5)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_torch_without_the_operation_or_with_other_arguments_takes_its_own_products(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def other(*_: Any) -> torch.Tensor:
        raise error("not as it was")

    monkeypatch.setattr(products, "_linear", other)
    left, right = torch.randn(3, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True)
    found = dot_products(left, right)
    assert torch.equal(found, left @ right.T)
    found.sum().backward()
    assert left.grad is not None and right.grad is not None
