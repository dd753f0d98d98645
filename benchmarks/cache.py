"""An epoch from cached activations of the frozen blocks against one that computes the frozen part each time.

The alternative is a user's usual loop with frozen blocks, tuned: pixels stay decoded in memory, the frozen part runs
without gradients. Ours reads the activations (float16) from disk. The first epoch, which fills the cache, costs what
the alternative's costs; a run pays it once for each photo and setting of the frozen blocks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Row, compare, show
from shoplens.data.segments import Segments
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.memory import keep_freed_pages
from shoplens.params import TrainParams, read_params


def measure(train: TrainParams, photos: int, batch: int, repeats: int, folder: Path) -> Row:
    """One configuration; weights are random, which costs the same."""
    torch.manual_seed(0)
    backbone, frozen_blocks, size = train.backbone, train.frozen_blocks, train.image_size
    config = EncoderConfig(backbone=backbone, frozen_blocks=frozen_blocks, transform=Transform(size=size))
    encoder = PhotoEncoder(config).train()
    pixels = torch.randint(0, 256, (photos, size, size, 3), dtype=torch.uint8)
    cache = Segments(folder / f"{backbone}-{size}")
    keys = [str(i) for i in range(photos)]
    cache.append(keys, torch.cat([encoder.frozen(part) for part in pixels.split(batch)]).numpy())
    places = cache.places(keys)

    def step(frozen: torch.Tensor) -> None:
        encoder.zero_grad()
        encoder.finish(frozen).square().sum().backward()

    def cached() -> None:
        for start in range(0, photos, batch):
            step(torch.from_numpy(cache.gather(places[start : start + batch])))

    def recomputed() -> None:
        for part in pixels.split(batch):
            step(encoder.frozen(part))

    # forward passes only: the counter takes a grouped convolution's backward pass for a full one. Backward costs two.
    counters = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with counters[0]:
        one = encoder.frozen(pixels[:1])
    with counters[1]:
        encoder.finish(one)
    frozen, tail = (counter.get_total_flops() for counter in counters)
    limit = (frozen + 3 * tail) / (3 * tail)
    name = f"{backbone} at {size} px, {frozen_blocks} blocks frozen"
    return compare(
        f"cached activations: {name}", "frozen part in each epoch", cached, recomputed, repeats=repeats, limit=limit
    )


def run() -> list[Row]:
    """The default run's encoder and the Booking recipe's."""
    keep_freed_pages()
    root = Path(__file__).parents[1]
    default, booking = (read_params(root / name).train for name in ("params.yaml", "recipes/booking.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        return [
            measure(default, photos=256, batch=64, repeats=5, folder=Path(folder)),
            measure(booking, photos=8, batch=8, repeats=3, folder=Path(folder)),
        ]


if __name__ == "__main__":
    show(run())
