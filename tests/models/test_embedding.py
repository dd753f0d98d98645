"""The three endings of an encoder; groups that would zero one are refused; codes come from before the ReLU."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.models.embedding import EmbeddingModule, Ending, Projection, Standardised, check_groups
from shoplens.models.encoder import pool_galleries
from shoplens.retrieval.codes import bit_density, pack_codes


def module(features: int = 24, width: int | None = None, groups: int = 4) -> EmbeddingModule:
    torch.manual_seed(0)
    made = EmbeddingModule(features, width=width, groups=groups).eval()
    torch.nn.init.normal_(made.norm.weight)
    torch.nn.init.normal_(made.norm.bias)
    return made


def features(count: int, width: int = 24) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(count, width)).astype(np.float32))


@pytest.mark.parametrize("width", [None, 16])
def test_it_is_projection_group_norm_and_relu(width: int | None) -> None:
    made, given_features = module(width=width), features(5)
    with torch.inference_mode():
        projected = given_features.numpy()
        if width is not None:
            assert isinstance(made.projection, torch.nn.Linear)
            projected = projected @ made.projection.weight.numpy().T + made.projection.bias.numpy()
        groups = projected.astype(np.float64).reshape(5, 4, -1)
        centred = groups - groups.mean(axis=2, keepdims=True)
        normalised = (centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + made.norm.eps)).reshape(5, -1)
        expected = normalised * made.norm.weight.numpy() + made.norm.bias.numpy()
        assert made.activation(given_features).numpy() == pytest.approx(expected, abs=1e-4)
        assert made(given_features).numpy() == pytest.approx(np.maximum(expected, 0), abs=1e-4)
    assert made.width == expected.shape[1]


def projected(made: Projection | Standardised, given_features: torch.Tensor) -> np.ndarray:
    """By numpy in double precision."""
    if isinstance(made.projection, torch.nn.Identity):
        return given_features.double().numpy()
    weight, bias = made.projection.weight.detach().double().numpy(), made.projection.bias.detach().double().numpy()
    return np.asarray(given_features.double().numpy() @ weight.T + bias)


def test_the_projection_is_linear_before_the_relu_and_at_least_0_after_it() -> None:
    torch.manual_seed(0)
    made, given_features = Projection(24, 16).eval(), features(50)
    expected = projected(made, given_features)
    assert (expected < 0).any()
    with torch.inference_mode():
        assert made.activation(given_features).numpy() == pytest.approx(expected, abs=1e-5)
        assert made(given_features).numpy() == pytest.approx(np.maximum(expected, 0), abs=1e-5)
    assert made.width == 16


def test_without_a_width_the_projection_is_the_features_themselves() -> None:
    made = Projection(24)
    given_features = features(5) - 2
    assert (made.width, sum(p.numel() for p in made.parameters())) == (24, 0)
    assert torch.equal(made.activation(given_features), given_features)
    assert torch.equal(made(given_features), given_features), "negative ones as well"


@pytest.mark.parametrize("width", [None, 16])
def test_the_baselines_module_standardises_each_photo_without_weights_of_its_own(width: int | None) -> None:
    torch.manual_seed(0)
    made, given_features = Standardised(24, width).eval(), features(50)
    before = projected(made, given_features)
    centred = before - before.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    with torch.inference_mode():
        assert made.activation(given_features).numpy() == pytest.approx(expected, abs=1e-4)
        assert torch.equal(made(given_features), made.activation(given_features)), "nothing is cut off at 0"
    assert made.width == (width or 24)
    assert {name for name, _ in made.named_parameters()} == (
        {"projection.weight", "projection.bias"} if width else set()
    )


@pytest.mark.parametrize(
    "made",
    [Projection(24), Projection(24, 16), Standardised(24), Standardised(24, 16), module(), module(width=16)],
    ids=["features", "projection", "layer norm", "projected layer norm", "group norm", "projected group norm"],
)
def test_every_ending_is_its_embedding_of_its_activation(made: Ending) -> None:
    made.eval()
    with torch.inference_mode():
        activation = made.activation(features(7))
        assert activation.shape == (7, made.width)
        assert torch.equal(made(features(7)), made.embedding(activation))


def test_the_papers_settings_are_the_default() -> None:
    made = EmbeddingModule(2048)
    assert made.norm.num_groups == 256
    embeddings = made.train()(torch.randn(64, 2048, generator=torch.Generator().manual_seed(0)))
    kept = made.embedding(torch.ones(64, 2048))
    assert ((kept == 0) | (kept == 2)).all(), "what dropout keeps is doubled"
    assert (kept == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert (embeddings == 0).float().mean() == pytest.approx(0.75, abs=0.02)


def test_a_photo_is_embedded_alike_alone_and_among_others() -> None:
    made = module(width=16)
    with torch.inference_mode():
        together = made(features(9))
        for row in range(9):
            assert (made(features(9)[row : row + 1]) - together[row]).abs().max() < 1e-6


def test_codes_of_galleries_are_signs_of_the_mean_before_the_relu() -> None:
    made = EmbeddingModule(64, groups=8).eval()
    counts = torch.full((200,), 12)
    photos = torch.randn(2400, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        activations = made.activation(photos)
        codes = pack_codes(pool_galleries(activations, counts).numpy())
        after = pack_codes(pool_galleries(made.embedding(activations), counts).numpy())
    assert np.array_equal(codes, np.packbits(activations.numpy().reshape(200, 12, 64).mean(axis=1) > 0, axis=1))
    assert bit_density(codes, 64).mean() == pytest.approx(0.5, abs=0.05)
    assert bit_density(after, 64).mean() > 0.99, "after the ReLU nothing is left to tell apart"


@given(st.integers(1, 600), st.integers(-1, 600))
def test_groups_are_accepted_exactly_where_the_norm_says_something(width: int, groups: int) -> None:
    if groups >= 1 and width % groups == 0 and width // groups >= 2:
        check_groups(width, groups)
    else:
        with pytest.raises(ShoplensError, match=f"{width} dimensions cannot be normalised in {groups} groups"):
            check_groups(width, groups)


def test_as_many_groups_as_dimensions_would_give_zeros() -> None:
    assert torch.nn.GroupNorm(16, 16)(features(3, 16)).abs().max() < 1e-3, "what is left is rounding"
    with pytest.raises(ShoplensError, match="a group of one dimension normalises to 0"):
        EmbeddingModule(16, groups=16)


@pytest.mark.parametrize(
    ("width", "groups", "said"),
    [
        (256, 256, "256 groups need a width of at least 512, and the closest number of groups that fits is 128"),
        (500, 256, "at least 512, and the closest number of groups that fits is 250"),
        (1280, 250, "1280 is not a multiple of 250; the closest number of groups that fits is 256"),
        (1, 1, "at least 2 dimensions"),
        (64, 0, "there must be a group"),
    ],
)
def test_groups_that_do_not_fit_say_what_does(width: int, groups: int, said: str) -> None:
    with pytest.raises(ShoplensError, match=said):
        EmbeddingModule(32, width=width, groups=groups)
