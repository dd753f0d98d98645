"""Image features of listings: the gallery embedding, centred, scaled to one length (Etsy, section 2.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def image_features(
    embeddings: NDArray[np.float32],
    rows: NDArray[np.int64],
    listings: int,
    *,
    training: NDArray[np.bool_],
    centre: bool,
    scale: float,
) -> NDArray[np.float32]:
    """Features of all listings, float32 (listings, D); zeros for those without photos.

    The paper L2-normalises the network's activations. Centred first, as the embeddings here are means of positive
    activations, which all point the same way; the mean is that of the encoder's training listings.

    Args:
        embeddings: (G, D), a row a gallery. NaN and infinities of a diverged model stay what they are, as NaN.
        rows: (G,) the listing of each gallery.
        listings: how many there are.
        training: (G,) whether the encoder was trained on it.
        centre: subtract the training mean.
        scale: length of a listing's features; beside binary text features it says how much photos weigh.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        values = embeddings.astype(np.float64)
        if centre and training.any():
            values -= values[training].mean(axis=0)
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        scaled = scale * values / np.where(lengths > 0, lengths, 1.0)
    features = np.zeros((listings, embeddings.shape[1]), np.float32)
    features[rows] = scaled
    return features
