"""An encoder on disk: `encoder.json` (configuration, tasks, weights digest) and weights as safetensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from shoplens.data.tasks import Task
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.strict import StrictModel, parse


class BundleConfig(StrictModel):
    """The content of encoder.json."""

    encoder: EncoderConfig
    head_width: int
    tasks: tuple[Task, ...]
    weights_digest: str


@dataclass(frozen=True)
class Bundle:
    """A loaded encoder with its heads, in evaluation mode on the CPU."""

    encoder: PhotoEncoder
    heads: TaskHeads
    config: BundleConfig

    @property
    def transform(self) -> Transform:
        """How photos become the encoder's pixels."""
        return self.config.encoder.transform


def weights_digest(module: nn.Module) -> str:
    """sha256 (hex) over a module's state: names, dtypes, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(module: nn.Module) -> dict[str, Tensor]:
    """A state dict that safetensors accepts: contiguous tensors on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def save_bundle(folder: Path, encoder: PhotoEncoder, heads: TaskHeads, head_width: int) -> str:
    """Write a bundle into a new folder; the caller makes the folder appear at once (artifacts.write_artifact).

    Returns:
        The encoder's weights digest, which identifies the model everywhere.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    save_file(_plain(encoder), folder / "encoder.safetensors")
    save_file(_plain(heads), folder / "heads.safetensors")
    digest = weights_digest(encoder)
    config = BundleConfig(encoder=encoder.config, head_width=head_width, tasks=heads.tasks, weights_digest=digest)
    write_json(folder / "encoder.json", config.model_dump(mode="json"))
    return digest


def load_bundle(folder: Path) -> Bundle:
    """Open a bundle and check that the weights are those that its configuration names.

    Raises:
        ShoplensError: if a file is missing or damaged, or the weights digest differs.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = parse(BundleConfig, read_json(folder / "encoder.json"), str(folder / "encoder.json"))
    encoder = PhotoEncoder(config.encoder)
    heads = TaskHeads(config.tasks, encoder.dim, config.head_width)
    try:
        encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
        heads.load_state_dict(load_file(folder / "heads.safetensors"))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ShoplensError(f"{folder}: the weights cannot be loaded ({error}); run stage train again") from None
    if weights_digest(encoder) != config.weights_digest:
        raise ShoplensError(f"{folder}/encoder.safetensors: not the weights that encoder.json names; run train again")
    encoder.to(memory_format=torch.channels_last)
    return Bundle(encoder.eval(), heads.eval(), config)
