"""The ranker in the registry: a model of its own, whose alias follows the encoder's.

Its image features are the encoder's embeddings, so the two belong together: an encoder's version names its ranker
(tag `registry.RANKER`), and whoever moves the encoder's alias moves the ranker's under the same lock.
"""

from __future__ import annotations

from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.progress import say
from shoplens.promotion import registry


def ranker_bundle(evaluate_ranking: Path) -> Path | None:
    """The bundle in stage evaluate-ranking's output; None where no ranking was learned."""
    bundle = evaluate_ranking / "ranker"
    return bundle if bundle.is_dir() else None


def register_ranker(model: str, encoder: registry.Version) -> str | None:
    """The version of an encoder's ranker, made from the encoder's run if it is not there; None if it has none."""
    if encoder.ranker is None:
        return None
    found = registry.find_version(model, encoder.ranker)
    if found:
        return found.version
    tags = {
        registry.IDENTITY: encoder.ranker,
        registry.WEIGHTS: encoder.weights,
        registry.ENCODER: encoder.version,
    }
    return registry.create_version_of(model, encoder.run_id, "ranker", tags)


def registered_ranker(model: str, encoder: registry.Version) -> str | None:
    """The version of an encoder's ranker; None if it has none.

    Raises:
        ShoplensError: if the registry has lost it.
    """
    if encoder.ranker is None:
        return None
    found = registry.find_version(model, encoder.ranker)
    if found is None:
        raise ShoplensError(
            f"version {encoder.version} was registered with a ranker that {model} does not have: restore the registry, "
            "or name the model that params.yaml named then (section register, key ranker)"
        )
    return found.version


def move_ranker(model: str, alias: str, version: str | None) -> None:
    """Let the alias follow: to a version, or away where the encoder has no ranker. Call it under `registry_lock`."""
    current = registry.champion_version(model, alias)
    if current == version:
        return
    if version is not None:
        registry.tag_version(model, version, {registry.REPLACES: current or registry.NOTHING})
    registry.move_alias(model, alias, version, expected=current)
    if version is None:
        say(f"{model}@{alias} (version {current}) is removed: the encoder that is champion now has no ranker")
    else:
        say(f"version {version} of {model} is now {alias}, in place of {current or 'none'}")
