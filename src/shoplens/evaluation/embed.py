"""Stage embed: gallery embeddings of every listing under the candidate, the baseline and the ImageNet reference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.store import PhotoStore
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

GALLERIES_A_SEGMENT = 256


def reference_encoder(config: EncoderConfig, pretrained: str) -> PhotoEncoder:
    """The candidate's backbone as it was before training, without projection: ImageNet transfer (section 4.1)."""
    torch.manual_seed(0)  # only matters for pretrained="none", where the reference is a random network
    return PhotoEncoder(config.model_copy(update={"embedding_dim": None}), pretrained).eval()


def embed_galleries(
    encoder: PhotoEncoder, store: PhotoStore, galleries: Galleries, what: str, cache_gib: float
) -> np.ndarray:
    """Embed all galleries; finished ones are kept in the home folder, so that a killed run goes on where it was.

    Returns:
        float32 (G, dim), a row a gallery in the order of `galleries`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder.to(device).eval()
    frozen = FrozenRows(encoder, store, galleries.paths, galleries.digests, cache_gib)
    frozen.warm()
    bounds = [*galleries.starts.tolist(), len(galleries.digests)]
    keys = [digest_json(galleries.digests[a:b]) for a, b in itertools.pairwise(bounds)]
    identity = digest_json([weights_digest(encoder), encoder.config.transform.model_dump()])[:24]
    segments = Segments(home() / "cache" / "galleries" / identity)
    make_room(segments.folder.parent, segments.folder, int(cache_gib * 2**30))

    @torch.inference_mode()
    def produce(chosen: Sequence[int]) -> np.ndarray:
        rows = galleries.photo_rows(np.asarray(chosen))
        step = photos_at_once(device)
        parts = [encoder.finish(frozen[rows[i : i + step]].to(device)) for i in range(0, len(rows), step)]
        counts = torch.from_numpy(galleries.counts[np.asarray(chosen)]).to(device)
        pooled: np.ndarray = pool_galleries(torch.cat(parts), counts).cpu().numpy()
        return pooled

    total, done = len(set(keys)), sum(key in segments for key in set(keys))
    if 0 < done < total:
        say(f"Embeddings of the {what}: {done} of {total} galleries are there from an earlier run")
    with counter(f"Embeddings of the {what}", total, "gallery") as bar:
        bar.update(done)
        for count in fill(segments, keys, produce, GALLERIES_A_SEGMENT):
            bar.update(count)
    return segments.gather(segments.places(keys))


def embed(*, data: Path, prepare: Path, train: Path, champion: Path, out: Path, params: EmbedParams) -> None:
    """Write `candidate.npy`, `baseline.npy` (if there is a baseline) and `reference.npy`, a row a listing.

    Raises:
        ShoplensError: if an input was made from another data folder, split or candidate.
    """
    read_artifact(prepare, "prepare", {"data": data})
    trained = read_artifact(train, "train", {"data": data, "prepare": prepare})
    read_artifact(champion, "champion", {"train": train})
    keep_freed_pages()
    galleries = read_galleries(prepare)
    store = PhotoStore(data)
    inputs = {"data": data, "prepare": prepare, "train": train, "champion": champion}
    with write_artifact(out, "embed", inputs, params.model_dump()) as folder:
        candidate = load_bundle(train / "encoder")
        models = {"candidate": candidate.encoder}
        if read_json(champion / "champion.json")["version"] is not None:
            models["baseline"] = load_bundle(champion / "encoder").encoder
        models["reference"] = reference_encoder(candidate.config.encoder, str(trained.params["pretrained"]))
        for name, encoder in models.items():
            np.save(folder / f"{name}.npy", embed_galleries(encoder, store, galleries, name, params.cache_gib))
        listings = {
            "listing_id": pa.array(galleries.listing_ids.tolist(), pa.string()),
            "split": pa.array(galleries.split.tolist(), pa.string()),
            "photos": pa.array(galleries.counts, pa.int64()),
        }
        pq.write_table(pa.table(listings), folder / "listings.parquet")
        write_json(folder / "embed.json", {name: weights_digest(encoder) for name, encoder in models.items()})
