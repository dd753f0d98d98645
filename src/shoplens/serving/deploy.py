"""Stage `deploy`: the registered encoder, its ranker and its search answer, once their answers equal the packaged ones.

With a server running, the new version is loaded beside the old one, asked, and only then given the public names;
whatever goes wrong before or after, the old version keeps answering. Deployed is to the live repository of this
machine, or to the servers of a target (`serving.target`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from shoplens.artifacts import digest_of, read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import RegisterParams
from shoplens.progress import say
from shoplens.serving import live, slots, target
from shoplens.serving.fleet import Fleet
from shoplens.serving.server import stop_server
from shoplens.serving.switch import Place, deploy_package


def deploy(*, package: Path, register: Path, out: Path, params: RegisterParams) -> None:
    """Serve the version that stage register wrote into the registry, if it is not served already.

    Writes `receipt.json`: {"version", "models": the public names, "answers": {listing id: {"used", "corrupt",
    "cosine"}}, "rankings": {query: {"scores", "difference"}}, "searches": {query: {"results", "bits"}}}, or {"skipped":
    reason}. The same registration gives the same bytes again.

    Raises:
        ShoplensError: if the chain package - receipt - registry does not hold, or the answers are wrong (then the
            version that was served before is served still).
    """
    with write_artifact(out, "deploy", {"package": package, "register": register}, params.model_dump()) as folder:
        write_json(folder / "receipt.json", _receipt(package, register, params))


def _receipt(package: Path, register: Path, params: RegisterParams) -> dict[str, Any]:
    if os.environ.get("DVC_EXP_NAME"):
        say("deploy: inside a DVC experiment nothing is deployed")
        return {"skipped": "inside a DVC experiment"}
    read_artifact(register, "register", {"package": package})
    receipt = read_json(register / "receipt.json")
    if "skipped" in receipt:
        say(f"deploy: nothing was registered ({receipt['skipped']})")
        return {"skipped": receipt["skipped"]}
    with _changing() as serve:
        _check_chain(package, receipt, params)
        served = serve(package, receipt["model"], receipt["version"])
    names = slots.read_description(package / "description.json").public
    checked = {"answers": served.answers, "rankings": served.rankings, "searches": served.searches}
    return {"version": served.version, "models": list(names), **checked}


def _check_chain(package: Path, receipt: dict[str, Any], params: RegisterParams) -> None:
    from shoplens.promotion.registry import champion_version

    if receipt["package"] != digest_of(package):
        raise ShoplensError(f"{package} is not the package that was registered: run stage register again")
    ranker = receipt["ranker"]
    for model, named, version in (
        (params.model, receipt["model"], receipt["version"]),
        (params.ranker, ranker["model"], ranker["version"]),
    ):
        current = champion_version(model, params.alias)
        if (named, receipt["alias"], version) != (model, params.alias, current):
            raise ShoplensError(
                f"the registry's {model}@{params.alias} is version {current or 'none'}, the receipt names "
                f"{named}@{receipt['alias']} version {version or 'none'}: run stage register again"
            )


def deploy_version(package: Path, model: str, version: str) -> slots.Live:
    """Serve a package under a registry version; what a rollback calls with a package from the registry.

    Does nothing if these models are served under that version already. With a server of `shoplens serve` running it
    switches there; without one, a temporary server tries the answers. A target's servers are switched, every one. Two
    calls at once: one waits.

    Args:
        package: a folder of stage package.
        model: the registered model's name.
        version: its version, an integer as text.

    Raises:
        ShoplensError: if the models do not load or answer wrongly; what was served before still is.
    """
    with _changing() as serve:
        return serve(package, model, version)


@contextlib.contextmanager
def _changing() -> Iterator[Callable[[Path, str, str], slots.Live]]:
    """Hold the lock of what is deployed to; what is yielded serves a package, model and version there."""
    file = target.chosen()
    if file is None:
        with live.changing():
            yield _deploy_here
        return
    place = target.place_of(file)
    say(f"deploy: to the servers of {file}, by {place.store.where}")
    with place.store.lock():
        yield partial(deploy_package, place)


def _deploy_here(package: Path, model: str, version: str) -> slots.Live:
    """Serve a package by the live repository of this machine."""
    read_artifact(package, "package")
    models, before = slots.models_digest(package), live.read_live()
    if before and (before.model, before.version, before.models) == (model, version, models):
        say(f"deploy: version {version} is served already")
        return before
    with _server() as url:
        return deploy_package(Place(live.store(), Fleet((url,)), "embedded"), package, model, version)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    running = live.running_server()
    if running:
        say(f"deploy: loading beside the served version, on the server at {running.url}")
        yield running.url
        return
    say("deploy: no server is running; a temporary one tries the answers")
    server = live.start_live(None, live.folder() / "deploy.log")
    try:
        yield server.url
    finally:
        stop_server(server)
