"""The proxies of a task with very many classes: in CPU memory or a mapped file, touched a sample at a time.

Pinterest, section 3.3.1: "we store the proxy bank in CPU RAM (more available than GPU memory and disk can be used later
if necessary)", and the sampled rows move to the GPU while the network runs. A bank is no nn.Module on purpose: neither
the optimiser nor distributed data parallel may see its rows, each of which would cost a dense gradient.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from shoplens.errors import ShoplensError
from shoplens.files import digest_json
from shoplens.models.lazy_momentum import IdleSteps

CHUNK = 65_536
"""Rows that are initialised at once."""
PIECE = 4 << 20
"""Bytes of the table that a step on a CPU works on at once, so that they are still in its cache at the next operation;
much smaller ones cost more in calls than they save."""


@dataclass(frozen=True)
class ProxySGD:
    """How proxies learn; momentum and weight decay are section 4.1's.

    Attributes:
        rule: "lazy": exactly what dense SGD with momentum does, caught up when a row is touched; needs a velocity a
            row. "scaled": section 3.4.2's approximation without momentum, the learning rate times 1 / (1 - momentum):
            10 for 0.9 (the paper's sum must start at n = 0: from n = 1 it is 9); weights decay when touched only.
        momentum, weight_decay: as of torch.optim.SGD.
    """

    rule: Literal["lazy", "scaled"]
    momentum: float = 0.9
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Place:
    """Where a bank lives: in memory up to `memory_gib`, else in a file of `folder` that ends with the process."""

    memory_gib: float
    folder: Path


@dataclass(frozen=True)
class _Step:
    """Rows on their way, on the device.

    Attributes:
        classes: (S,), on the CPU.
        leaf: their proxies (S, dim), which collect gradients.
        carried: "lazy": momentum * velocity + decay * proxy (S, dim), to which the step adds the gradient.
    """

    classes: np.ndarray
    leaf: Tensor
    carried: Tensor | None


class ProxyBank:
    """One proxy a class, in torch's default floating type.

    A training step is `rows = gather(classes, device)`, a loss of them, `backward()`, `update(rate)`. Whatever else
    changes `rows.grad` in between (a sum over processes) counts.
    """

    def __init__(self, classes: Sequence[str], dim: int, sgd: ProxySGD, place: Place, seed: int) -> None:
        """Make the rows, uniform within 1/sqrt(dim) of zero like those of `SoftmaxHead`.

        Raises:
            OSError: if the disk has no room for the file.
        """
        self._key = digest_json(list(classes))
        self._sgd = sgd
        self._idle = IdleSteps(sgd.momentum, sgd.weight_decay)
        # a row and its velocity side by side: one gather, one write, one page of a mapped file
        self._table = _zeros((len(classes), 2 if sgd.rule == "lazy" else 1, dim), place)
        self._done = np.zeros(len(classes), np.int64)
        generator = torch.Generator().manual_seed(seed)
        for chunk in torch.split(self._table[:, 0], CHUNK):
            chunk.uniform_(-1 / math.sqrt(dim), 1 / math.sqrt(dim), generator=generator)
        self._step: _Step | None = None
        self._arriving: tuple[np.ndarray, Tensor, torch.cuda.Event] | None = None
        self._streams: dict[torch.device, torch.cuda.Stream] = {}

    def __len__(self) -> int:
        """Number of classes."""
        return len(self._table)

    @property
    def steps(self) -> int:
        """Updates so far."""
        return self._idle.count

    @property
    def nbytes(self) -> int:
        """Bytes that rows, velocities and step counts take."""
        return self._table.nbytes + self._done.nbytes

    def read(self, classes: np.ndarray) -> Tensor:
        """Proxies as of now, (n, dim) on the CPU, for looking at them; changes nothing."""
        self._land()
        return self._current(classes)[0]

    def gather(self, classes: np.ndarray, device: torch.device) -> Tensor:
        """Copy the proxies of distinct classes (S,) to a device: a leaf (S, dim) that collects their gradient.

        On a GPU the copy runs on a stream of its own and only what is launched later waits for it: launch the network
        first, then gather.

        Raises:
            RuntimeError: if rows are waiting for their update, which would be lost.
        """
        if self._step is not None and self._step.leaf.grad is not None:
            raise RuntimeError("the rows gathered before have a gradient: call update() first")
        self._land()
        rows, carried = self._current(classes) if device.type == "cpu" else self._fetch(classes, device)
        leaf = rows.requires_grad_()
        self._step = _Step(classes, leaf, carried)
        return leaf

    def update(self, rate: float) -> None:
        """Take an SGD step at learning rate `rate` on the gathered rows; no other row is read or written.

        Without rows or gradients (no photo of the batch has a label) the step counts as one of zero gradients.
        """
        self._idle.append(rate)
        step, self._step = self._step, None
        if step is None or step.leaf.grad is None:
            return
        self._done[step.classes] = self.steps
        table = self._table.numpy()
        if step.leaf.device.type == "cpu":
            for part in self._pieces(len(step.classes)):
                for place, values in enumerate(self._moved(step, rate, part)):
                    # NumPy's copy of whole rows takes half the time of index_copy_, which goes number by number
                    table[:, place][step.classes[part]] = values.numpy()
        else:
            self._send(step.classes, torch.stack(self._moved(step, rate, slice(None)), dim=1))

    def _moved(self, step: _Step, rate: float, part: slice) -> list[Tensor]:
        """New rows, and velocities, of a part of a step, (n, dim) each, in the place of the old ones."""
        rows, gradient = step.leaf.detach()[part], step.leaf.grad
        assert gradient is not None
        if step.carried is None:
            rate /= 1 - self._sgd.momentum
            return [rows.mul_(1 - rate * self._sgd.weight_decay).sub_(gradient[part], alpha=rate)]
        velocities = step.carried[part].add_(gradient[part])
        return [rows.sub_(velocities, alpha=rate), velocities]

    def _pieces(self, count: int) -> list[slice]:
        """The parts of `count` rows that are worked on at once."""
        size = max(1, PIECE // self._table[:1].nbytes)
        return [slice(start, start + size) for start in range(0, count, size)]

    def _factors(self, classes: np.ndarray) -> Tensor:
        """What makes (proxy, carried) of the stored (proxy, velocity): (n, 2, 2)."""
        factors = self._idle.matrices(self._done[classes])
        factors[:, 1] = self._sgd.weight_decay * factors[:, 0] + self._sgd.momentum * factors[:, 1]
        return torch.from_numpy(factors).to(self._table.dtype)

    def _current(self, classes: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Proxies as of now and, for "lazy", what they carry, (n, dim) each on the CPU."""
        where = torch.from_numpy(classes)
        rows = torch.empty((len(classes), self._table.shape[2]), dtype=self._table.dtype)
        if self._sgd.rule == "scaled":
            return torch.index_select(self._table[:, 0], 0, where, out=rows), None
        carried = torch.empty_like(rows)
        factors = self._factors(classes)[..., None]
        for part in self._pieces(len(classes)):
            stored = torch.index_select(self._table, 0, where[part])
            for place, values in enumerate((rows, carried)):
                of_proxy, of_velocity = factors[part, place].unbind(1)
                torch.mul(stored[:, 0], of_proxy, out=values[part]).addcmul_(stored[:, 1], of_velocity)
        return rows, carried

    def _fetch(self, classes: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """The same on a GPU, by a stream of its own for which what is launched later on the main one waits."""
        side, main = self._side(device), torch.cuda.current_stream(device)
        stored = torch.empty((len(classes), *self._table.shape[1:]), dtype=self._table.dtype, pin_memory=True)
        torch.index_select(self._table, 0, torch.from_numpy(classes), out=stored)
        with torch.cuda.stream(side):
            held = stored.to(device, non_blocking=True)
            if self._sgd.rule == "lazy":
                factors = self._factors(classes).pin_memory().to(device, non_blocking=True)
                with torch.autocast(device.type, enabled=False):  # mixed precision must not round the bank
                    held = torch.bmm(factors, held)
        main.wait_stream(side)
        held.record_stream(main)
        # contiguous: the matrix products of a strided view cost more than the copy
        return held[:, 0].contiguous(), held[:, 1] if self._sgd.rule == "lazy" else None

    def _send(self, classes: np.ndarray, held: Tensor) -> None:
        """Start rows (n, K, dim) on their way from a GPU; `_land` writes them."""
        side = self._side(held.device)
        side.wait_stream(torch.cuda.current_stream(held.device))
        with torch.cuda.stream(side):
            rows = torch.empty(held.shape, dtype=held.dtype, pin_memory=True)
            rows.copy_(held, non_blocking=True)
            held.record_stream(side)
            self._arriving = (classes, rows, side.record_event())

    def _land(self) -> None:
        """Write what comes from the GPU."""
        if self._arriving is not None:
            classes, rows, arrived = self._arriving
            arrived.synchronize()
            self._table.numpy()[classes] = rows.numpy()
            self._arriving = None

    def _side(self, device: torch.device) -> torch.cuda.Stream:
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return self._streams[device]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on exactly; the tensors are the bank's own, not copies."""
        self._land()
        return {
            "classes": self._key,
            "shape": list(self._table.shape),
            "table": self._table,
            "done": torch.from_numpy(self._done),
            "idle": self._idle.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            ShoplensError: if that was another list of classes, another width or the other momentum rule.
        """
        if state["classes"] != self._key:
            raise ShoplensError(
                f"the checkpoint's proxies belong to another list of classes ({state['shape'][0]:,}; now "
                f"{len(self):,}): resume on the data that it was trained on, or remove it and train afresh"
            )
        if state["shape"] != list(self._table.shape):
            raise ShoplensError(
                f"the checkpoint's proxies have another width or momentum rule (shape {state['shape']}, now "
                f"{list(self._table.shape)}): resume with the parameters that it was trained with, or remove it"
            )
        self._step = self._arriving = None
        self._table.copy_(state["table"])
        self._done[:] = state["done"].numpy()
        self._idle.load_state_dict(state["idle"])


def _zeros(shape: tuple[int, ...], place: Place) -> Tensor:
    """Zeros in memory or, beyond the limit, in a mapped file without a name: the system frees it with the process."""
    kind = torch.empty(0).numpy().dtype
    size = math.prod(shape) * kind.itemsize
    if size <= place.memory_gib * 2**30:
        return torch.from_numpy(np.zeros(shape, kind))  # NumPy asks for huge pages where torch does not
    place.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=place.folder) as file:
        # a file with holes would end the process at the first write to a full disk; this raises now
        os.posix_fallocate(file.fileno(), 0, size)
        return torch.from_numpy(np.memmap(file, kind, "r+", shape=shape))
