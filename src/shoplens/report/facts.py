"""What the numbers rest on: the data, what was served, and which artifacts were made from which."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.artifacts import Artifact
from shoplens.contract.pixels import BadPhoto, decode
from shoplens.files import canonical_json, read_json
from shoplens.report.numbers import Estimate, number
from shoplens.report.verdict import estimate
from shoplens.serving.examples import read_embeddings, read_examples
from shoplens.serving.onnx_export import compare

PARTS = ("train", "validation", "test")
SHOWN_FINDINGS = 100
SHOWN_GALLERIES = 8
SHOWN_PHOTOS = 5
THUMBNAIL = 112
SERVING = {
    "package/parity_cosine": "lowest cosine, ONNX against PyTorch",
    "package/parity_difference": "largest difference, ONNX against PyTorch",
    "package/served_cosine": "lowest cosine, served from photo files against training path",
    "package/served_corrupt": "photos that the server could not use",
    "package/latency_p50_ms": "latency of a gallery request, median (ms)",
    "package/latency_p95_ms": "latency of a gallery request, 95th percentile (ms)",
    "package/ranker_difference": "largest difference of ranking scores, served against trained",
    "package/ranker_latency_p50_ms": "latency of a rank request, median (ms)",
    "package/served_code_bits": "share of code bits that differ, served against training path",
    "package/search_wrong": "results of searches that are not those of the evaluation's search",
    "package/search_latency_p50_ms": "latency of a search request, median (ms)",
}


@dataclass(frozen=True)
class Data:
    """The data section. `listings` and `photos` are counts by part (PARTS), `left_out` is photos by reason."""

    name: str
    listings: tuple[int, ...]
    photos: tuple[int, ...]
    left_out: tuple[tuple[str, int], ...]
    emptied: int
    skipped_tasks: tuple[str, ...]
    findings: tuple[Mapping[str, Any], ...]
    more_findings: int
    expectations: int
    failed_expectations: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Strip:
    """A gallery's first photos as data addresses, and how well the server reproduced its embedding."""

    listing_id: str
    photos: tuple[str, ...]
    total: int
    unreadable: int
    cosine: str


@dataclass(frozen=True)
class Origin:
    """A line of the provenance table: an artifact, or an input that no stage of the page has written."""

    name: str
    digest: str
    inputs: tuple[tuple[str, str], ...]
    params: str


def read_data(validate: Path, prepare: Path) -> Data:
    """Counts, left-out photos and the findings of the data contract."""
    checked = read_json(validate / "findings.json")
    split = read_json(prepare / "split.json")
    findings = checked["findings"]
    return Data(
        split["dataset"],
        tuple(split["listings"][part] for part in PARTS),
        tuple(split["photos"][part] for part in PARTS),
        tuple(sorted(split["left_out"].items())),
        split["training_galleries_emptied"],
        tuple(read_json(prepare / "tasks.json")["skipped"]),
        tuple(findings[:SHOWN_FINDINGS]),
        max(0, len(findings) - SHOWN_FINDINGS),
        len(checked["expectations"]),
        tuple(item for item in checked["expectations"] if not item["success"]),
    )


def read_serving(package: Path) -> list[tuple[str, Estimate, str]]:
    """What the package measured: meaning, value, unit."""
    metrics = read_json(package / "metrics.json")["metrics"]
    return [
        (meaning, estimate(metrics[name]["candidate"]), metrics[name]["unit"])
        for name, meaning in SERVING.items()
        if name in metrics
    ]


def read_strips(package: Path) -> list[Strip]:
    """The package's example galleries as small pictures, within a bound: 8 galleries of 5 thumbnails."""
    folder = package / "examples"
    galleries = read_examples(folder)[:SHOWN_GALLERIES]
    expected, served = read_embeddings(folder, "expected"), read_embeddings(folder, "served")
    strips = []
    for row, gallery in enumerate(galleries):
        shown = [thumbnail(photo) for photo in gallery.photos[:SHOWN_PHOTOS]]
        cosine = compare(served[row : row + 1], expected[row : row + 1]).min_cosine
        readable = tuple(photo for photo in shown if photo)
        strips.append(
            Strip(gallery.listing_id, readable, len(gallery.photos), len(shown) - len(readable), number(cosine))
        )
    return strips


def thumbnail(photo: bytes) -> str | None:
    """A data address of a small JPEG, or None for a photo that cannot be decoded."""
    try:
        image = decode(photo)
    except BadPhoto:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def read_origins(artifacts: Sequence[Artifact]) -> list[Origin]:
    """Every artifact's digest, what it was made from and with which parameters; first what no artifact here is."""
    own = {item.stage for item in artifacts}
    named = {name: digest for item in artifacts for name, digest in item.inputs.items() if name not in own}
    return [Origin(name, digest, (), "{}") for name, digest in sorted(named.items())] + [
        Origin(item.stage, item.digest, tuple(sorted(item.inputs.items())), canonical_json(item.params))
        for item in artifacts
    ]
