"""Examples that travel with a package: galleries and rankings, and what the encoder and the ranker make of them.

`examples/examples.json` lists the galleries (listing id, photo files); `expected.npy` holds the training path's
embeddings and `served.npy` what the package's own server answered in its trial, float32, a row a gallery.
`rankings.json`, if there is a ranker, holds queries, listings, and the scores that training expected and the server
answered.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_bytes, write_json
from shoplens.serving.client import embed_gallery, embed_photo, rank
from shoplens.serving.onnx_export import compare
from shoplens.serving.repository import RANKER, in_slot

# The same ONNX file on the same runtime answers almost bit for bit; two versions of an encoder do not come this close.
SAME_ANSWER = 0.99999
SAME_SCORE = 1e-4
"""Relative to the largest score of a ranking: float32 sums of another machine's order differ by less."""


@dataclass(frozen=True)
class Gallery:
    """One example: the listing and its photos' bytes."""

    listing_id: str
    photos: list[bytes]


@dataclass(frozen=True)
class Ranking:
    """One example: a query, listings, and their scores as training computed and as the trial's server answered them.

    None stands for a score that is no number: a diverged model is for the gate to judge.
    """

    query: str
    listing_ids: list[str]
    expected: list[float | None]
    served: list[float | None]


@dataclass(frozen=True)
class Answers:
    """What a server answered to the examples.

    Attributes:
        galleries: listing id -> used and corrupt photos, cosine (6 digits).
        rankings: query -> number of scores, largest difference (6 digits).
    """

    galleries: dict[str, dict[str, float]]
    rankings: dict[str, dict[str, float]]


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


def write_rankings(folder: Path, rankings: Sequence[Ranking]) -> None:
    """Write the rankings of a package that has a ranker."""
    write_json(folder / "rankings.json", [asdict(ranking) for ranking in rankings])


def read_rankings(folder: Path) -> list[Ranking]:
    """The rankings of an examples folder; none where the package has no ranker."""
    path = folder / "rankings.json"
    return [Ranking(**row) for row in read_json(path)] if path.exists() else []


def check_answers(url: str, folder: Path, slot: str | None = None, limit: int | None = None) -> Answers:
    """Ask a server for the examples and compare values with the package's own trial.

    Args:
        url: the server's gRPC address.
        folder: the examples.
        slot: ask the models of this slot of a live repository; None asks the public ones.
        limit: ask for the first examples only.

    Raises:
        ShoplensError: if an answer differs, or the answers of `photo` do not average to that of `gallery`.
    """
    names = {name: in_slot(name, slot) if slot else name for name in ("gallery", "photo", RANKER)}
    galleries, served = read_examples(folder)[:limit], read_embeddings(folder, "served")[:limit]
    answers = Answers({}, {})
    for gallery, wanted in zip(galleries, served, strict=True):
        answer = embed_gallery(url, gallery.photos, model=names["gallery"])
        cosine = _compare(answer.embedding, wanted, f"listing {gallery.listing_id}")
        entry = {"used": answer.used, "corrupt": answer.corrupt, "cosine": round(cosine, 6)}
        answers.galleries[gallery.listing_id] = entry
    photos = [embed_photo(url, photo, model=names["photo"]) for photo in galleries[0].photos]
    _compare(np.mean(photos, axis=0), served[0], f"the photos of listing {galleries[0].listing_id}")
    for ranking in read_rankings(folder)[:limit]:
        scores = rank(url, ranking.query, ranking.listing_ids, model=names[RANKER]).scores
        entry = {"scores": len(scores), "difference": round(_compare_scores(scores, ranking), 6)}
        answers.rankings[ranking.query] = entry
    return answers


def _compare(answer: np.ndarray, wanted: np.ndarray, what: str) -> float:
    cosine = compare(answer[None], wanted[None]).min_cosine if answer.shape == wanted.shape else -1.0
    if cosine < SAME_ANSWER:
        raise ShoplensError(
            f"the server's answer for {what} is not the packaged encoder's: cosine {cosine:.6f}, at least "
            f"{SAME_ANSWER} wanted"
        )
    return cosine


def _compare_scores(answer: np.ndarray, ranking: Ranking) -> float:
    wanted = np.asarray(ranking.served, np.float64)
    difference = score_difference(answer, wanted)
    allowed = SAME_SCORE * max(1.0, float(np.abs(wanted).max()))
    if not difference <= allowed:
        raise ShoplensError(
            f"the server's scores for the query {ranking.query!r} are not the packaged ranker's: they differ by "
            f"{difference:.6f}, at most {allowed:.6f} wanted"
        )
    return difference


def score_difference(scores: np.ndarray, wanted: np.ndarray) -> float:
    """The largest absolute difference of two rows of scores; NaN if a score is."""
    return float(np.abs(scores.astype(np.float64) - wanted).max())
