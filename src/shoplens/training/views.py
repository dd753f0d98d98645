"""Views of training photos: random crops, half of them mirrored, which frozen blocks see once and the cache keeps.

Image sources are small and passed many times; what learns above frozen blocks then knows their photos by heart, and in
a joint embedding also which source each is from. Pinterest, section 4.1, augments by "horizontal mirroring, random
crops, and color jitter", anew each time, which nothing frozen can be kept with. A few views of each photo, drawn once,
can be. They depend on the photo alone, so that the cache serves every seed; which of them a batch takes depends on
the seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from shoplens.data.examples import Crops

AREA = (0.6, 1.0)
"""Share of the photo that a view shows, uniform. More than ImageNet training's 0.08: labels are about whole things."""
RATIO = (0.8, 1.25)
"""Its width over its height, each as shares of the photo's, uniform in the logarithm."""


@dataclass(frozen=True)
class Views:
    """`count` views of each of some crops: view v of the i-th of them is row v * (N / count) + i.

    Attributes:
        count: views a crop; 0 for none at all.
        paths: where the photos are (N,).
        digests: of the pixels that are meant: the crop's, with the part and whether it is mirrored (N,).
        boxes: float64 (N, 4), fractions of the photo.
        mirrored: bool (N,), left and right are exchanged.
        place: int64 (crops,), which of them a crop is; -1 if it has no views.
    """

    count: int = 0
    paths: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))
    mirrored: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    place: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def rows(self, crops: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Rows of view `chosen` (n,), from 0, of crops (n,) that have views."""
        found: np.ndarray = chosen * (len(self.paths) // max(1, self.count)) + self.place[crops]
        return found


def views_of(crops: Crops, chosen: np.ndarray, count: int) -> Views:
    """`count` views of each chosen crop.

    Args:
        crops: all of them.
        chosen: int64 (n,), without repetition.
        count: at least 0.
    """
    if not count or not len(chosen):
        return Views(place=np.full(len(crops), -1))
    place = np.full(len(crops), -1)
    place[chosen] = np.arange(len(chosen))
    paths = [crops.paths[i] for i in chosen]
    whole = [crops.digests[i] for i in chosen]
    # a digest is as good as chance, and it is the photo's own: 5 of its 8 whole numbers
    drawn = b"".join(
        hashlib.sha256(f"{digest} view {number}".encode()).digest() for number in range(count) for digest in whole
    )
    chance = np.frombuffer(drawn, "<u4").reshape(-1, 8)[:, :5] / 2.0**32
    outer = np.tile(np.where(np.isnan(crops.boxes[chosen]), (0.0, 0.0, 1.0, 1.0), crops.boxes[chosen]), (count, 1))
    area = AREA[0] + chance[:, 0] * (AREA[1] - AREA[0])
    ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** chance[:, 1]
    shares = np.minimum(np.sqrt(np.column_stack([area * ratio, area / ratio])), 1.0)
    corner, size = outer[:, :2], outer[:, 2:] - outer[:, :2]
    first = corner + chance[:, 2:4] * (1 - shares) * size
    boxes = np.column_stack([first, np.minimum(first + shares * size, outer[:, 2:])])
    mirrored = chance[:, 4] < 0.5
    digests = [
        hashlib.sha256(f"{digest} part {box} mirrored {turned}".encode()).hexdigest()
        for digest, box, turned in zip(whole * count, boxes.tolist(), mirrored.tolist(), strict=True)
    ]
    return Views(count, paths * count, digests, boxes, mirrored, place)
