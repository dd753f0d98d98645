"""The ranker bundle: what answers a query with scores of listings. `scoring.py` reads it, also inside Triton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoplens.files import write_json
from shoplens.ranking.modalities import Modality
from shoplens.ranking.retrieval import InvertedIndex
from shoplens.ranking.scoring import FORMAT
from shoplens.ranking.train import Weights


@dataclass(frozen=True)
class Served:
    """The models that answer.

    Attributes:
        encoder: digest of the weights that the image features come from.
        own: query -> its own model's modality and weights, ascending.
        shared: the queries that the global model answers, beside all that were never seen.
        modality, weights: the global model's.
    """

    encoder: str
    own: Mapping[str, tuple[Modality, Weights]]
    shared: Sequence[str]
    modality: Modality
    weights: Weights


def write_bundle(
    folder: Path,
    served: Served,
    listing_ids: Sequence[str],
    text: scipy.sparse.csr_array,
    image: NDArray[np.float32],
    index: InvertedIndex,
) -> None:
    """Write the bundle; equal models give equal bytes.

    Args:
        folder: is made.
        served: the models.
        listing_ids: (L,) ascending.
        text: (L, V) binary features.
        image: (L, D) features as in training, finite.
        index: over all listings.
    """
    folder.mkdir()
    rows = [*served.own.values(), (served.modality, served.weights)]
    count, dim = len(served.own), image.shape[1]
    weights_image = np.zeros((count + 1, dim), np.float32)
    for row, (modality, weights) in enumerate(rows):
        if modality != "text":
            weights_image[row] = weights.image
    arrays: dict[str, NDArray[Any]] = {
        "listing_ids": _bytes(listing_ids),
        "text_indptr": text.indptr.astype(np.int64),
        "text_indices": text.indices.astype(np.int32),
        "image": image,
        "weights_indptr": np.append(0, np.cumsum([len(w.columns) for _, w in rows])).astype(np.int64),
        "weights_indices": np.concatenate([w.columns for _, w in rows]),
        "weights_values": np.concatenate([w.text for _, w in rows]),
        "weights_image": weights_image,
        "index_terms": _bytes(index.terms.to_pylist()),
        "index_indptr": index.indptr,
        "index_listings": index.listings,
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    unseen = {"row": count, "model": "global", "modality": served.modality}
    own = {
        query: {"row": row, "model": "own", "modality": modality}
        for row, (query, (modality, _)) in enumerate(served.own.items())
    }
    write_json(folder / "queries.json", own | dict.fromkeys(served.shared, unseen))
    sizes = {"dim": dim, "queries": count, "listings": len(listing_ids), "features": text.shape[1]}
    write_json(folder / "ranker.json", {"format": FORMAT, "encoder": served.encoder, "unseen": unseen, **sizes})


def _bytes(texts: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([text.encode() for text in texts], dtype=np.bytes_)
