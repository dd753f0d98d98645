"""Examples that travel with a package: galleries, rankings and searches, and what the package's models make of them.

`examples/examples.json` lists the galleries (listing id, photo files); `expected.npy` holds the training path's
embeddings and `served.npy` what the package's own server answered in its trial, float32, a row a gallery;
`expected_codes.npy` and `served_codes.npy` are the codes, uint8. `rankings.json`, if there is a ranker, holds queries,
listings, and the scores that training expected and the server answered. `searches.json`, if there is visual search,
holds queries (source, photo file, box) and what the server answered: code and results.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_bytes, write_json
from shoplens.retrieval.index import WHOLE
from shoplens.serving.client import Box, SearchAnswer, embed_gallery, embed_photo, rank, search
from shoplens.serving.onnx_export import compare
from shoplens.serving.repository import RANKER, SEARCH, in_slot

# The same ONNX file on the same runtime answers almost bit for bit; two versions of an encoder do not come this close.
SAME_ANSWER = 0.99999
SAME_ON_GPU = 0.9999
"""TensorRT adds up in another order than the packaging machine's CPU; two versions do not come this close either."""
SAME_SCORE = 1e-4
"""Relative to the largest score of a ranking: float32 sums of another machine's order differ by less."""
SAME_CODE = 0.02
"""Share of a code's bits that may differ, where an activation is 0 but for another machine's rounding. Codes of two
versions differ in many more."""


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
class Search:
    """One example: a source, a photo with a box, and what the trial's server answered.

    Attributes:
        source, image_id, box: the query. photo: its bytes.
        code: the query's, hexadecimal. image_ids, boxes, distances: the results.
    """

    source: str
    image_id: str
    box: Box
    photo: bytes
    code: str
    image_ids: list[str]
    boxes: list[list[float]]
    distances: list[int]

    @property
    def unit(self) -> str:
        """Names it: `source/image_id`, and with a box `source/image_id#x0,y0,x1,y1`."""
        name = f"{self.source}/{self.image_id}"
        return name if self.box == WHOLE else f"{name}#{','.join(f'{side:g}' for side in self.box)}"


@dataclass(frozen=True)
class Answers:
    """What a server answered to the examples.

    Attributes:
        galleries: listing id -> used and corrupt photos, cosine (6 digits).
        rankings: query -> number of scores, largest difference (6 digits).
        searches: query -> number of results, bits of the code that differ.
    """

    galleries: dict[str, dict[str, float]]
    rankings: dict[str, dict[str, float]]
    searches: dict[str, dict[str, float]]


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


