"""recipes/pinterest.yaml trains as the Pinterest paper says, sections 3 and 4."""

from pathlib import Path

import pytest
import torch
import yaml

from shoplens.models.encoder import Transform
from shoplens.params import read_params
from shoplens.training.schedule import plan_epoch
from shoplens.training.train import build_model

FILE = Path(__file__).parents[2] / "recipes" / "pinterest.yaml"
RECIPE = read_params(FILE).train


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


PAPER = {
    "backbone": ("se_resnext101", "4.1"),  # "SE-ResNeXt101 [10] as the base model pre-trained on ImageNet"
    "pretrained": ("download", "4.1"),
    "frozen_blocks": (0, "4.1"),  # "We then train end-to-end"
    "augment": (True, "4.1"),  # "horizontal mirroring, random crops, and color jitter"
    "short_side": (256, "4.1"),  # "from resized 256x256 images"
    "image_size": (224, "4.1"),  # "center crop to a 224x224 image"
    "optimiser": ("sgd", "4.1"),  # its momentum and weight decay: tests/training/test_loop.py
    "learning_rate": (0.01, "4.1"),  # "0.08 (0.01 x 8 from the linear scaling heuristic of [6])"
    "proxy_learning_rate": (None, "4.1"),  # the same
    "decay_every": (3, "4.1"),  # "apply the gamma to reduce learning rate every 3 epochs"
    "warm_up_epochs": (1, "4.1"),  # "for 1 epoch by updating only new parameters"
    "warm_up_batch_photos": (128, "4.1"),  # "with a batch size of 128 per GPU"
    "batch_photos": (64, "4.1"),  # "with a batch size of 64 per GPU"
    "max_epochs": (10, "4.1"),  # "a total of 9 epochs of training (not counting initialization)"
    "patience": (None, "4.1"),
    "module": ("binarisation", "3.3.2"),
    "embedding_dim": (None, "3.3.2"),  # "everything after the global pooling layer but before the task [...] branches"
    "groups": (256, "4.2.1"),  # "GroupNorm [27] (group=256)"
    "dropout": (0.5, "4.2.1"),  # "Dropout (p=0.5)"
    "sources": (("flashlight", "lens", "shop_the_look"), "3.2"),
    "mixing": ("even", "3.4.1"),  # "we balance a uniform mix of each of the datasets"
    "balance": ("equal", "3.4.1"),  # "assigned equal weights and are summed"
    "sampled": ({"flashlight/image_set": 2048, "shop_the_look/instance": 2048}, "3.3.1"),
    "proxy_momentum": ("scaled", "3.4.2"),  # "approximate the momentum update [...] by increasing the learning rate"
}
"""What the paper says and in which section, by the name of the setting."""
OUR_OWN = {"views": 0, "contrast_weight": 0, "gallery_share": None}
"""What it does not have, and what turns that off."""


@pytest.mark.parametrize("name", PAPER)
def test_each_setting_is_the_paper_s(name: str) -> None:
    value, section = PAPER[name]
    assert getattr(RECIPE, name) == value, f"Pinterest, section {section}"


@pytest.mark.parametrize("name", OUR_OWN)
def test_what_the_paper_does_not_have_is_off(name: str) -> None:
    assert getattr(RECIPE, name) == OUR_OWN[name]


def test_the_recipe_writes_down_what_it_takes_from_the_paper() -> None:
    """A default may change; the recipe must not change with it."""
    written = yaml.safe_load(FILE.read_text())["train"]
    assert sorted(set(PAPER) - set(written)) == []
