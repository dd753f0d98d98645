"""Stage `package`: everything needed to serve the encoder, tried in a real Triton server before the gate decides."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import PackageParams
from shoplens.progress import progress, say
from shoplens.serving.client import GalleryAnswer, embed_gallery
from shoplens.serving.examples import Gallery, write_embeddings, write_examples
from shoplens.serving.onnx_export import Parity, check_parity, compare, export_onnx
from shoplens.serving.repository import MODELS, VARIANTS, Description, write_repository
from shoplens.serving.server import running_server

if TYPE_CHECKING:
    import torch


def package(
    *, data: Path, prepare: Path, train: Path, embed: Path, evaluate_ranking: Path, out: Path, params: PackageParams
) -> None:
    """Export the encoder, write both repositories and examples, and try the embedded one.

    Writes `encoder.onnx`, `repository/{embedded,gpu}`, `description.json` (transform, dimensions, weights digest),
    `examples/` and `metrics.json`: `package/parity_cosine` (photos, ONNX against PyTorch), `package/served_cosine`
    (galleries, answers to raw photo bytes against stage embed), both the lowest of n, and the latency of gallery
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
        write_models(folder, bundle.encoder, size=size, short_side=short_side, dim=expected.shape[1], weights=weights)
        pixels = (np.stack([to_pixels(photo, size, short_side) for photo in one.photos]) for one in galleries)
        parity = check_parity(bundle.encoder, folder / "encoder.onnx", pixels)
        trial = try_server(folder / "repository" / "embedded", galleries, params.latency_requests)
        write_embeddings(folder / "examples", "expected", expected)
        write_embeddings(folder / "examples", "served", trial.embeddings)
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


def write_models(
    folder: Path, encoder: torch.nn.Module, *, size: int, short_side: int | None, dim: int, weights: str
) -> None:
    """Write `encoder.onnx`, both repositories and `description.json` into a package folder.

    Args:
        folder: the package.
        encoder: uint8 pixels [n, size, size, 3] -> embeddings [n, dim].
        size, short_side: the transform.
        dim: length of an embedding.
        weights: the weights' digest.

    Raises:
        ShoplensError: if the encoder cannot be expressed in ONNX.
    """
    onnx = folder / "encoder.onnx"
    export_onnx(encoder, size, onnx)
    description = Description(size=size, short_side=short_side, dim=dim)
    for variant in VARIANTS:
        write_repository(folder / "repository" / variant, description, variant, onnx)
    write_json(folder / "description.json", {"description": asdict(description), "weights": weights})


@dataclass(frozen=True)
class Trial:
    """What a server answered: embeddings [galleries, D], corrupt photos, seconds of each timed request."""

    embeddings: np.ndarray
    corrupt: int
    seconds: np.ndarray


def try_server(repository: Path, galleries: list[Gallery], requests: int) -> Trial:
    """Load a repository into a real server, ask it for every gallery, then time further requests, one after the other.

    The server gets a copy, because its Python writes bytecode beside the models, on which neither a package's digest
    nor what DVC restores of it may depend.

    Raises:
        ShoplensError: if the server does not start, load or answer.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(repository, Path(scratch) / "repository"))
        with running_server(copy, Path(scratch) / "server.log", models=MODELS) as server:
            answers, seconds = _ask(server.url, galleries, requests)
    embeddings = np.stack([answer.embedding for answer in answers])
    return Trial(embeddings, sum(answer.corrupt for answer in answers), np.array(seconds))


def _ask(url: str, galleries: list[Gallery], requests: int) -> tuple[list[GalleryAnswer], list[float]]:
    answers = [embed_gallery(url, gallery.photos) for gallery in galleries]
    seconds = []
    for number in progress(range(requests), "package: timing gallery requests", unit="request"):
        photos = galleries[number % len(galleries)].photos
        start = time.perf_counter()
        embed_gallery(url, photos)
        seconds.append(time.perf_counter() - start)
    return answers, seconds


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
    return {
        name: {"direction": direction, "unit": unit, "candidate": {"value": value, "low": None, "high": None, "n": n}}
        for name, (direction, unit, value, n) in rows.items()
    }