def write_embeddings(folder: Path, name: str, embeddings: np.ndarray, codes: np.ndarray) -> None:
    """Write `expected` or `served` embeddings, float32 [galleries, D], and codes, uint8 [galleries, ceil(D / 8)]."""
    for file, array in ((name, embeddings.astype(np.float32)), (f"{name}_codes", codes)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_bytes(folder / f"{file}.npy", buffer.getvalue())


def read_embeddings(folder: Path, name: str) -> np.ndarray:
    """`expected` or `served` embeddings, float32 [galleries, D].

    Raises:
        ShoplensError: if the file is missing or damaged.
    """
    try:
        return np.asarray(np.load(folder / f"{name}.npy", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ShoplensError(f"{folder / name}.npy cannot be read ({error}): package the encoder again") from None


def read_codes(folder: Path, name: str) -> np.ndarray | None:
    """`expected` or `served` codes, uint8 [galleries, ceil(D / 8)]; None in a package from before there were codes."""
    path = folder / f"{name}_codes.npy"
    return np.asarray(np.load(path, allow_pickle=False)) if path.exists() else None


def write_rankings(folder: Path, rankings: Sequence[Ranking]) -> None:
    """Write the rankings of a package that has a ranker."""
    write_json(folder / "rankings.json", [asdict(ranking) for ranking in rankings])


def read_rankings(folder: Path) -> list[Ranking]:
    """The rankings of an examples folder; none where the package has no ranker."""
    path = folder / "rankings.json"
    return [Ranking(**row) for row in read_json(path)] if path.exists() else []


def write_searches(folder: Path, searches: Sequence[Search], names: Sequence[str]) -> None:
    """Write the searches of a package that has visual search; `names` are as for `write_examples`."""
    rows = []
    for number, (example, name) in enumerate(zip(searches, names, strict=True)):
        file = f"search/{number:02d}{Path(name).suffix.lower()}"
        write_bytes(folder / file, example.photo)
        rows.append(vars(example) | {"photo": file})
    write_json(folder / "searches.json", rows)


def read_searches(folder: Path) -> list[Search]:
    """The searches of an examples folder; none where the package has no visual search."""
    path = folder / "searches.json"
    rows = read_json(path) if path.exists() else []
    return [Search(**row | {"box": tuple(row["box"]), "photo": (folder / row["photo"]).read_bytes()}) for row in rows]


def check_answers(
    url: str, folder: Path, slot: str | None = None, limit: int | None = None, same: float = SAME_ANSWER
) -> Answers:
    """Ask a server for the examples and compare values with the package's own trial.

    Args:
        url: the server's gRPC address.
        folder: the examples.
        slot: ask the models of this slot of a live repository; None asks the public ones.
        limit: ask for the first examples only.
        same: the lowest cosine of two embeddings that count as equal.

    Raises:
        ShoplensError: if an answer differs, or the answers of `photo` do not average to that of `gallery`.
    """
    names = {name: in_slot(name, slot) if slot else name for name in ("gallery", "photo", RANKER, SEARCH)}
    galleries, served = read_examples(folder)[:limit], read_embeddings(folder, "served")[:limit]
    codes = read_codes(folder, "served")
    answers = Answers({}, {}, {})
    for row, (gallery, wanted) in enumerate(zip(galleries, served, strict=True)):
        answer = embed_gallery(url, gallery.photos, model=names["gallery"])
        cosine = _compare(answer.embedding, wanted, f"listing {gallery.listing_id}", same)
        if codes is not None:
            _compare_codes(answer.code, codes[row], f"listing {gallery.listing_id}")
        entry = {"used": answer.used, "corrupt": answer.corrupt, "cosine": round(cosine, 6)}
        answers.galleries[gallery.listing_id] = entry
    photos = [embed_photo(url, photo, model=names["photo"]).embedding for photo in galleries[0].photos]
    _compare(np.mean(photos, axis=0), served[0], f"the photos of listing {galleries[0].listing_id}", same)
    for ranking in read_rankings(folder)[:limit]:
        scores = rank(url, ranking.query, ranking.listing_ids, model=names[RANKER]).scores
        entry = {"scores": len(scores), "difference": round(_compare_scores(scores, ranking), 6)}
        answers.rankings[ranking.query] = entry
    for example in read_searches(folder)[:limit]:
        k = len(example.distances)
        found = search(url, example.photo, example.source, k, example.box, model=names[SEARCH])
        answers.searches[example.unit] = {"results": k, "bits": _compare_search(found, example)}
    return answers


def _compare(answer: np.ndarray, wanted: np.ndarray, what: str, same: float) -> float:
    cosine = compare(answer[None], wanted[None]).min_cosine if answer.shape == wanted.shape else -1.0
    if cosine < same:
        raise ShoplensError(
            f"the server's answer for {what} is not the packaged encoder's: cosine {cosine:.6f}, at least {same} wanted"
        )
    return cosine


def _compare_codes(answer: np.ndarray | None, wanted: np.ndarray, what: str) -> int:
    """How many bits differ."""
    different = (
        differing_bits(answer, wanted) if answer is not None and answer.shape == wanted.shape else wanted.size * 8
    )
    allowed = int(SAME_CODE * wanted.size * 8)
    if different > allowed:
        raise ShoplensError(
            f"the server's code for {what} is not the packaged encoder's: {different} bits differ, at most {allowed} "
            "wanted"
        )
    return different


def _compare_search(answer: SearchAnswer, example: Search) -> int:
    """How many bits of the query's code differ; no distance may differ by more, and without any, nothing may."""
    wanted = np.frombuffer(bytes.fromhex(example.code), np.uint8)
    bits = _compare_codes(answer.code, wanted, f"the photo {example.unit}")
    same = answer.image_ids == example.image_ids and answer.boxes.tolist() == example.boxes
    apart = len(answer.distances) != len(example.distances) or np.abs(answer.distances - example.distances).max() > bits
    if apart or (bits == 0 and not same):
        raise ShoplensError(f"the server's results for the photo {example.unit} are not those of the packaged search")
    return bits


def differing_bits(codes: np.ndarray, others: np.ndarray) -> int:
    """In how many bits two arrays of codes of one shape differ."""
    return int(np.unpackbits(codes ^ others).sum())


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
