"""Stage `package`: what serves the encoder and the ranker, tried in a real Triton server before the gate decides."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder, read_json, write_json
from shoplens.params import PackageParams
from shoplens.progress import say
from shoplens.serving.examples import (
    Gallery,
    score_difference,
    write_embeddings,
    write_examples,
    write_rankings,
)
from shoplens.serving.onnx_export import Parity, check_parity, compare, export_onnx
from shoplens.serving.repository import VARIANTS, Description, write_repository
from shoplens.serving.trial import Trial, try_server

if TYPE_CHECKING:
    import torch


def package(
    *, data: Path, prepare: Path, train: Path, embed: Path, evaluate_ranking: Path, out: Path, params: PackageParams
) -> None:
    """Export the encoder, write both repositories and examples, and try the embedded one.

    Writes `encoder.onnx`, `repository/{embedded,gpu}`, `description.json` (transform, dimensions, digests of weights
    and ranker), `examples/` and `metrics.json`: `package/parity_cosine` (photos, ONNX against PyTorch),
    `package/served_cosine` (galleries, answers to raw photo bytes against stage embed), both the lowest of n, and the
    latency of gallery requests. Where the ranking was learned, the ranker is packaged too, with
    `package/ranker_difference` (the largest between its scores as served and as trained) and the latency of rank
    requests. Bad values are for the gate to judge; only a server that does not start or answer is an error.

    Raises:
        ShoplensError: if an input does not fit, the encoder cannot be exported, or the server fails.
    """
    from shoplens.contract.pixels import to_pixels
    from shoplens.models.bundle import load_bundle

    read_artifact(prepare, "prepare", {"data": data})
    read_artifact(train, "train", {"data": data, "prepare": prepare})
    read_artifact(embed, "embed", {"data": data, "prepare": prepare, "train": train})
    read_artifact(evaluate_ranking, "evaluate-ranking", {"data": data, "prepare": prepare, "embed": embed})
    inputs = {"data": data, "prepare": prepare, "train": train, "embed": embed, "evaluate-ranking": evaluate_ranking}
    with write_artifact(out, "package", inputs, params.model_dump()) as folder:
        bundle = load_bundle(train / "encoder")
        galleries, names, expected = choose_examples(data, prepare, embed, params.examples)
        write_examples(folder / "examples", galleries, names)
        say("package: exporting the encoder to ONNX")
        size, short_side = bundle.transform.size, bundle.transform.short_side
        weights = bundle.config.weights_digest
        ranker = ranker_of(evaluate_ranking, weights)
        dim = expected.shape[1]
        write_models(folder, bundle.encoder, size=size, short_side=short_side, dim=dim, weights=weights, ranker=ranker)
        pixels = (np.stack([to_pixels(photo, size, short_side) for photo in one.photos]) for one in galleries)
        parity = check_parity(bundle.encoder, folder / "encoder.onnx", pixels)
        rankings = ranker_examples(ranker) if ranker else []
        trial = try_server(folder / "repository" / "embedded", galleries, params.latency_requests, rankings)
        write_embeddings(folder / "examples", "expected", expected)
        write_embeddings(folder / "examples", "served", trial.embeddings)
        if ranker:
            write_rankings(folder / "examples", trial.rankings)
        metrics = _metrics(parity, compare(trial.embeddings, expected), trial)
        write_json(folder / "metrics.json", {"split": read_json(prepare / "split.json")["hash"], "metrics": metrics})


def choose_examples(
    data: Path, prepare: Path, embed: Path, wanted: int
) -> tuple[list[Gallery], list[list[str]], np.ndarray]:
    """Test galleries spread over the range of lengths, their photos' names, and stage embed's embeddings of them.

    Raises:
        ShoplensError: if there is no test listing.
    """
    from shoplens.contract.store import PhotoStore
    from shoplens.data.galleries import read_galleries

    listings = read_galleries(prepare)
    embeddings = np.load(embed / "candidate.npy", mmap_mode="r", allow_pickle=False)
    test = np.flatnonzero(listings.split == "test")
    if not test.size:
        raise ShoplensError(f"{prepare}: no test listing has a photo; deliver more listings")
    by_length = test[np.argsort(listings.counts[test], kind="stable")]
    chosen = by_length[np.unique(np.linspace(0, len(test) - 1, wanted).round().astype(int))]
    store = PhotoStore(data)
    paths = [[listings.paths[row] for row in listings.photo_rows(np.array([gallery]))] for gallery in chosen]
    galleries = [
        Gallery(str(listings.listing_ids[gallery]), [store.read(path) for path in photos])
        for gallery, photos in zip(chosen, paths, strict=True)
    ]
    return galleries, paths, np.asarray(embeddings[chosen])


def ranker_of(evaluate_ranking: Path, weights: str) -> Path | None:
    """The ranker's bundle in stage evaluate-ranking's output, or None where none was learned.

    Raises:
        ShoplensError: if it was learned on another encoder's embeddings.
    """
    folder = evaluate_ranking / "ranker"
    if not folder.is_dir():
        say("package: without a ranker, none was learned")
        return None
    encoder = read_json(folder / "ranker.json")["encoder"]
    if encoder != weights:
        raise ShoplensError(
            f"{folder} was learned on embeddings of another encoder ({encoder[:12]}, not {weights[:12]}): run "
            "evaluate-ranking again"
        )
    return folder


def ranker_examples(ranker: Path) -> list[dict[str, Any]]:
    """The examples of a ranker's bundle that ask for a listing.

    Raises:
        ShoplensError: if there is none, so that no server could be checked.
    """
    path = ranker / "examples.json"
    found = [row for row in read_json(path) if row["listing_ids"]]
    if not found:
        raise ShoplensError(f"{path} ranks no listing: run evaluate-ranking again")
    return found


def write_models(
    folder: Path,
    encoder: torch.nn.Module,
    *,
    size: int,
    short_side: int | None,
    dim: int,
    weights: str,
    ranker: Path | None = None,
) -> None:
    """Write `encoder.onnx`, both repositories and `description.json` into a package folder.

    Args:
        folder: the package.
        encoder: uint8 pixels [n, size, size, 3] -> embeddings [n, dim].
        size, short_side: the transform.
        dim: length of an embedding.
        weights: the weights' digest.
        ranker: the ranker's bundle, if there is one.

    Raises:
        ShoplensError: if the encoder cannot be expressed in ONNX.
    """
    onnx = folder / "encoder.onnx"
    export_onnx(encoder, size, onnx)
    digest = digest_folder(ranker) if ranker else None
    description = Description(size=size, short_side=short_side, dim=dim, ranker=digest)
    for variant in VARIANTS:
        write_repository(folder / "repository" / variant, description, variant, onnx, ranker)
    write_json(folder / "description.json", {"description": asdict(description), "weights": weights})


def _metrics(parity: Parity, served: Parity, trial: Trial) -> dict[str, Any]:
    p50, p95 = np.percentile(trial.seconds * 1000, [50, 95])
    rows = {
        "package/parity_cosine": ("higher", "photo", parity.min_cosine, parity.n),
        "package/parity_difference": ("lower", "photo", parity.max_difference, parity.n),
        "package/served_cosine": ("higher", "gallery", served.min_cosine, served.n),
        "package/served_corrupt": ("lower", "gallery", float(trial.corrupt), served.n),
        "package/latency_p50_ms": ("lower", "request", float(p50), len(trial.seconds)),
        "package/latency_p95_ms": ("lower", "request", float(p95), len(trial.seconds)),
    }
    if trial.rankings:
        expected, scores = (
            np.concatenate([np.asarray(getattr(one, name), np.float64) for one in trial.rankings])
            for name in ("expected", "served")
        )
        p50 = np.median(trial.rank_seconds * 1000)
        rows["package/ranker_difference"] = ("lower", "score", score_difference(scores, expected), len(scores))
        rows["package/ranker_latency_p50_ms"] = ("lower", "request", float(p50), len(trial.rank_seconds))
    return {
        name: {
            "direction": direction,
            "unit": unit,
            "candidate": {"value": _finite(value), "low": None, "high": None, "n": n},
        }
        for name, (direction, unit, value, n) in rows.items()
    }


def _finite(value: float) -> float | None:
    """JSON knows no infinity; the gate refuses a value that is missing."""
    return value if math.isfinite(value) else None
