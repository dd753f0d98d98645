"""Everything that one training step differentiates: photos -> embeddings -> the losses of all tasks of all sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.models.encoder import PhotoEncoder, pool_galleries
from shoplens.models.heads import TaskHeads
from shoplens.models.proxies import SampledSoftmax
from shoplens.models.softmax_heads import SoftmaxHead
from shoplens.training.contrast import Contrast
from shoplens.training.losses import Kendall, PseudoUniform, Target, task_losses
from shoplens.training.processes import Processes
from shoplens.training.sources import SoftmaxTask


@dataclass(frozen=True)
class Inputs:
    """A batch's photos and labels: those of this process, and of the whole batch what its means need.

    Attributes:
        frozen: what `PhotoEncoder.frozen` gives: the galleries' photos, then the units of each image source.
        counts: int64 (G,), photos a gallery.
        targets: the gallery tasks' labels, on the device.
        labelled: (T,), galleries of the whole batch that each gallery task learns from, on the device.
        units: for each source the classes (n, tasks) of its units, on the CPU.
        all_units: the same of the whole batch.
        places: for each source which of its units these are, int64 (n,), on the CPU.
        all_places: the same of the whole batch.
        processes: how many share the batch. Their losses add up to its loss, but distributed data parallel takes the
            mean of their gradients, so each one's loss is multiplied by it.
    """

    frozen: Tensor
    counts: Tensor
    targets: Mapping[str, Target]
    labelled: Tensor
    units: Sequence[Tensor]
    all_units: Sequence[Tensor]
    places: Sequence[Tensor]
    all_places: Sequence[Tensor]
    processes: int


class Network(nn.Module):
    """Encoder, gallery heads and softmax heads; distributed data parallel wraps it as a whole.

    Banks of sampled proxies are no part of its parameters (models.proxy_bank).
    """

    def __init__(
        self,
        encoder: PhotoEncoder,
        heads: TaskHeads,
        loss: PseudoUniform | Kendall,
        tasks: Sequence[Sequence[SoftmaxTask]],
        softmax: Mapping[str, SoftmaxHead],
        sampled: Mapping[str, SampledSoftmax],
        gallery_weight: float = 1.0,
        contrasts: Mapping[int, Contrast] | None = None,
    ) -> None:
        """`tasks` are each source's; every one has a head in `softmax` or a sampler in `sampled`, by its full name.

        `gallery_weight` multiplies the gallery tasks' total: dozens of them add up, and beside each softmax task they
        are one term. `contrasts` are by the place of their source.
        """
        super().__init__()
        self._gallery_weight = gallery_weight
        self._contrasts = dict(contrasts or {})
        self.memories = nn.ModuleList(self._contrasts.values())
        self._latest: list[tuple[Contrast, Tensor, Tensor]] = []
        self.encoder, self.heads, self.loss = encoder, heads, loss
        self.tasks = [list(own) for own in tasks]
        self._place = {name: i for i, name in enumerate(softmax)}
        self.softmax = nn.ModuleList(softmax.values())  # names with dots and slashes cannot be keys of a ModuleDict
        self.sampled = dict(sampled)

    def embed(self, frozen: Tensor) -> Tensor:
        """Photo rows -> embeddings."""
        return self.encoder.finish(frozen)

    def gallery_losses(self, photos: Tensor, inputs: Inputs) -> Tensor:
        """Losses of the gallery tasks, (T,), from the embeddings of their photos."""
        # a process without a gallery, in the last batch of an epoch, still takes part, with gradients of 0
        galleries = pool_galleries(photos, inputs.counts.to(photos.device)) if len(inputs.counts) else photos
        outputs = self.heads(galleries)
        outputs = {name: value.float() for name, value in outputs.items()}
        return task_losses(self.heads.tasks, outputs, inputs.targets, inputs.labelled)

    def softmax_loss(self, task: SoftmaxTask, embeddings: Tensor, own: Tensor, every: Tensor) -> Tensor:
        """Cross-entropy of a task over the units of this process, `own` (n,), divided by the labelled of `every`."""
        sampler = self.sampled.get(task.full_name)
        if sampler is not None:
            sampler.draw(every, embeddings.device)
            return sampler.loss(embeddings, own)
        places = torch.nonzero(own >= 0).squeeze(1)
        logits = self.softmax[self._place[task.full_name]](embeddings[places.to(embeddings.device)]).float()
        total = functional.cross_entropy(logits, own[places].to(logits.device), reduction="sum")
        return total / max(1, int((every >= 0).sum()))

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Total loss of the galleries if there are any, and each softmax task's: (1 + K,) or (K,); and (T,) inside it.

        A photo gives no gradient to tasks that it has no label for; what a task does not learn from in a batch is 0.
        A source's contrastive loss is added to that of the task which it is about.
        """
        activations = self.encoder.activate(inputs.frozen)
        embeddings = self.encoder.rectify(activations)
        used = int(inputs.counts.sum())
        self._latest = []
        totals, inside = [], torch.zeros(0)
        if len(self.heads.tasks):
            inside = self.gallery_losses(embeddings[:used], inputs) * inputs.processes
            totals.append(self.loss(inside) * self._gallery_weight)
        for number, (tasks, own, every) in enumerate(zip(self.tasks, inputs.units, inputs.all_units, strict=True)):
            rows = slice(used, used + len(own))
            used += len(own)
            losses = [self.softmax_loss(task, embeddings[rows], own[:, i], every[:, i]) for i, task in enumerate(tasks)]
            if number in self._contrasts:
                contrast, places = self._contrasts[number], (inputs.places[number], inputs.all_places[number])
                whole = self.encoder.ending.undropped(activations[rows])
                losses[contrast.task] = losses[contrast.task] + contrast(whole, *places)
                self._latest.append((contrast, whole.detach(), inputs.all_places[number]))
            totals += [loss * inputs.processes for loss in losses]
        return torch.stack(totals), inside

    def remember(self, group: Processes) -> None:
        """Let contrastive losses search the photos of the latest batch from now on; all processes at once."""
        for contrast, embeddings, every in self._latest:
            contrast.remember(embeddings, every, group)
        self._latest = []


def synchronise_norms(encoder: PhotoEncoder) -> None:
    """Make batch norm in trainable blocks use the statistics of all processes' photos; GPUs only.

    timm's conversion keeps the activations that its own norm layers include; torch's would drop them.
    """
    from timm.layers import norm_act

    convert: Any = norm_act.convert_sync_batchnorm
    encoder.tail = convert(encoder.tail)
