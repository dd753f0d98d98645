"""The corpora that visual search answers from, as codes: what the Triton model `search` runs.

This file is copied into the model repository, beside the bundle: numpy (1.26 and 2) and the standard library only,
nothing of shoplens. The codes are mapped, not read, so that every process of a machine shares them.

Every row is compared with the query, which is exact (Pinterest paper, section 3.3.2: Hamming distances of binarised
embeddings) and takes time with the corpus: 5 to 10 ms for 50,000 codes of 2,048 bits on one core. From some hundred
thousand rows on, feed `codes.npy` to an index that does not look at all of them (faiss's binary indexes take it as
it is).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
WHOLE = (0.0, 0.0, 1.0, 1.0)
"""The box of a whole photo."""
_ROWS = 1024
_PAIRS, _FOURS, _EIGHTS, _ONES = (
    np.uint64(0x0101010101010101 * mask) for mask in (0b01010101, 0b00110011, 0b00001111, 1)
)


@dataclass(frozen=True)
class Corpus:
    """One source's corpus: N crops in order of (image id, box), a whole photo before its crops.

    Attributes:
        codes: uint8 (N, ceil(width / 8)).
        boxes: float64 (N, 4): x0, y0, x1, y1 as fractions from the top left, WHOLE for a whole photo.
        image_ids, labels: N texts each, UTF-8; the label of a distractor is empty.
    """

    codes: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    image_ids: Texts
    labels: Texts


@dataclass(frozen=True)
class Texts:
    """N texts in one array: a text may hold any character, and a long one does not widen the others.

    Attributes:
        content: uint8, their UTF-8 bytes one after the other. ends: int64 (N,), where each one ends.
    """

    content: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.int64]) -> list[bytes]:
        """The texts of some rows."""
        starts = np.where(rows > 0, self.ends[rows - 1], 0)
        return [self.content[start:end].tobytes() for start, end in zip(starts, self.ends[rows], strict=True)]


@dataclass(frozen=True)
class Index:
    """An open bundle: the width of a code in bits, and a corpus for each source, by name.

    On disk, `index.json` names format, width, encoder (its weights' digest) and sources; each source has a folder, by
    number, with an .npy file for each array of its corpus.
    """

    width: int
    corpora: Mapping[str, Corpus]


def load_index(folder: Path) -> Index:
    """Open a bundle.

    Raises:
        OSError, ValueError, KeyError: if it is not one that this file reads.
    """
    said = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if said["format"] != FORMAT:
        raise ValueError(f"{folder} has format {said['format']}, not {FORMAT}: package the encoder again")
    corpora = {}
    for number, source in enumerate(said["sources"]):
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in (folder / str(number)).glob("*.npy")}
        texts = [Texts(arrays[name], arrays[f"{name}_ends"]) for name in ("image_ids", "labels")]
        corpora[source] = Corpus(arrays["codes"], arrays["boxes"], *texts)
    return Index(said["width"], corpora)


def nearest(corpus: Corpus, code: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The k rows whose codes differ in the fewest bits, nearest first, equal distances by row; all of a smaller corpus.

    Args:
        corpus: N rows.
        code: uint8 (ceil(width / 8),).
        k: at least 1.

    Returns:
        rows and numbers of differing bits, int64 (min(k, N),) each.

    Raises:
        ValueError: if the code has another width than the corpus.
    """
    distances = hamming(corpus.codes, code)
    if k < len(distances):
        close = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    else:
        close = np.arange(len(distances))
    rows = close[np.argsort(distances[close], kind="stable")][:k]
    return rows, distances[rows]


def hamming(codes: NDArray[np.uint8], code: NDArray[np.uint8]) -> NDArray[np.int64]:
    """In how many bits each of `codes` (N, B) differs from `code` (B,), (N,).

    Raises:
        ValueError: if their widths differ.
    """
    if codes.shape[1:] != code.shape:
        raise ValueError(f"a code of shape {code.shape} cannot be compared with codes of shape {codes.shape}")
    distances = np.empty(len(codes), np.int64)
    padded = np.zeros((min(_ROWS, len(codes)), -(-len(code) // 8) * 8), np.uint8)
    words = padded.view(np.uint64)
    scratch = np.empty_like(words)
    for start in range(0, len(codes), _ROWS):
        part = codes[start : start + _ROWS]
        np.bitwise_xor(part, code, out=padded[: len(part), : len(code)])
        _count_ones(words[: len(part)], scratch[: len(part)])
        distances[start : start + _ROWS] = words[: len(part)].sum(axis=1)
        padded[:, len(code) :] = 0  # which the counts may have been written to
    return distances


def _count_ones(words: NDArray[np.uint64], scratch: NDArray[np.uint64]) -> None:
    """Put into each word how many of its bits were 1; numpy 1 cannot count them, so pairs, fours and eights add up.

    In place, because memory for what is in between would take most of the time.
    """
    for shift, mask in ((1, _PAIRS), (2, _FOURS), (4, _EIGHTS)):
        np.right_shift(words, np.uint64(shift), out=scratch)
        np.bitwise_and(scratch, mask, out=scratch)
        np.bitwise_and(words, mask, out=words)
        np.add(words, scratch, out=words)
    np.multiply(words, _ONES, out=words)
    np.right_shift(words, np.uint64(56), out=words)
