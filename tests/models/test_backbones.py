"""Backbones give the features of the network that they are cut from."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torchvision.models import vgg19

from shoplens.errors import ShoplensError
from shoplens.models.backbones import IMAGENET_MEAN, IMAGENET_STD, build_backbone
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import count_parameters
from shoplens.params import read_params
from shoplens.training.train import build_model

ROOT = Path(__file__).parents[2]
ETSY = read_params(ROOT / "recipes" / "etsy.yaml").train


@pytest.fixture(scope="module")
def etsy() -> PhotoEncoder:
    """The Etsy recipe's encoder with random weights (its ImageNet weights are a download)."""
    return build_model(ETSY.model_copy(update={"pretrained": "none"}), [])[0].eval()


def photos(count: int, size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def test_etsy_features_are_what_vgg19_feeds_to_its_classifier(etsy: PhotoEncoder) -> None:
    with torch.device("meta"):
        net = vgg19(weights=None).eval()
    # the same tensors in torchvision's order; those of its last layer are left over
    net.load_state_dict(
        dict(zip(net.state_dict(), etsy.state_dict().values(), strict=False)), strict=False, assign=True
    )
    pixels = photos(2, ETSY.image_size)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    inputs = (pixels.permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        expected = net.classifier[:-1](net.avgpool(net.features(inputs)).flatten(1))
        found = etsy(pixels)
    assert found.shape == (2, 4096)
    assert etsy.dim == 4096
    assert float(expected.abs().max()) > 0.01
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_etsy_trains_nothing_of_the_encoder_and_switches_dropout_off(etsy: PhotoEncoder) -> None:
    assert count_parameters(etsy) == 0
    assert sum(p.numel() for p in etsy.parameters()) == 143_667_240 - (4096 * 1000 + 1000), (
        "VGG19 without its last layer"
    )
    pixels = photos(1, 32)
    etsy.train()
    with torch.inference_mode():
        once, again = etsy.finish(etsy.frozen(pixels)), etsy.finish(etsy.frozen(pixels))
    etsy.eval()
    assert torch.equal(once, again)


def test_etsy_scales_the_short_side_and_takes_the_centre(etsy: PhotoEncoder) -> None:
    transform = etsy.config.transform
    assert (transform.short_side, transform.size) == (256, 224)


def test_se_resnext101_gives_timms_pooled_features() -> None:
    torch.manual_seed(0)
    encoder = PhotoEncoder(
        EncoderConfig(backbone="se_resnext101", frozen_blocks=1, transform=Transform(size=64))
    ).eval()
    with torch.device("meta"):
        net = timm.create_model("seresnext101_32x4d", pretrained=False, num_classes=0).eval()
    assert sum(p.numel() for p in encoder.parameters()) == sum(p.numel() for p in net.parameters()) == 46_906_416
    # the same tensors in timm's order
    net.load_state_dict(dict(zip(net.state_dict(), encoder.state_dict().values(), strict=True)), assign=True)
    pixels = photos(2, 64)
    with torch.inference_mode():
        expected, found = net(encoder.normalise(pixels)), encoder(pixels)
    assert encoder.dim == found.shape[1] == 2048
    assert float(expected.std()) > 1e-3
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", ["vgg19_fc7", "se_resnext101"])
def test_an_unknown_source_of_weights_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ShoplensError, match=f"{name} has no weights 'package'; use download or none"):
        build_backbone(name, "package")
