"""Example galleries that travel with a package: raw photos and what the encoder makes of them.

`examples/examples.json` lists the galleries (listing id, photo files); `expected.npy` holds the training path's
embeddings and `served.npy` what the package's own server answered in its trial, float32, a row a gallery.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_bytes, write_json
from shoplens.serving.client import embed_gallery, embed_photo
from shoplens.serving.onnx_export import compare
from shoplens.serving.repository import in_slot

# The same ONNX file on the same runtime answers almost bit for bit; two versions of an encoder do not come this close.
SAME_ANSWER = 0.99999


@dataclass(frozen=True)
class Gallery:
    """One example: the listing and its photos' bytes."""

    listing_id: str
    photos: list[bytes]


def write_examples(folder: Path, galleries: list[Gallery], names: list[list[str]]) -> None:
    """Write galleries' photos; `names` are their files' names in the data, of which the endings are kept."""
    rows = []
    for number, (gallery, originals) in enumerate(zip(galleries, names, strict=True)):
        files = [f"{number:02d}/{at:02d}{Path(name).suffix.lower()}" for at, name in enumerate(originals)]
        for file, photo in zip(files, gallery.photos, strict=True):
            write_bytes(folder / file, photo)
        rows.append({"listing_id": gallery.listing_id, "photos": files})
    write_json(folder / "examples.json", rows)


def read_examples(folder: Path) -> list[Gallery]:
    """The galleries of an examples folder.

    Raises:
        ShoplensError: if a file is missing.
    """
    rows = read_json(folder / "examples.json")
    return [Gallery(row["listing_id"], [(folder / name).read_bytes() for name in row["photos"]]) for row in rows]


def write_embeddings(folder: Path, name: str, embeddings: np.ndarray) -> None:
    """Write `expected` or `served` embeddings, float32 [galleries, D]."""
    buffer = io.BytesIO()
    np.save(buffer, embeddings.astype(np.float32), allow_pickle=False)
    write_bytes(folder / f"{name}.npy", buffer.getvalue())


def read_embeddings(folder: Path, name: str) -> np.ndarray:
    """`expected` or `served` embeddings, float32 [galleries, D].

    Raises:
        ShoplensError: if the file is missing or damaged.
    """
    try:
        return np.asarray(np.load(folder / f"{name}.npy", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ShoplensError(f"{folder / name}.npy cannot be read ({error}): package the encoder again") from None


def check_answers(
    url: str, folder: Path, slot: str | None = None, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Ask a server for the examples and compare values with the package's own trial.

    Args:
        url: the server's gRPC address.
        folder: the examples.
        slot: ask the models of this slot of a live repository; None asks the public ones.
        limit: ask for the first examples only.

    Returns:
        listing id -> used and corrupt photos, cosine (6 digits).

    Raises:
        ShoplensError: if an answer differs, or the answers of `photo` do not average to that of `gallery`.
    """
    names = [in_slot(name, slot) if slot else name for name in ("gallery", "photo")]
    galleries, served = read_examples(folder)[:limit], read_embeddings(folder, "served")[:limit]
    answers = {}
    for gallery, wanted in zip(galleries, served, strict=True):
        answer = embed_gallery(url, gallery.photos, model=names[0])
        cosine = _compare(answer.embedding, wanted, f"listing {gallery.listing_id}")
        answers[gallery.listing_id] = {"used": answer.used, "corrupt": answer.corrupt, "cosine": round(cosine, 6)}
    photos = [embed_photo(url, photo, model=names[1]) for photo in galleries[0].photos]
    _compare(np.mean(photos, axis=0), served[0], f"the photos of listing {galleries[0].listing_id}")
    return answers


def _compare(answer: np.ndarray, wanted: np.ndarray, what: str) -> float:
    cosine = compare(answer[None], wanted[None]).min_cosine if answer.shape == wanted.shape else -1.0
    if cosine < SAME_ANSWER:
        raise ShoplensError(
            f"the server's answer for {what} is not the packaged encoder's: cosine {cosine:.6f}, at least "
            f"{SAME_ANSWER} wanted"
        )
    return cosine
