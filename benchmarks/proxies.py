"""Sampled proxies: a training step of the softmax alone, 2048 classes (the paper's section 3.3.1) a batch of 64 (4.1).

The alternative is class sampling as partial-fc does it, in plain torch: the same sample, rows taken from one parameter
by indexing, so backward makes a dense gradient, and torch's SGD with momentum and weight decay moves every row: as it
comes, and fused, its fastest. The floor is the softmax on the sample alone, forward and backward, with rows that are
already at hand: once with torch's own matrix products and once with those that ours takes (shoplens.models.products).

`python -m benchmarks proxies` takes the time by the clock; `python -m benchmarks.proxies` takes one thread's processor
time, for a machine that others work on: there the clock flatters a step that is short enough to be left alone.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import Row, compare, show
from shoplens.models.memory import keep_freed_pages
from shoplens.models.products import dot_products
from shoplens.models.proxies import SampledSoftmax, positions_in, sample_classes
from shoplens.models.proxy_bank import Place, ProxyBank, ProxySGD

Clock = Callable[[], float]
BATCH, SAMPLES, RATE = 64, 2048, 0.1
SIZES = ((100_000, 2048), (1_000_000, 256))
"""Classes and embedding width."""
MEMORY_GIB = 16.0
CPU = torch.device("cpu")


def gigabytes(size: int) -> str:
    """Bytes, for a claim's text."""
    return f"{size / 1e9:.2f} GB"


def sampled_step(
    rule: Literal["lazy", "scaled"], classes: int, embeddings: Tensor, targets: Tensor, folder: Path
) -> tuple[Callable[[], None], ProxyBank]:
    """Ours: sample, gather, forward, backward, update."""
    names = [str(i) for i in range(classes)]
    bank = ProxyBank(names, embeddings.shape[1], ProxySGD(rule), Place(MEMORY_GIB, folder), seed=0)
    head = SampledSoftmax(bank, SAMPLES, seed=0)

    def step() -> None:
        embeddings.grad = None
        head.draw(targets, CPU)
        head.loss(embeddings, targets).backward()
        head.update(RATE)

    return step, bank


def dense_step(classes: int, embeddings: Tensor, targets: Tensor, fused: bool) -> tuple[Callable[[], None], int]:
    """The alternative, and the bytes of its rows, gradient and velocities."""
    weight = torch.empty(classes, embeddings.shape[1]).uniform_(-0.02, 0.02).requires_grad_()
    optimiser = torch.optim.SGD([weight], lr=RATE, momentum=0.9, weight_decay=1e-4, fused=fused)
    rng = np.random.default_rng(0)

    def step() -> None:
        embeddings.grad = None
        optimiser.zero_grad()
        sample = sample_classes(targets.numpy(), classes, SAMPLES, rng)
        logits = functional.linear(embeddings, weight[torch.from_numpy(sample)])
        functional.cross_entropy(logits, torch.from_numpy(positions_in(sample, targets.numpy()))).backward()
        optimiser.step()

    return step, 3 * weight.nbytes


def floor_step(embeddings: Tensor, products: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
    """The arithmetic that no sampler can avoid."""
    rows = torch.empty(SAMPLES, embeddings.shape[1]).uniform_(-0.02, 0.02).requires_grad_()
    positions = torch.arange(len(embeddings))

    def step() -> None:
        embeddings.grad = rows.grad = None
        functional.cross_entropy(products(embeddings, rows), positions).backward()

    return step


def paper_sampler(targets: Sequence[int], classes: int, rng: random.Random) -> list[int]:
    """Algorithm 1 with `<` for its `<=`; a dictionary remaps the targets, which is kinder than its double loop."""
    sampled = set(targets)
    while len(sampled) < SAMPLES:
        sampled.add(rng.randrange(classes))
    places = {label: index for index, label in enumerate(sampled)}
    return [places[target] for target in targets]


def step_rows(classes: int, dim: int, folder: Path, clock: Clock) -> list[Row]:
    """Both momentum rules against the dense sampler, each other and both floors."""
    torch.manual_seed(0)
    embeddings, targets = torch.randn(BATCH, dim, requires_grad=True), torch.randint(classes, (BATCH,))
    size = f"{classes:,} x {dim}"
    scaled, scaled_bank = sampled_step("scaled", classes, embeddings, targets, folder)
    lazy, lazy_bank = sampled_step("lazy", classes, embeddings, targets, folder)
    floors = {
        "the floor: softmax on the sample alone": floor_step(embeddings, functional.linear),
        "the floor with the products of ours": floor_step(embeddings, dot_products),
    }
    rows = [
        compare(f"proxies {size}, {name}", instead, step, floor, repeats=9, clock=clock)
        for instead, floor in floors.items()
        for name, step in (("scaled rate", scaled), ("lazy momentum", lazy))
    ]
    rows.append(compare(f"proxies {size}, scaled rate", "lazy momentum", scaled, lazy, repeats=9, clock=clock))
    for fused in (False, True):
        dense, dense_bytes = dense_step(classes, embeddings, targets, fused)
        instead = f"dense gradient, {'fused ' if fused else ''}SGD, {gigabytes(dense_bytes)}"
        for name, step, bank in (("scaled rate", scaled, scaled_bank), ("lazy momentum", lazy, lazy_bank)):
            rows.append(compare(f"proxies {size}, {name}, {gigabytes(bank.nbytes)}", instead, step, dense, clock=clock))
    return rows


def sampler_row(classes: int, clock: Clock) -> Row:
    """A hundred samples each."""
    rng, loop = np.random.default_rng(0), random.Random(0)
    targets = rng.integers(classes, size=BATCH)
    listed = targets.tolist()

    def ours() -> None:
        for _ in range(100):
            positions_in(sample_classes(targets, classes, SAMPLES, rng), targets)

    def theirs() -> None:
        for _ in range(100):
            paper_sampler(listed, classes, loop)

    return compare(
        f"100 samples of {SAMPLES} of {classes:,} classes", "the paper's Algorithm 1", ours, theirs, clock=clock
    )


def run(clock: Clock = time.perf_counter) -> list[Row]:
    """Steps at both sizes, then the sampler."""
    keep_freed_pages()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for classes, dim in SIZES:
            rows += step_rows(classes, dim, Path(folder), clock)
    return [*rows, sampler_row(SIZES[-1][0], clock)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    show(run(time.process_time))
