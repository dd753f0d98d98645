"""Stage embed in shards: each embeds a range of the listings and of the crops, and merge puts the ranges together.

A shard's folder holds the stage's files, of its own range; so what merge writes is what the stage writes by itself.
Where the arithmetic of a photo depends on how many others go through the network with it, so does its last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplens.artifacts import write_artifact
from shoplens.data.examples import Crops
from shoplens.data.galleries import Galleries, read_galleries
from shoplens.errors import ShoplensError
from shoplens.evaluation.embed import check_inputs, evaluated_crops, write_embeddings
from shoplens.evaluation.shards import read_shards, shard_params
from shoplens.files import read_json, write_json
from shoplens.params import EmbedParams

STAGE = "embed-shard"


def shard_count(prepare: Path, shards: int) -> int:
    """The number of shards, if the listings can be divided into so many.

    Raises:
        ShoplensError: if it is not 1 to the number of listings that have a usable photo.
    """
    listings = len(read_galleries(prepare).counts)
    if not 1 <= shards <= listings:
        raise ShoplensError(
            f"{shards} shards to embed, and {listings} listings with a photo: choose 1 to {listings} shards"
        )
    return shards


def partition(sizes: np.ndarray, shards: int) -> np.ndarray:
    """Divide things into contiguous ranges of nearly the same total size, none of them empty.

    No range is larger than its fair share and the largest thing.

    Args:
        sizes: int64 (n,), of each thing, at least 1.
        shards: 1 to n.

    Returns:
        Ascending bounds, int64 (shards + 1,): range i is bounds[i] to bounds[i + 1].
    """
    ends = np.cumsum(sizes)
    fair = np.searchsorted(ends, ends[-1] * np.arange(1, shards) / shards)
    inner = np.maximum.accumulate(fair + 1 - np.arange(shards - 1)) + np.arange(shards - 1)
    last = len(sizes) - np.arange(shards - 1, 0, -1)
    return np.concatenate([[0], np.minimum(inner, last), [len(sizes)]]).astype(np.int64)


def galleries_between(galleries: Galleries, first: int, last: int) -> Galleries:
    """The galleries first to last, without the latter."""
    bounds = np.append(galleries.starts, len(galleries.paths))
    photos = slice(int(bounds[first]), int(bounds[last]))
    return replace(
        galleries,
        listing_ids=galleries.listing_ids[first:last],
        split=galleries.split[first:last],
        counts=galleries.counts[first:last],
        paths=galleries.paths[photos],
        digests=galleries.digests[photos],
    )


def crops_between(crops: Crops, first: int, last: int) -> Crops:
    """The crops first to last, without the latter."""
    own = slice(first, last)
    return Crops(crops.image_ids[own], crops.paths[own], crops.digests[own], crops.boxes[own])


def run_shard(inputs: Mapping[str, Path], out: Path, params: EmbedParams, shard: int, shards: int) -> None:
    """Embed one of `shards` ranges of the listings, which hold about as many photos each, and of the crops.

    Args:
        inputs: those of stage embed, by name.
        out: the folder to write.
        params: the stage's.
        shard: which one, from 0.
        shards: how many there are; the same for all of them.

    Raises:
        ShoplensError: if there are fewer listings than shards, or an input was made from another one.
    """
    settings = shard_params(params.model_dump(), shard, shards)
    pretrained = str(check_inputs(inputs)["pretrained"])
    galleries, crops = read_galleries(inputs["prepare"]), evaluated_crops(inputs["prepare"])
    first, last = partition(galleries.counts, shard_count(inputs["prepare"], shards))[shard : shard + 2].tolist()
    if crops is not None:
        crops = crops_between(crops, len(crops) * shard // shards, len(crops) * (shard + 1) // shards)
    with write_artifact(out, STAGE, inputs, settings) as folder:
        write_embeddings(folder, inputs, galleries_between(galleries, first, last), crops, pretrained, params)


def merge(shard_folders: Sequence[Path], inputs: Mapping[str, Path], out: Path, params: EmbedParams) -> None:
    """Write the artifact of stage embed from all its shards, in any order.

    Raises:
        ShoplensError: if one of them is missing, comes twice, or was made from other inputs or parameters.
    """
    check_inputs(inputs)
    with write_artifact(out, "embed", inputs, params.model_dump()) as folder:
        parts = read_shards(shard_folders, STAGE, inputs, params.model_dump())
        weights = [read_json(part / "embed.json") for part in parts]
        for part, found in zip(parts, weights, strict=True):
            if found != weights[0]:
                raise ShoplensError(f"{part} was embedded with other weights than {parts[0]}: run its shard again")
        for path in sorted(parts[0].glob("*.npy")):
            np.save(folder / path.name, np.concatenate([np.load(part / path.name) for part in parts]))
        for path in sorted(parts[0].glob("*.parquet")):
            pq.write_table(
                pa.concat_tables([pq.read_table(part / path.name) for part in parts]).combine_chunks(),
                folder / path.name,
            )
        write_json(folder / "embed.json", weights[0])
