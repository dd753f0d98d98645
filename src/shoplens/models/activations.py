"""Photo rows that a network makes, cached per photo: the activations of a frozen prefix.

With a frozen prefix an epoch only runs the trainable tail (VGG16: block 5 is 9% of the arithmetic). The cache is keyed
by weights, transform and the photo's own bytes, and bounded; beyond the bound rows are made again when needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shoplens.contract.store import PhotoStore
from shoplens.data.photos import read_pixels
from shoplens.data.segments import SEGMENT_ROWS, Segments, fill, make_room
from shoplens.files import digest_json
from shoplens.home import home
from shoplens.models.bundle import weights_digest
from shoplens.models.encoder import PhotoEncoder
from shoplens.progress import counter, say


def photos_at_once(device: torch.device) -> int:
    """How many photos to run through a network in one go: what fits a core's caches, or fills a GPU."""
    return 64 if device.type == "cpu" else 512


class FrozenRows:
    """What `PhotoEncoder.frozen` gives for each photo of a list, from the cache or made now.

    Rows are float16 whether cached or not, so that the bound changes the speed and never the result.
    """

    def __init__(
        self,
        encoder: PhotoEncoder,
        store: PhotoStore,
        paths: Sequence[str],
        digests: Sequence[str],
        bound_gib: float,
        boxes: np.ndarray | None = None,
        mirrored: np.ndarray | None = None,
    ) -> None:
        """Open the cache for this prefix and transform; `device` of the encoder does the work.

        `boxes` (n, 4) cut crops out of photos (data.examples.Crops); without it all are whole. Left and right of those
        that are `mirrored` (n,) are exchanged. A row's digest has to tell both.
        """
        self._encoder, self._store, self._paths, self._digests = encoder, store, paths, digests
        self._boxes, self._mirrored = boxes, mirrored
        self._bound = int(bound_gib * 2**30)
        key = digest_json([weights_digest(encoder.prefix), encoder.config.transform.model_dump()])[:24]
        self._segments = Segments(home() / "cache" / "frozen" / key)
        self._cached = 0
        self._places = np.empty((0, 2), np.int64)

    def warm(self) -> None:
        """Make and cache the rows that are missing, in order, until the bound is reached; resumes after a kill."""
        row_bytes = self._make([0]).nbytes if self._paths else 1
        fits = self._bound // row_bytes
        wanted = self._digests[: int(fits)]
        make_room(self._segments.folder.parent, self._segments.folder, self._bound)
        total, done = len(set(wanted)), sum(digest in self._segments for digest in set(wanted))
        if 0 < done < total:
            say(f"Frozen part of the encoder: {done} of {total} photos are there from an earlier run")
        with counter("Frozen part of the encoder", total=total, unit="photo") as bar:
            bar.update(done)
            for count in fill(self._segments, wanted, self._make, SEGMENT_ROWS):
                bar.update(count)
        self._cached = len(wanted)
        self._places = self._segments.places(wanted)

    def _make(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        transform = self._encoder.config.transform
        device = self._encoder.mean.device
        step = photos_at_once(device)
        made = []
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            paths, boxes = [self._paths[i] for i in part], None if self._boxes is None else self._boxes[part]
            pixels = read_pixels(self._store, paths, transform.size, transform.short_side, boxes)
            if self._mirrored is not None:
                turned = self._mirrored[part]
                pixels[turned] = pixels[turned, :, ::-1]
            made.append(self._encoder.frozen(torch.from_numpy(pixels).to(device)).cpu().numpy())
        return np.concatenate(made)

    def __getitem__(self, rows: np.ndarray) -> Tensor:
        """Rows by position in the photo list: what `PhotoEncoder.frozen` gives, (n, H, W, C)."""
        cached = rows < self._cached
        if cached.all():
            return torch.from_numpy(self._segments.gather(self._places[rows]))
        made = self._make(rows[~cached])
        out = np.empty((len(rows), *made.shape[1:]), made.dtype)
        out[~cached] = made
        if cached.any():
            out[cached] = self._segments.gather(self._places[rows[cached]])
        return torch.from_numpy(out)
