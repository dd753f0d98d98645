"""Stage embed: galleries, and the image sources' queries and corpora, by candidate, baseline and ImageNet reference.

Galleries and single photos lie in one space: a gallery's embedding is the mean of its photos', and its code the signs
of its photos' mean activation (models.embedding).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.store import PhotoStore
from shoplens.data.examples import BOX, Crops, crops_of, read_examples
from shoplens.data.galleries import Galleries, read_galleries
from shoplens.data.segments import Segments, fill, make_room
from shoplens.files import digest_json, read_json, write_json
from shoplens.home import home
from shoplens.models.activations import FrozenRows, photos_at_once
from shoplens.models.bundle import load_bundle, weights_digest
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, pool_galleries
from shoplens.models.memory import keep_freed_pages
from shoplens.params import EmbedParams
from shoplens.progress import counter, say
from shoplens.retrieval.codes import pack_codes

GALLERIES_A_SEGMENT = 256
CROPS_A_SEGMENT = 2048
EVALUATION = pa.array(["query", "corpus"])


def reference_encoder(
    config: EncoderConfig, pretrained: str, module: Literal["projection", "layer_norm"]
) -> PhotoEncoder:
    """The candidate's backbone as it was before training: ImageNet transfer (section 4.1).

    For galleries its pooled features as they are (`projection` to nothing); for search, where distances and signs
    count, the same features standardised (`layer_norm`), as the paper's baseline has them.
    """
    torch.manual_seed(0)  # only matters for pretrained="none", where the reference is a random network
    return PhotoEncoder(config.model_copy(update={"embedding_dim": None, "module": module}), pretrained).eval()


class Embedder:
    """One encoder over photos; what it made is kept in the home folder, so that a killed run goes on where it was."""

    def __init__(self, encoder: PhotoEncoder, store: PhotoStore, what: str, cache_gib: float) -> None:
        """`what` names the model to the reader."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._encoder, self._store = encoder.to(self._device).eval(), store
        self._what, self._cache_gib = what, cache_gib

    def galleries(self, galleries: Galleries) -> np.ndarray:
        """Mean embedding and mean activation of every gallery, float32 (G, 2, dim)."""
        frozen = self._frozen(galleries.paths, galleries.digests, None)
        bounds = [*galleries.starts.tolist(), len(galleries.digests)]
        keys = [digest_json(galleries.digests[a:b]) for a, b in itertools.pairwise(bounds)]

        @torch.inference_mode()
        def produce(chosen: Sequence[int]) -> np.ndarray:
            photos = self._both(frozen, galleries.photo_rows(np.asarray(chosen)))
            counts = torch.from_numpy(galleries.counts[np.asarray(chosen)]).to(self._device)
            pooled: np.ndarray = pool_galleries(photos, counts).cpu().numpy()
            return pooled

        return self._rows("galleries", "gallery", keys, produce, GALLERIES_A_SEGMENT)

    def crops(self, crops: Crops) -> np.ndarray:
        """Embedding and activation of every crop, float32 (N, 2, dim)."""
        if not len(crops):  # sources that only train
            return np.empty((0, 2, self._encoder.dim), np.float32)
        frozen = self._frozen(crops.paths, crops.digests, crops.boxes)

        @torch.inference_mode()
        def produce(chosen: Sequence[int]) -> np.ndarray:
            made: np.ndarray = self._both(frozen, np.asarray(chosen)).cpu().numpy()
            return made

        return self._rows("photos to search", "photo", crops.digests, produce, CROPS_A_SEGMENT)

    def _frozen(self, paths: Sequence[str], digests: Sequence[str], boxes: np.ndarray | None) -> FrozenRows:
        frozen = FrozenRows(self._encoder, self._store, paths, digests, self._cache_gib, boxes)
        frozen.warm()
        return frozen

    def _both(self, frozen: FrozenRows, rows: np.ndarray) -> torch.Tensor:
        """Embedding and activation of photo rows, (n, 2, dim)."""
        step, parts = photos_at_once(self._device), []
        for start in range(0, len(rows), step):
            activations = self._encoder.activate(frozen[rows[start : start + step]].to(self._device)).float()
            parts.append(torch.stack([self._encoder.rectify(activations), activations], dim=1))
        return torch.cat(parts)

    def _rows(
        self,
        kind: str,
        unit: str,
        keys: Sequence[str],
        produce: Callable[[Sequence[int]], np.ndarray],
        at_once: int,
    ) -> np.ndarray:
        identity = digest_json([weights_digest(self._encoder), self._encoder.config.model_dump(), kind])[:24]
        segments = Segments(home() / "cache" / "embeddings" / identity)
        make_room(segments.folder.parent, segments.folder, int(self._cache_gib * 2**30))
        title = f"Embeddings of {kind}, {self._what}"
        total, done = len(set(keys)), sum(key in segments for key in set(keys))
        if 0 < done < total:
            say(f"{title}: {done} of {total} are there from an earlier run")
        with counter(title, total, unit) as bar:
            bar.update(done)
            for count in fill(segments, keys, produce, at_once):
                bar.update(count)
        return segments.gather(segments.places(keys))


