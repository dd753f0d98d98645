"""Ranker bundles made by hand, and a second reading of what they score: plain Python, one listing at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LISTINGS = {
    "attic": "Quiet attic with sea view",
    "barn": "Old barn, wood floor",
    "bungalow-ä": "Bungalow by the sea, pool",
    "loft": "Loft with pool",
    "no-text": "",
}
QUERIES = {"sea view pool": "multimodal", "wood floor": "text", "häuschen am meer": "image", "quiet": "global"}


@dataclass(frozen=True)
class Weights:
    """One linear model: weights of text features by number, weights of the image."""

    text: Mapping[int, float]
    image: Sequence[float]


@dataclass(frozen=True)
class Plan:
    """What a bundle holds: titles by listing id, features of each, images, models by query; "" is the global one."""

    titles: Mapping[str, str]
    features: Mapping[str, Sequence[int]]
    images: Mapping[str, Sequence[float]]
    models: Mapping[str, tuple[str, str, Weights]]
    width: int


def small_plan(seed: int = 0, dim: int = 16, width: int = 12) -> Plan:
    """The listings and queries above, with random features and weights; `quiet` is answered by the global model."""
    rng = np.random.default_rng(seed)

    def features() -> list[int]:
        return sorted(rng.choice(width, rng.integers(1, 6), replace=False).tolist())

    def weights(modality: str) -> Weights:
        text = {k: float(rng.normal()) for k in features()} if modality != "image" else {}
        return Weights(text, rng.normal(size=dim).tolist() if modality != "text" else [0.0] * dim)

    everything = ("global", "multimodal", weights("multimodal"))
    models = {query: ("own", modality, weights(modality)) for query, modality in QUERIES.items()}
    models |= {"quiet": everything, "": everything}
    return Plan(
        titles=LISTINGS,
        features={listing: features() if title else [] for listing, title in LISTINGS.items()},
        images={listing: rng.normal(size=dim).tolist() for listing in LISTINGS} | {"barn": [0.0] * dim},
        models=models,
        width=width,
    )


def write_ranker(folder: Path, plan: Plan, encoder: str = "weights") -> Path:
    """Write a plan as a ranker bundle, with examples of every query and of one that has no model."""
    folder.mkdir(parents=True)
    listings = sorted(plan.titles, key=str.encode)
    own = [query for query, (model, _, _) in plan.models.items() if model == "own"]
    rows = [*(plan.models[query][2] for query in own), plan.models[""][2]]
    dim = len(rows[-1].image)

    def save(name: str, values: object, dtype: str) -> None:
        np.save(folder / f"{name}.npy", np.asarray(values, dtype=dtype))

    def save_rows(name: str, ends: Sequence[Sequence[int]]) -> None:
        save(f"{name}_indptr", np.cumsum([0, *map(len, ends)]), "int64")

    save("listing_ids", [listing.encode() for listing in listings], "S")
    save_rows("text", [plan.features[listing] for listing in listings])
    save("text_indices", [k for listing in listings for k in plan.features[listing]], "int32")
    save("image", np.reshape([plan.images[listing] for listing in listings], (len(listings), dim)), "float32")
    save_rows("weights", [sorted(row.text) for row in rows])
    save("weights_indices", [k for row in rows for k in sorted(row.text)], "int32")
    save("weights_values", [row.text[k] for row in rows for k in sorted(row.text)], "float32")
    save("weights_image", np.reshape([row.image for row in rows], (len(rows), dim)), "float32")
    terms = sorted({term.encode() for title in plan.titles.values() for term in _terms(title)})
    held = [
        [row for row, listing in enumerate(listings) if term.decode() in _terms(plan.titles[listing])] for term in terms
    ]
    save("index_terms", terms, "S")
    save_rows("index", held)
    save("index_listings", [row for posting in held for row in posting], "int32")

    def choice(query: str) -> dict[str, object]:
        model, modality, _ = plan.models[query]
        return {"row": own.index(query) if model == "own" else len(own), "model": model, "modality": modality}

    counts = {"queries": len(own), "listings": len(listings), "features": plan.width, "dim": dim}
    info = {"format": 1, "encoder": encoder, **counts, "unseen": choice("")}
    (folder / "ranker.json").write_text(json.dumps(info))
    (folder / "queries.json").write_text(json.dumps({query: choice(query) for query in plan.models if query}))
    examples = [
        {"query": query, "listing_ids": listings, "scores": [expected(plan, query, listing) for listing in listings]}
        for query in [*filter(None, plan.models), "never seen"]
    ]
    (folder / "examples.json").write_text(json.dumps(examples))
    return folder


def expected(plan: Plan, query: str, listing: str) -> float:
    """w.x of the model that answers a normalised query."""
    _, modality, weights = plan.models.get(query, plan.models[""])
    text = sum(weights.text.get(k, 0.0) for k in plan.features[listing]) if modality != "image" else 0.0
    image = zip(weights.image, plan.images[listing], strict=True) if modality != "text" else []
    return text + sum(w * x for w, x in image)


def retrieved(plan: Plan, query: str) -> list[str]:
    """The listings that hold a word of the query."""
    return sorted((i for i, title in plan.titles.items() if _terms(title) & _terms(query)), key=str.encode)


def _terms(text: str) -> set[str]:
    return set(re.findall(r"\b\w\w+\b", text.lower()))
