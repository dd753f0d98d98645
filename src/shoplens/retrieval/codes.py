"""Binary codes of embeddings: the signs of the activations before the ReLU, eight to a byte (Pinterest, 3.3.2).

Bits are in the order of numpy.packbits: dimension 0 is the highest bit of byte 0. A width that is no multiple of 8 is
filled up with zeros, which no distance sees. A code takes a byte where float32 takes 32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
_ROWS = 4096


def pack_codes(activations: NDArray[np.floating]) -> Codes:
    """The code of each photo or gallery.

    Args:
        activations: (n, D), before the ReLU; of a gallery, the mean over its photos.

    Returns:
        uint8 (n, ceil(D / 8)); a bit is 1 where the activation is above 0.

    Raises:
        ValueError: if an activation is NaN, which has no sign.
    """
    codes = np.empty((len(activations), -(-activations.shape[1] // 8)), np.uint8)
    for start in range(0, len(activations), _ROWS):
        part = activations[start : start + _ROWS]
        if np.isnan(part).any():
            raise ValueError("an activation that is NaN has no sign, so no code")
        codes[start : start + _ROWS] = np.packbits(part > 0, axis=1)
    return codes


def bit_density(codes: Codes, width: int) -> NDArray[np.float64]:
    """How often each bit is 1, (width,), 0 to 1: half is best, a bit that is always or never 1 holds nothing.

    Args:
        codes: uint8 (n, ceil(width / 8)), n at least 1.
        width: dimensions of the embedding.

    Raises:
        ValueError: if there is no code, or the width is not that of the codes.
    """
    if not len(codes) or codes.shape[1] != -(-width // 8):
        raise ValueError(f"codes of shape {codes.shape} have no bit density at {width} bits")
    ones = np.zeros(width, np.int64)
    for start in range(0, len(codes), _ROWS):
        ones += np.unpackbits(codes[start : start + _ROWS], axis=1, count=width).sum(axis=0, dtype=np.int64)
    density: NDArray[np.float64] = ones / len(codes)
    return density
