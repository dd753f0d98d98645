"""Rollback: the version that was champion before answers again, in one command."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.home import home
from shoplens.progress import say
from shoplens.promotion import registry
from shoplens.promotion.ranker import move_ranker, registered_ranker


def rollback(model: str, ranker: str, alias: str, to: str | None, deploy: Callable[[Path, str, str], object]) -> str:
    """Serve an earlier version of the encoder again, with its ranker, and point both aliases at them.

    The version that leaves is tagged, so that stage register will not promote it again by itself; the version that
    comes back loses such a tag. Serving comes first: if it fails, the registry still names what is served. The
    encoder's alias comes last: if the process dies in between, the same command completes the rollback.

    Args:
        model: the registered encoder.
        ranker: the registered ranker; its alias is removed where the encoder that comes back had none.
        alias: such as `champion`.
        to: the version to go back to; None is the one that the champion replaced.
        deploy: called with a folder of stage package, the model and the version; serves it or raises.

    Returns:
        The version that the alias names now.

    Raises:
        ShoplensError: if there is no champion, nothing to go back to, or `deploy` fails; the aliases are as before.
    """
    with registry.registry_lock():
        current = registry.champion_version(model, alias)
        if current is None:
            raise ShoplensError(f"{model}@{alias} names no version: there is nothing to roll back")
        target = to or _predecessor(model, current)
        target_ranker = registered_ranker(ranker, registry.read_version(model, target))
        with tempfile.TemporaryDirectory(dir=home()) as temporary:
            package = Path(temporary) / "package"
            registry.fetch_version(model, target, "package", package)
            deploy(package, model, target)
        if target != current:
            registry.tag_version(model, current, {registry.ROLLED_BACK: f"to {target}"})
        registry.tag_version(model, target, {registry.ROLLED_BACK: None})
        move_ranker(ranker, alias, target_ranker)
        registry.move_alias(model, alias, target, expected=current)
    say(f"rollback: {model}@{alias} names version {target} (before: {current})")
    return target


def _predecessor(model: str, current: str) -> str:
    before = registry.read_version(model, current).replaces
    if before is None:
        raise ShoplensError(f"version {current} of {model} replaced none; name a version with --to")
    if registry.read_version(model, before).rolled_back:
        raise ShoplensError(
            f"version {current} of {model} replaced version {before}, which was rolled back itself; name a version "
            f"with --to (--to {before} if you mean it)"
        )
    return before
