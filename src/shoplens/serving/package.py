"""Stage `package`: what serves encoder, ranker and visual search, tried in a real Triton server before the gate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder, read_json, write_json
from shoplens.params import PackageParams
from shoplens.progress import say
from shoplens.retrieval.index import Corpus, load_index
from shoplens.serving.examples import (
    Gallery,
    Search,
    differing_bits,
    score_difference,
    write_embeddings,
    write_examples,
    write_rankings,
    write_searches,
)
from shoplens.serving.onnx_export import Parity, check_parity, compare, export_onnx
from shoplens.serving.reference import FOLDER as REFERENCE
from shoplens.serving.reference import write_reference
from shoplens.serving.repository import VARIANTS, Description, write_repository
from shoplens.serving.search_bundle import Query, build_search
from shoplens.serving.trial import RESULTS, Trial, try_server

if TYPE_CHECKING:
    from shoplens.models.encoder import PhotoEncoder


def package(
    *, data: Path, prepare: Path, train: Path, embed: Path, evaluate_ranking: Path, out: Path, params: PackageParams
) -> None:
    """Export the encoder, write both repositories and examples, and try the embedded one.

    Writes `encoder.onnx`, `repository/{embedded,gpu}`, `description.json` (transform, dimensions, digests of weights,
    ranker and search), `examples/`, `reference/` (what `shoplens drift` compares with) and `metrics.json`:
    `package/parity_cosine` (photos, ONNX against PyTorch), `package/served_cosine` (galleries, answers to raw photo
    bytes against stage embed), both the lowest of n, `package/served_code_bits` (the share of the codes' bits that
    differ from stage embed's) and the latency of gallery requests. Where the ranking was learned, the ranker is
    packaged too, with `package/ranker_difference` (the largest between its scores as served and as trained) and the
    latency of rank requests. Where image sources have corpora, visual search is packaged too (`search/`), with
    `package/search_wrong` (results that are not those that the evaluation's search finds for the code that was served)
    and the latency of searches. Bad values are for the gate to judge; only a server that does not start or answer is an
    error.

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
        galleries, names, expected, codes = choose_examples(data, prepare, embed, params.examples)
        write_examples(folder / "examples", galleries, names)
        say("package: exporting the encoder to ONNX")
        size, short_side = bundle.transform.size, bundle.transform.short_side
        weights = bundle.config.weights_digest
        ranker = ranker_of(evaluate_ranking, weights)
        dim = expected.shape[1]
        search, queries = build_search(folder / "search", data, prepare, embed, width=dim, weights=weights)
        write_reference(folder / REFERENCE, data=data, prepare=prepare, embed=embed, weights=weights)
        write_models(
            folder,
            bundle.encoder,
            size=size,
            short_side=short_side,
            dim=dim,
            weights=weights,
            ranker=ranker,
            search=search,
        )
        pixels = (np.stack([to_pixels(photo, size, short_side) for photo in one.photos]) for one in galleries)
        parity = check_parity(bundle.encoder, folder / "encoder.onnx", pixels)
        rankings = ranker_examples(ranker) if ranker else []
        trial = try_server(folder / "repository" / "embedded", galleries, params.latency_requests, rankings, queries)
        write_embeddings(folder / "examples", "expected", expected, codes)
        write_embeddings(folder / "examples", "served", trial.embeddings, trial.codes)
        if ranker:
            write_rankings(folder / "examples", trial.rankings)
        if search:
            write_searches(folder / "examples", trial.searches, [query.path for query in queries])
        metrics = _metrics(parity, compare(trial.embeddings, expected), trial)
        metrics |= _code_metrics(trial, codes, queries, search)
        write_json(folder / "metrics.json", {"split": read_json(prepare / "split.json")["hash"], "metrics": metrics})


def choose_examples(
    data: Path, prepare: Path, embed: Path, wanted: int
) -> tuple[list[Gallery], list[list[str]], np.ndarray, np.ndarray]:
    """Test galleries spread over the range of lengths, their photos' names, and stage embed's embeddings and codes.

    Raises:
        ShoplensError: if there is no test listing.
    """
    from shoplens.contract.store import PhotoStore
    from shoplens.data.galleries import read_galleries

    listings = read_galleries(prepare)
    embeddings, codes = (
        np.load(embed / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("candidate", "candidate_codes")
    )
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
    return galleries, paths, np.asarray(embeddings[chosen]), np.asarray(codes[chosen])


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
    encoder: PhotoEncoder,
    *,
    size: int,
    short_side: int | None,
    dim: int,
    weights: str,
    ranker: Path | None = None,
    search: Path | None = None,
) -> None:
    """Write `encoder.onnx`, both repositories and `description.json` into a package folder.

    Args:
        folder: the package.
        encoder: uint8 pixels [n, size, size, 3] -> embeddings and activations [n, dim].
        size, short_side: the transform.
        dim: length of an embedding.
        weights: the weights' digest.
        ranker, search: the bundles of the ranker and of visual search, where there are.

    Raises:
        ShoplensError: if the encoder cannot be expressed in ONNX.
    """
    onnx = folder / "encoder.onnx"
    export_onnx(encoder, size, onnx)
    digests = [digest_folder(bundle) if bundle else None for bundle in (ranker, search)]
    description = Description(size, short_side, dim, ranker=digests[0], search=digests[1], codes=True)
    for variant in VARIANTS:
        write_repository(folder / "repository" / variant, description, variant, onnx, ranker, search, weights)
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
    return _blocks(rows)


def _code_metrics(trial: Trial, codes: np.ndarray, queries: Sequence[Query], search: Path | None) -> dict[str, Any]:
    served = [np.frombuffer(bytes.fromhex(found.code), np.uint8) for found in trial.searches]
    ours = np.concatenate([codes, *(query.code[None] for query in queries)])
    theirs = np.concatenate([trial.codes, *(code[None] for code in served)])
    bits = trial.embeddings.shape[1] * len(ours)
    rows = {"package/served_code_bits": ("lower", "bit", differing_bits(ours, theirs) / bits, bits)}
    if search:
        index = load_index(search)
        wrong = [wrong_results(index.corpora[found.source], found) for found in trial.searches]
        p50 = np.median(trial.search_seconds * 1000)
        results = sum(len(found.distances) for found in trial.searches)
        rows["package/search_wrong"] = ("lower", "result", float(sum(wrong)), results)
        rows["package/search_latency_p50_ms"] = ("lower", "request", float(p50), len(trial.search_seconds))
    return _blocks(rows)


def wrong_results(corpus: Corpus, found: Search) -> int:
    """How many results of a search are not those that the evaluation's search finds for the same code."""
    from shoplens.retrieval.search import search_binary

    code = np.frombuffer(bytes.fromhex(found.code), np.uint8)
    wanted = search_binary(np.asarray(corpus.codes), code[None], RESULTS)
    (rows,), (distances,) = wanted.rows, wanted.distances
    ids = [image_id.decode() for image_id in corpus.image_ids[rows]]
    expected = list(zip(ids, corpus.boxes[rows].tolist(), distances.tolist(), strict=True))
    answered = list(zip(found.image_ids, found.boxes, found.distances, strict=True))
    return sum(one != other for one, other in zip_longest(expected, answered))


def _blocks(rows: Mapping[str, tuple[str, str, float, int]]) -> dict[str, Any]:
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
