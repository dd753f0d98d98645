"""What a run is given in the Kubeflow UI, checked before anything starts, in the form that its tasks need."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from shoplens.errors import ShoplensError
from shoplens.files import write_bytes
from shoplens.kubeflow.cluster import DIGEST
from shoplens.kubeflow.fetch import check_address, commit_of
from shoplens.params import Params, parse_params, read_params
from shoplens.promotion.policy import read_policy

RECIPES = "SHOPLENS_RECIPES"
"""Environment variable with the folder of the recipes; the image sets it. Unset: `recipes` in the current folder."""
MOST = 1000


class Origin(NamedTuple):
    """The outputs of task locate.

    Attributes:
        revision: the commit that the given revision meant, or the revision itself where only a clone can tell.
        fresh: empty if source and revision fix the data for ever, else different in each run: fetch is not cached.
    """

    revision: str
    fresh: str


class Division(NamedTuple):
    """The outputs of task divide.

    Counts of GPUs are text, because Kubeflow puts no other parameter into a pod's limits.

    Attributes:
        train_gpus: of task train: none if the training runs on nodes of its own.
        embed_gpus: of task embed: none if shards embed.
        shard_gpus: of each shard.
    """

    train_gpus: str
    embed_gpus: str
    shard_gpus: str


def write_policy(text: str, file: Path) -> None:
    """Write the policy of a run with the very bytes of gate.yaml.

    Args:
        text: of gate.yaml as a JSON string; one line survives the UI and the compiler.
        file: to write.

    Raises:
        ShoplensError: if it is no JSON string or no valid policy: now, and not after hours in the gate.
    """
    try:
        policy = json.loads(text)
    except json.JSONDecodeError as error:
        raise ShoplensError(f"policy_json: not valid JSON ({error.msg}): {text[:80]!r}") from None
    if not isinstance(policy, str):
        raise ShoplensError("policy_json: must be the text of gate.yaml as one JSON string, in quotes")
    write_bytes(file, policy.encode())
    read_policy(file)


def locate(source: str, revision: str, image: str) -> Origin:
    """Find out which data a run is about.

    Args:
        source: a git repository, or with an empty revision a folder.
        revision: of the source.
        image: of the tasks; empty on this machine.

    Raises:
        ShoplensError: if the image has no digest, or the source holds a token or cannot be read.
    """
    if image and not DIGEST.fullmatch(image):
        raise ShoplensError(f"image {image!r} is not named by its digest: give NAME@sha256:... (64 hex digits)")
    if not source.strip():
        raise ShoplensError("source is empty: name a git repository with data.dvc, or with no revision a folder")
    check_address(source)
    commit = commit_of(source, revision) if revision else None
    return Origin(commit or revision, "" if commit else uuid4().hex)


def divide(*, gpus: int, embed_gpus: int, nodes: int, embed_shards: int) -> Division:
    """Work out which task gets how many GPUs.

    Raises:
        ShoplensError: with one line a problem.
    """
    given = {"gpus": (gpus, 0), "embed_gpus": (embed_gpus, 0), "nodes": (nodes, 1)}
    problems = [_range(name, count, least) for name, (count, least) in given.items() if not least <= count <= MOST]
    if problems:
        raise ShoplensError("\n".join(problems))
    sharded = embed_shards > 1
    return Division(str(0 if nodes > 1 else gpus), str(0 if sharded else embed_gpus), str(embed_gpus if sharded else 0))


def parts(shards: int) -> list[str]:
    """The names of a stage's shards: `0/3`, `1/3`, `2/3`; 0 and 1 are the stage alone, `0/1`.

    Raises:
        ShoplensError: if there cannot be so many.
    """
    if not 0 <= shards <= MOST:
        raise ShoplensError(_range("shards", shards, 0))
    count = max(1, shards)
    return [f"{shard}/{count}" for shard in range(count)]


def _range(name: str, count: int, least: int) -> str:
    return f"{name}: {count} is not between {least} and {MOST}"


def part_of(name: str) -> tuple[int, int]:
    """A shard's number, and how many there are."""
    shard, shards = name.split("/")
    return int(shard), int(shards)


def resolved_params(recipe: str, sections: Mapping[str, str]) -> Params:
    """The parameters of a run or of a stage: the recipe's if one is named, and then no other ones; else those given.

    Args:
        recipe: name of a file in the folder of recipes, without `.yaml`; or empty.
        sections: section of params.yaml -> its canonical JSON.

    Raises:
        ShoplensError: if there is no such recipe, or a parameter is not valid.
    """
    if not recipe:
        values = {}
        for name, text in sections.items():
            try:
                values[name] = json.loads(text)
            except json.JSONDecodeError as error:
                raise ShoplensError(f"parameters of {name}: not valid JSON ({error.msg}): {text[:80]!r}") from None
        return parse_params(values, f"parameters of {', '.join(sections)}" if len(sections) == 1 else "parameters")
    folder = Path(os.environ.get(RECIPES) or "recipes")
    known = sorted(path.stem for path in folder.glob("*.yaml") if not path.name.endswith(".gate.yaml"))
    if recipe not in known:
        raise ShoplensError(f"there is no recipe {recipe!r} in {folder}; known: {', '.join(known) or 'none'}")
    return read_params(folder / f"{recipe}.yaml")
