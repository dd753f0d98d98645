"""A contrastive loss between photos that search and photos that are searched, over a memory of recent embeddings.

A softmax head leaves everything in an embedding that does not hinder it from telling its classes apart, and a search by
distance counts all of it: a joint embedding, which holds what every source needs, is then farther from each source's
own order than an embedding that learned nothing else. This loss asks for the order itself. It is supervised contrast
(Khosla et al. 2020, arXiv:2004.11362, equation 2), with keys from a memory of earlier batches, which a batch has too
few photos for (Wang et al. 2020, *Cross-Batch Memory*, arXiv:1912.06798). Only photos that look like a source's queries
search, and they search those that look like its corpus (sources.sides_of): so camera photos may leave out what
catalogue photos have to hold for the other sources.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.training.processes import Processes
from shoplens.training.sources import UNLABELLED, ImageSource

TEMPERATURE = 0.1
"""Of the cosines; Khosla et al. use 0.1 too."""
MUTUAL = 0.1
"""Weight of a source whose photos search each other: all of them search, and both of a pair move. Chosen on
validation worlds, see docs/results-retrieval-notes.md."""
MEMORY = 1024
"""A source's last so many photos are searched, or as many as it has: older ones were embedded by another network."""


class Contrast(nn.Module):
    """The loss of one source, on the classes of the task that it is judged by.

    With z the embedding of a photo that searches, at length 1, and K the memory without the photo itself,

        - mean over the keys p in K of z's class of  log( exp(z p / T) / sum over k in K of exp(z k / T) )

    is averaged over the photos of the batch that find a key of their class, and weighed. Keys have no gradient. The
    memory is a buffer, so that a checkpoint holds it; -1 is an empty place.
    """

    keys: Tensor
    units: Tensor
    place: Tensor

    def __init__(self, source: ImageSource, task: int, dim: int, weight: float) -> None:
        """An empty memory for embeddings of `dim` dimensions; `task` is a place among the source's tasks."""
        super().__init__()
        self.task = task
        labels = source.targets[:, task]
        self._labels = torch.from_numpy(labels)
        known = labels != UNLABELLED
        self._searches = torch.from_numpy(known & source.searches)
        self._searched = torch.from_numpy(known & source.searched)
        self._weight = weight * (MUTUAL if bool((self._searches & self._searched).any()) else 1.0)
        size = max(1, min(MEMORY, int((known & source.searched & source.trains).sum())))
        self.register_buffer("keys", torch.zeros(size, dim))
        self.register_buffer("units", torch.full((size,), -1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    def _matches(self, units: Tensor) -> tuple[Tensor, Tensor]:
        """Of units (n,), which keys are of their class, and which are compared at all, both bool (n, M)."""
        keys = self.units.cpu()
        compared = (keys >= 0) & (keys != units[:, None])
        same = self._labels[keys.clamp(min=0)] == self._labels[units][:, None]
        return compared & same & self._searches[units][:, None], compared

    def forward(self, embeddings: Tensor, own: Tensor, every: Tensor) -> Tensor:
        """The loss of this process's photos; those of all processes add up to that of the batch.

        Args:
            embeddings: (n, dim), without dropout.
            own: int64 (n,), which units of the source they are, on the CPU.
            every: int64 (N,), those of the whole batch.
        """
        matches, compared = self._matches(own)
        found = matches.any(dim=1)
        anchors = int(self._matches(every)[0].any(dim=1).sum())
        if not found.any():
            return embeddings.sum() * 0.0  # takes part in the gradient, as every process must
        device = embeddings.device
        matches, compared, rows = matches[found].to(device), compared[found].to(device), found.to(device)
        likeness = functional.normalize(embeddings[rows].float(), dim=1) @ self.keys.T / TEMPERATURE
        likeness = likeness.masked_fill(~compared, -torch.inf)
        logs = (likeness - likeness.logsumexp(dim=1, keepdim=True)).masked_fill(~matches, 0.0)
        return -self._weight * (logs.sum(dim=1) / matches.sum(dim=1)).sum() / anchors

    @torch.no_grad()
    def remember(self, embeddings: Tensor, every: Tensor, group: Processes) -> None:
        """Put the batch's photos that are searched into the memory, in place of the oldest; on each process alike."""
        gathered = np.zeros((len(every), self.keys.shape[1]), np.float32)
        gathered[group.own(np.arange(len(every)))] = functional.normalize(embeddings.float(), dim=1).cpu().numpy()
        whole = torch.from_numpy(group.add_up(gathered))
        kept = self._searched[every]
        whole, units = whole[kept][-len(self.keys) :], every[kept][-len(self.keys) :]
        places = (int(self.place) + torch.arange(len(units))) % len(self.keys)
        self.keys[places] = whole.to(self.keys.device)
        self.units[places] = units.to(self.units.device)
        self.place += len(units)
