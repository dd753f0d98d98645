"""Ragged galleries against padded ones: forward and backward of the trainable tail, galleries of 5 to 44 photos.

Padding is what a collate function does without ragged support: every gallery gets as many photos as the longest allowed
(44) or the longest of its batch, and a mask takes the extra ones out of the mean. Both give equal embeddings.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.timing import Row, compare, show
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform, pool_galleries
from shoplens.models.memory import keep_freed_pages

LONGEST = 44
GALLERIES = 6


def run() -> list[Row]:
    """Measure 6 galleries, lengths spread evenly within 5..44, EfficientNet-Lite0 at 96 px, tail from block 7 on."""
    keep_freed_pages()
    torch.manual_seed(0)
    config = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=6, transform=Transform(size=96))
    encoder = PhotoEncoder(config).eval()  # batch statistics off: padded photos would shift them
    counts = torch.from_numpy(
        np.random.default_rng(0).permutation(np.linspace(5, LONGEST, GALLERIES + 2)[1:-1].astype(np.int64))
    )
    with torch.no_grad():
        one = encoder.frozen(torch.zeros(1, 96, 96, 3, dtype=torch.uint8))
    photos = torch.randn(int(counts.sum()), *one.shape[1:]).half()
    last: dict[str, torch.Tensor] = {}

    def ragged() -> None:
        encoder.zero_grad()
        last["ragged"] = pool_galleries(encoder.finish(photos), counts)
        last["ragged"].square().sum().backward()

    def padded(length: int) -> None:
        encoder.zero_grad()
        full = photos.new_zeros(len(counts), length, *photos.shape[1:])
        mask = torch.arange(length)[None, :] < counts[:, None]
        full[mask] = photos
        found = encoder.finish(full.flatten(0, 1)).view(len(counts), length, -1)
        last["padded"] = (found * mask[..., None]).sum(dim=1) / counts[:, None]
        last["padded"].square().sum().backward()

    longest = int(counts.max())
    rows = []
    for length, name in ((LONGEST, f"padded to {LONGEST}"), (longest, f"padded to the batch's longest ({longest})")):
        limit = length * len(counts) / int(counts.sum())
        rows.append(compare("ragged galleries", name, ragged, partial(padded, length), limit=limit))
        torch.testing.assert_close(last["ragged"], last["padded"], rtol=1e-4, atol=1e-5)
    return rows


if __name__ == "__main__":
    show(run())
