"""Corpora made by hand, and a second reading of what a search in them finds: plain Python, one crop at a time."""

from __future__ import annotations

import numpy as np
import torch
from serving.tiny import SIZE, make_photo, training_code

from shoplens.retrieval.index import WHOLE, Corpus
from shoplens.serving.examples import Search
from shoplens.serving.search_bundle import texts_of

Box = tuple[float, float, float, float]
CROP = (0.25, 0.0, 0.75, 0.5)


def some_corpora() -> dict[str, Corpus]:
    """A large corpus full of ties (60 crops, 16 bits of which 3 vary), and a small one; some ids are odd."""
    rng = np.random.default_rng(5)
    lens = np.packbits(np.tile([1, 0, 1, 0, 0, 1, 1, 0] * 2, (60, 1)) ^ (rng.random((60, 16)) < 0.2), axis=1)
    boxes = [WHOLE if row % 3 else CROP for row in range(60)]
    ids = [f"lens-{row:02d}" for row in range(60)]
    look = rng.integers(0, 256, (2, 2), np.uint8)
    return {
        "lens": Corpus(lens, np.array(boxes), texts_of(ids), texts_of(["lamp", "", "vase"] * 20)),
        "the look/ä": Corpus(
            look, np.array([CROP, WHOLE]), texts_of(["bowl\x00", "rug-東京"]), texts_of(["a + b", ""])
        ),
    }


def found_in(corpus: Corpus, code: np.ndarray, k: int) -> list[tuple[str, list[float], int]]:
    """Image id, box and differing bits of the k nearest, equal distances in the order of the corpus."""
    ids = [text.decode() for text in corpus.image_ids[np.arange(len(corpus.boxes))]]
    bits = [sum((int(a) ^ int(b)).bit_count() for a, b in zip(row, code, strict=True)) for row in corpus.codes]
    order = sorted(range(len(ids)), key=lambda row: (bits[row], row))[:k]
    return [(ids[row], corpus.boxes[row].tolist(), bits[row]) for row in order]


def some_searches(encoder: torch.nn.Module, corpora: dict[str, Corpus]) -> list[Search]:
    """What a server must answer: a whole photo and a crop in the first source, a whole photo in the second."""
    searches = []
    for number, (source, box) in enumerate([("lens", WHOLE), ("lens", CROP), ("the look/ä", WHOLE)]):
        photo = make_photo(90 + number, 200, 120)
        code = training_code(encoder, [photo], SIZE, box=box)
        ids, boxes, bits = map(list, zip(*found_in(corpora[source], code, 5), strict=True))
        searches.append(Search(source, f"query-{number}", box, photo, code.tobytes().hex(), ids, boxes, bits))
    return searches
