"""Stage `deploy`: the registered encoder, its ranker and its search answer, once their answers equal the packaged ones.

With a server running, the new version is loaded beside the old one, asked, and only then given the public names;
whatever goes wrong before or after, the old version keeps answering.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoplens.artifacts import digest_of, read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import RegisterParams
from shoplens.progress import say
from shoplens.serving import live
from shoplens.serving.examples import Answers, check_answers
from shoplens.serving.server import stop_server


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
    with live.changing():
        _check_chain(package, receipt, params)
        served = _deploy(package, receipt["model"], receipt["version"])
    names = live.read_description(package / "description.json").public
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


def deploy_version(package: Path, model: str, version: str) -> live.Live:
    """Serve a package under a registry version; what a rollback calls with a package from the registry.

    Does nothing if these models are served under that version already. With a server of `shoplens serve` running it
    switches there; without one, a temporary server tries the answers. Two calls at once: one waits.

    Args:
        package: a folder of stage package.
        model: the registered model's name.
        version: its version, an integer as text.

    Raises:
        ShoplensError: if the models do not load or answer wrongly; what was served before still is.
    """
    with live.changing():
        return _deploy(package, model, version)


def _deploy(package: Path, model: str, version: str) -> live.Live:
    """`deploy_version` for a caller that holds the lock."""
    read_artifact(package, "package")
    models, before = live.models_digest(package), live.read_live()
    if before and (before.model, before.version, before.models) == (model, version, models):
        say(f"deploy: version {version} is served already")
        return before
    with _server() as url:
        slot = live.publish(package, version, models)
        answers = _switch(url, version, slot, before)
        weights = read_json(package / "description.json")["weights"]
        served = live.Live(model, version, weights, models, answers.galleries, answers.rankings, answers.searches)
        live.write_live(served)
        live.unload_others(url, slot)
        live.remove_stale({slot, before.slot if before else slot})
    counts = {"galleries": answers.galleries, "rankings": answers.rankings, "searches": answers.searches}
    checked = " and ".join(f"{len(found)} {name}" for name, found in counts.items() if found)
    say(f"deploy: version {version} is served ({checked} answered as packaged)")
    return served


def _switch(url: str, version: str, slot: str, before: live.Live | None) -> Answers:
    """Load a slot, compare its answers, give it the public names and compare again; on any failure take it back."""
    examples = live.slot_folder(slot) / "examples"
    try:
        live.load_slot(url, slot)
        answers = check_answers(url, examples, slot)
        live.point(version, slot)
        live.load_public(url, slot)
        check_answers(url, examples)
    except BaseException:
        with contextlib.suppress(ShoplensError):  # a server that died has nothing to take back; the files follow
            _take_back(url, slot, before)
        if before is None or before.slot != slot:
            live.remove_slot(slot)
        raise
    return answers


def _take_back(url: str, slot: str, before: live.Live | None) -> None:
    if before is None:
        live.unload_others(url, slot)
        return
    live.point(before.version, before.slot)
    live.load_public(url, before.slot)
    live.unload_others(url, before.slot)


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
