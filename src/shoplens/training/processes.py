"""Several processes that train one model, as torchrun starts them; one process is a group of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed

PATIENCE = timedelta(days=1)
"""How long to wait for the others: the first may cache activations for hours. torchrun ends all if one dies."""


@dataclass(frozen=True)
class Processes:
    """This process's place: its rank, how many there are, and the device that it works on."""

    rank: int
    size: int
    device: str

    @property
    def first(self) -> bool:
        """Is it the one that writes and speaks?"""
        return self.rank == 0

    def own(self, ids: np.ndarray) -> np.ndarray:
        """This process's part of ids that all processes know."""
        return ids[self.rank :: self.size]

    def add_up(self, value: np.ndarray) -> np.ndarray:
        """The sum over processes of an array, on each of them."""
        if self.size == 1:
            return value
        total = torch.tensor(value, device=self.device)  # a copy: what is added up stays the caller's
        distributed.all_reduce(total)
        summed: np.ndarray = total.cpu().numpy()
        return summed

    def average(self, gradient: Tensor) -> None:
        """Replace a gradient by its mean over processes, as distributed data parallel does with parameters'."""
        if self.size > 1:
            distributed.all_reduce(gradient)
            gradient.div_(self.size)

    def follow_first(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors of every process the values that they have on the first one."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()


@contextlib.contextmanager
def processes() -> Iterator[Processes]:
    """The group that torchrun's environment describes (nccl on GPUs, gloo without), or a group of one."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = "cpu"
    if torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if size == 1:
        yield Processes(0, 1, device)
        return
    distributed.init_process_group("gloo" if device == "cpu" else "nccl", timeout=PATIENCE)
    try:
        with contextlib.ExitStack() as stack:
            if rank:  # one progress bar is enough; errors are printed after this
                stack.enter_context(contextlib.redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
            yield Processes(rank, size, device)
    finally:
        distributed.destroy_process_group()
