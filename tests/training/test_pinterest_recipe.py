"""recipes/pinterest.yaml trains as section 4.1 of the Pinterest paper says."""

from pathlib import Path

import pytest
import torch

from shoplens.models.encoder import Transform
from shoplens.params import read_params
from shoplens.training.schedule import plan_epoch
from shoplens.training.train import build_model

RECIPE = read_params(Path(__file__).parents[2] / "recipes" / "pinterest.yaml").train


@pytest.mark.parametrize("processes", [1, 8])
def test_one_epoch_on_new_parameters_then_nine_at_a_rate_that_falls_every_three(processes: int) -> None:
    base = 0.01 * processes
    rates = [base, *[base] * 3, *[base / 10] * 3, *[base / 100] * 3]
    plans = [plan_epoch(RECIPE, epoch, processes) for epoch in range(RECIPE.max_epochs)]
    assert len(plans) == 1 + 9 and RECIPE.patience is None
    assert [plan.rate for plan in plans] == pytest.approx(rates)
    assert [plan.proxy_rate for plan in plans] == pytest.approx(rates)
    assert [plan.batch_photos for plan in plans] == [128] + [64] * 9
    assert [plan.new_parameters_only for plan in plans] == [True] + [False] * 9


def test_the_embedding_has_2048_bits_from_256_groups() -> None:
    with torch.device("meta"):
        encoder, _ = build_model(RECIPE.model_copy(update={"pretrained": "none"}), [])
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert [(norm.num_groups, norm.num_channels) for norm in norms] == [(256, 2048)]
    assert encoder.dim == 2048
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.config.transform == Transform(size=224, short_side=256)


def test_the_tasks_of_the_paper_that_sample_their_proxies_do() -> None:
    assert RECIPE.sampled == {"flashlight/image_set": 2048, "shop_the_look/instance": 2048}
    assert RECIPE.sources == ("flashlight", "lens", "shop_the_look")