def codes_of(activations: np.ndarray) -> np.ndarray:
    """Packed codes (n, bytes); of an activation that is NaN, by a diverged model, all ones: its floats tell on it."""
    return pack_codes(np.nan_to_num(activations, nan=1.0))


def check_inputs(inputs: Mapping[str, Path]) -> Mapping[str, Any]:
    """See that all inputs were made from each other; the parameters that the candidate was trained with.

    Raises:
        ShoplensError: if one was made from another data folder, split or candidate.
    """
    data, prepare, train = inputs["data"], inputs["prepare"], inputs["train"]
    read_artifact(prepare, "prepare", {"data": data})
    trained = read_artifact(train, "train", {"data": data, "prepare": prepare})
    read_artifact(inputs["champion"], "champion", {"train": train})
    return trained.params


def evaluated_crops(prepare: Path) -> Crops | None:
    """The queries' and corpora's crops of all image sources; None for data without any."""
    examples = read_examples(prepare)
    return None if examples is None else crops_of(examples.filter(pc.is_in(examples["role"], EVALUATION)))[0]


def write_embeddings(
    folder: Path,
    inputs: Mapping[str, Path],
    galleries: Galleries,
    crops: Crops | None,
    pretrained: str,
    params: EmbedParams,
) -> None:
    """Write what stage embed is of some listings and crops: all of them, or a shard's (embed_shards).

    Args:
        folder: exists.
        inputs: the stage's.
        galleries, crops: what is embedded; no file of crops is written for None.
        pretrained: where the reference's weights are from, as in section train.
        params: the stage's.
    """
    keep_freed_pages()
    store, train, champion = PhotoStore(inputs["data"]), inputs["train"], inputs["champion"]
    config = load_bundle(train / "encoder").config.encoder
    models = {"candidate": load_bundle(train / "encoder").encoder}
    if read_json(champion / "champion.json")["version"] is not None:
        models["baseline"] = load_bundle(champion / "encoder").encoder
    models["reference"] = reference_encoder(config, pretrained, "projection")
    for name, encoder in models.items():
        rows = Embedder(encoder, store, name, params.cache_gib).galleries(galleries)
        np.save(folder / f"{name}.npy", rows[:, 0])
        np.save(folder / f"{name}_codes.npy", codes_of(rows[:, 1]))
    if crops is not None:
        searching = {**models, "reference": reference_encoder(config, pretrained, "layer_norm")}
        for name, encoder in searching.items():
            rows = Embedder(encoder, store, name, params.cache_gib).crops(crops)
            np.save(folder / f"{name}_crops.npy", rows[:, 0])
            np.save(folder / f"{name}_crop_codes.npy", codes_of(rows[:, 1]))
        boxes = {key: pa.array(crops.boxes[:, i], from_pandas=True) for i, key in enumerate(BOX)}
        image_ids = pa.array(crops.image_ids.tolist(), pa.string())
        pq.write_table(pa.table({"image_id": image_ids, **boxes}), folder / "crops.parquet")
    listings = {
        "listing_id": pa.array(galleries.listing_ids.tolist(), pa.string()),
        "split": pa.array(galleries.split.tolist(), pa.string()),
        "photos": pa.array(galleries.counts, pa.int64()),
    }
    pq.write_table(pa.table(listings), folder / "listings.parquet")
    write_json(folder / "embed.json", {name: weights_digest(encoder) for name, encoder in models.items()})


def embed(*, data: Path, prepare: Path, train: Path, champion: Path, out: Path, params: EmbedParams) -> None:
    """Write embeddings and codes of each model, a row a listing or crop.

    `{model}.npy` (G, dim) and `{model}_codes.npy` are of the listings in listings.parquet. With image sources,
    `{model}_crops.npy` (C, dim) and `{model}_crop_codes.npy` are of the queries and corpora in crops.parquet. Models
    are `candidate`, `baseline` (if there is one) and `reference`.

    Raises:
        ShoplensError: if an input was made from another data folder, split or candidate.
    """
    inputs = {"data": data, "prepare": prepare, "train": train, "champion": champion}
    pretrained = str(check_inputs(inputs)["pretrained"])
    with write_artifact(out, "embed", inputs, params.model_dump()) as folder:
        write_embeddings(folder, inputs, read_galleries(prepare), evaluated_crops(prepare), pretrained, params)
