"""The bundle of visual search: each image source's corpus as codes, and queries to try a server with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shoplens.contract import columns as c
from shoplens.contract.spec import SourceSpec, read_spec
from shoplens.contract.store import PhotoStore
from shoplens.data.examples import Crops, crops_of, read_examples
from shoplens.errors import ShoplensError
from shoplens.files import write_json
from shoplens.progress import say
from shoplens.retrieval.index import FORMAT, WHOLE, Corpus, Texts
from shoplens.serving.client import Box

QUERIES = 4
"""Of each source, that travel with a package."""


@dataclass(frozen=True)
class Query:
    """A query of a source's evaluation: the photo's bytes, its path in the data, and the code that training gave it."""

    source: str
    image_id: str
    box: Box
    path: str
    photo: bytes
    code: NDArray[np.uint8]


@dataclass(frozen=True)
class _Held:
    """Query and corpus rows of the data, the distinct crops among them, and which crop each row is."""

    rows: pa.Table
    crops: Crops
    crop: NDArray[np.int64]
    codes: NDArray[np.uint8]

    def of(self, source: SourceSpec, role: str) -> tuple[NDArray[np.int64], pa.Table]:
        """The crops of one role of a source's evaluated task, ascending, with repetitions, and their rows."""
        wanted = {c.SOURCE: source.name, c.TASK: source.eval.task, c.ROLE: role}
        mask = np.ones(len(self.rows), bool)
        for column, value in wanted.items():
            mask &= pc.equal(self.rows[column], value).to_numpy()
        chosen = np.flatnonzero(mask)
        chosen = chosen[np.argsort(self.crop[chosen], kind="stable")]
        return self.crop[chosen], self.rows.take(chosen)


def build_search(
    folder: Path, data: Path, prepare: Path, embed: Path, *, width: int, weights: str
) -> tuple[Path | None, list[Query]]:
    """Write the corpora that the image sources are evaluated on, as codes of the candidate, and choose queries.

    Args:
        folder: is made, if any source has a corpus.
        data, prepare, embed: inputs of stage package.
        width: bits of a code.
        weights: digest of the encoder's weights.

    Returns:
        The folder, None if no source has a corpus, and up to QUERIES queries of each source in it, spread over all.

    Raises:
        ShoplensError: if stage embed has not the codes of these examples.
    """
    held = _read(prepare, embed, width)
    sources = read_spec(data).sources if held else ()
    if held is None or not sources:
        say("package: without visual search, the data has no image source")
        return None, []
    corpora: dict[str, Corpus] = {}
    queries: list[Query] = []
    store = PhotoStore(data)
    for source in sources:
        corpus = _corpus(held, source)
        if corpus is None:
            say(f"package: source {source.name} cannot be searched, it has no corpus of its task {source.eval.task}")
            continue
        corpora[source.name] = corpus
        queries.extend(_queries(held, source, store))
    if not corpora:
        return None, []
    write_index(folder, width, weights, corpora)
    return folder, queries


def _read(prepare: Path, embed: Path, width: int) -> _Held | None:
    examples = read_examples(prepare)
    if examples is None:
        return None
    rows = examples.filter(pc.is_in(examples[c.ROLE], value_set=pa.array(["query", "corpus"])))
    crops, crop = crops_of(rows)
    written = pq.read_table(embed / "crops.parquet")
    codes = np.load(embed / "candidate_crop_codes.npy", mmap_mode="r", allow_pickle=False)
    same = written[c.IMAGE_ID].to_pylist() == crops.image_ids.tolist() and codes.shape == (len(crops), -(-width // 8))
    if not same:
        raise ShoplensError(f"{embed}/crops.parquet and its codes are not those of {prepare}: run embed again")
    return _Held(rows, crops, crop, codes)


def _corpus(held: _Held, source: SourceSpec) -> Corpus | None:
    crop, rows = held.of(source, "corpus")
    if not len(crop):
        return None
    distinct, place = np.unique(crop, return_inverse=True)
    labels: list[list[str]] = [[] for _ in distinct]
    for at, label in zip(place.tolist(), rows[c.LABEL].to_pylist(), strict=True):
        if label is not None:
            labels[at].append(label)
    boxes = held.crops.boxes[distinct]
    return Corpus(
        codes=np.ascontiguousarray(held.codes[distinct]),
        boxes=np.where(np.isnan(boxes), WHOLE, boxes),
        image_ids=texts_of(held.crops.image_ids[distinct].tolist()),
        labels=texts_of([" + ".join(sorted(set(found))) for found in labels]),
    )


def _queries(held: _Held, source: SourceSpec, store: PhotoStore) -> Iterator[Query]:
    found, _ = held.of(source, "query")
    if not len(found):  # never evaluated, but searched: its own corpus tries the server
        found, _ = held.of(source, "corpus")
    distinct = np.unique(found)
    for row in distinct[np.unique(np.linspace(0, len(distinct) - 1, QUERIES).round().astype(int))]:
        box, path = held.crops.boxes[row].tolist(), held.crops.paths[row]
        whole = bool(np.isnan(box[0]))
        image_id, code = str(held.crops.image_ids[row]), np.asarray(held.codes[row])
        yield Query(source.name, image_id, WHOLE if whole else cast("Box", tuple(box)), path, store.read(path), code)


def write_index(folder: Path, width: int, encoder: str, corpora: Mapping[str, Corpus]) -> None:
    """Write what `retrieval.index.load_index` opens; equal corpora give equal bytes.

    Args:
        folder: is made.
        width: bits of a code.
        encoder: digest of the weights that the codes come from.
        corpora: by the source's name.
    """
    for number, corpus in enumerate(corpora.values()):
        place = folder / str(number)
        place.mkdir(parents=True)
        arrays: dict[str, NDArray[Any]] = {"codes": corpus.codes, "boxes": corpus.boxes}
        for name, texts in (("image_ids", corpus.image_ids), ("labels", corpus.labels)):
            arrays |= {name: texts.content, f"{name}_ends": texts.ends}
        for name, array in arrays.items():
            np.save(place / f"{name}.npy", array, allow_pickle=False)
    write_json(folder / "index.json", {"format": FORMAT, "width": width, "encoder": encoder, "sources": list(corpora)})


def texts_of(values: Sequence[str]) -> Texts:
    """Texts as one array of bytes."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([len(value) for value in encoded], dtype=np.int64)
    return Texts(np.frombuffer(b"".join(encoded), np.uint8), ends)
