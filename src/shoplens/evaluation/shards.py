"""What all sharded stages share: a shard's parameters in its passport, and seeing that all shards are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplens.artifacts import Artifact, digest_of, read_artifact
from shoplens.errors import ShoplensError

SHARD, SHARDS = "shard", "shards"
_AGAIN = "run this shard again"


def shard_params(params: Mapping[str, Any], shard: int, shards: int) -> dict[str, Any]:
    """The parameters of a shard's passport.

    Raises:
        ShoplensError: if there is no such shard.
    """
    if not 0 <= shard < shards:
        raise ShoplensError(f"there is no shard {shard} among {shards}: they are numbered 0 to {shards - 1}")
    return {**params, SHARD: shard, SHARDS: shards}


def read_shards(
    folders: Sequence[Path], stage: str, inputs: Mapping[str, Path], params: Mapping[str, Any]
) -> list[Path]:
    """The shards' folders in the order of their numbers, checked: whole, all there, each once, all of one run.

    Args:
        folders: in any order.
        stage: the name in their passports.
        inputs: what they must have been made from, by name.
        params: what they must have been made with, without number and count.

    Raises:
        ShoplensError: if that is not so.
    """
    digests = {name: digest_of(path) for name, path in inputs.items()}
    found = [read_artifact(folder, stage) for folder in folders]
    for shard in found:
        others = [name for name in digests if shard.inputs.get(name) != digests[name]]
        if others:
            raise ShoplensError(f"{shard.path} was made from another {others[0]} than {inputs[others[0]]}: {_AGAIN}")
        own = {name: value for name, value in shard.params.items() if name not in (SHARD, SHARDS)}
        changed = sorted(name for name in {*own, *params} if own.get(name) != params.get(name))
        if changed:
            raise ShoplensError(f"{shard.path} was made with another {changed[0]}: {_AGAIN}")
    return _in_order(found)


def _in_order(found: Sequence[Artifact]) -> list[Path]:
    if not found:
        raise ShoplensError("there is no shard to merge: name the folders of all of them")
    counts = {shard.params[SHARDS]: shard.path for shard in found}
    if len(counts) > 1:
        (one, first), (other, second), *_ = counts.items()
        raise ShoplensError(f"{first} is one of {one} shards and {second} one of {other}: merge the shards of one run")
    total = found[0].params[SHARDS]
    numbers = Counter(shard.params[SHARD] for shard in found)
    twice = sorted(number for number, count in numbers.items() if count > 1)
    if twice:
        raise ShoplensError(f"shard {twice[0]} of {total} comes {numbers[twice[0]]} times: name each folder once")
    missing = [str(number) for number in range(total) if number not in numbers]
    if missing:
        raise ShoplensError(f"of {total} shards these are missing: {', '.join(missing)}; run them first")
    return [shard.path for shard in sorted(found, key=lambda shard: int(shard.params[SHARD]))]
