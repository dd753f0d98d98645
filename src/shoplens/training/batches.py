"""Batches as the network takes them: photo rows of galleries and image units, read ahead, and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from shoplens.contract.store import PhotoStore
from shoplens.data.examples import Crops
from shoplens.data.galleries import Galleries
from shoplens.data.photos import read_pixels
from shoplens.data.tasks import Labels, Task
from shoplens.models.activations import FrozenRows
from shoplens.models.encoder import PhotoEncoder
from shoplens.training.augment import augment
from shoplens.training.losses import Target, usable
from shoplens.training.network import Inputs
from shoplens.training.processes import Processes
from shoplens.training.sources import ImageSource
from shoplens.training.views import Views

Members = tuple[np.ndarray, ...]
"""Of a batch: galleries, if they train, then the units of each source."""


@dataclass(frozen=True)
class Material:
    """All photos and labels of a training run.

    Photo rows number the galleries' photos first, then the crops, then views of crops that train. Without gallery tasks
    nothing of `galleries` is used.
    """

    store: PhotoStore
    galleries: Galleries
    tasks: Sequence[Task]
    labels: Mapping[str, Labels]
    crops: Crops
    sources: Sequence[ImageSource]
    views: Views = field(default_factory=Views)

    @property
    def paths(self) -> list[str]:
        """Of every photo row."""
        return [*(self.galleries.paths if self.tasks else ()), *self.crops.paths, *self.views.paths]

    @property
    def digests(self) -> list[str]:
        """Of every photo row."""
        return [*(self.galleries.digests if self.tasks else ()), *self.crops.digests, *self.views.digests]

    @property
    def boxes(self) -> np.ndarray:
        """Of every photo row, (n, 4); NaN for whole photos."""
        return np.concatenate([np.full((self._first, 4), np.nan), self.crops.boxes, self.views.boxes])

    @property
    def mirrored(self) -> np.ndarray:
        """Of every photo row, bool (n,)."""
        return np.concatenate([np.zeros(self._first + len(self.crops), bool), self.views.mirrored])

    @property
    def _first(self) -> int:
        """The first crop's photo row."""
        return len(self.galleries.paths) if self.tasks else 0

    def split(self, members: Members) -> tuple[np.ndarray, Members]:
        """Galleries (none without gallery tasks) and units of each source."""
        return (members[0], members[1:]) if self.tasks else (np.empty(0, np.int64), members)

    def photo_rows(self, members: Members, shown: Members | None = None) -> np.ndarray:
        """Photo rows of a batch, galleries' first.

        Args:
            members: the batch.
            shown: of each member which view it is seen in, from 1; 0 for the photo itself, as without `shown`.
        """
        galleries, units = self.split(members)
        rows = [self.galleries.photo_rows(galleries)]
        chosen = [np.zeros(len(own), np.int64) for own in units] if shown is None else self.split(shown)[1]
        for source, own, view in zip(self.sources, units, chosen, strict=True):
            crops = source.crops[own]
            rows.append(self._first + np.where(view, len(self.crops) + self.views.rows(crops, view - 1), crops))
        return np.concatenate(rows)

    def inputs(self, frozen: Tensor, own: Members, every: Members, group: Processes) -> Inputs:
        """What the network takes, for a process that has `own` of the batch `every`."""
        device = group.device
        galleries, units = self.split(own)
        all_galleries, all_units = self.split(every)
        labelled = [int(usable(task, self.target(task, all_galleries)).sum()) for task in self.tasks]
        targets = {task.name: self.target(task, galleries) for task in self.tasks}
        return Inputs(
            frozen.to(device, non_blocking=True),
            torch.from_numpy(self.galleries.counts[galleries]),
            {name: Target(t.values.to(device), t.known.to(device)) for name, t in targets.items()},
            torch.tensor(labelled, device=device),
            [torch.from_numpy(source.targets[u]) for source, u in zip(self.sources, units, strict=True)],
            [torch.from_numpy(source.targets[u]) for source, u in zip(self.sources, all_units, strict=True)],
            [torch.from_numpy(u) for u in units],
            [torch.from_numpy(u) for u in all_units],
            group.size,
        )

    def target(self, task: Task, galleries: np.ndarray) -> Target:
        """A task's labels of some galleries."""
        labels = self.labels[task.name]
        return Target(torch.from_numpy(labels.values[galleries]), torch.from_numpy(labels.known[galleries]))


class AugmentedRows:
    """Photo rows read anew and changed by chance each time (training.augment): nothing frozen, nothing kept."""

    def __init__(self, encoder: PhotoEncoder, material: Material, seed: tuple[int, ...]) -> None:
        """`seed` names the epoch."""
        self._transform, self._material, self._seed = encoder.config.transform, material, seed
        self._paths, self._boxes = material.paths, material.boxes

    def read(self, rows: np.ndarray, step: int) -> Tensor:
        """uint8 (n, S, S, 3). Chance depends on epoch, step and photo alone, whatever the number of processes."""
        size, larger = self._transform.size, self._transform.short_side
        assert larger is not None  # params says so
        paths = [self._paths[i] for i in rows]
        pixels = read_pixels(self._material.store, paths, larger, larger, self._boxes[rows])
        return augment(torch.from_numpy(pixels), size, [(*self._seed, step, row) for row in rows.tolist()])


class BatchReader(Dataset[tuple[Tensor, int]]):
    """Batch number -> (what `PhotoEncoder.frozen` gives for this process's photos, the number); safe in workers."""

    def __init__(
        self,
        rows: FrozenRows | AugmentedRows,
        material: Material,
        batches: Sequence[Members],
        group: Processes,
        seed: tuple[int, ...] | None = None,
    ) -> None:
        """`batches` are those of all processes; with a seed, which names the epoch, crops are seen in their views."""
        self._rows, self._material, self._batches, self._group = rows, material, batches, group
        self._seed = seed

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        every = self._batches[number]
        shown = None
        if self._seed is not None:
            rng = np.random.default_rng((*self._seed, number))
            drawn = (rng.integers(0, self._material.views.count, len(ids), endpoint=True) for ids in every)
            shown = tuple(self._group.own(views) for views in drawn)
        rows = self._material.photo_rows(tuple(self._group.own(ids) for ids in every), shown)
        if isinstance(self._rows, FrozenRows):
            return self._rows[rows], number
        return self._rows.read(rows, number), number


def read_ahead(reader: BatchReader, first: int, workers: int, pin: bool) -> Iterator[tuple[Tensor, int]]:
    """Batches from `first` on, decoded by worker processes if there are any."""
    return iter(
        DataLoader(
            reader,
            batch_size=None,
            sampler=range(first, len(reader)),
            num_workers=workers,
            pin_memory=pin,
            multiprocessing_context="spawn" if workers else None,
        )
    )
