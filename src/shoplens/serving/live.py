"""The live model repository of this machine, in `home()/serving`: what is served here, and by which process.

Beside what `slots` describes:

server.json                                   the process that `shoplens serve` runs, while it runs
requests/                                     what it was asked: embeddings, as many as a bound allows
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.home import home
from shoplens.progress import say
from shoplens.serving import slots
from shoplens.serving.client import is_live
from shoplens.serving.fleet import load_public, load_slot
from shoplens.serving.repository import Description
from shoplens.serving.server import STOP_TIMEOUT_S, Ports, Server, start_server, stop_server
from shoplens.serving.slots import Live
from shoplens.serving.store import FolderStore


@dataclass(frozen=True)
class Running:
    """The server that `shoplens serve` runs: its address, its process and the process that watches it."""

    url: str
    http: int
    pid: int
    started: str
    owner: int


def folder() -> Path:
    """The live folder."""
    return home() / "serving"


def request_log() -> Path:
    """The folder in which `shoplens serve` logs what it is asked (`request_log`)."""
    return folder() / "requests"


def repository() -> Path:
    """The live model repository."""
    place = folder() / "repository"
    place.mkdir(parents=True, exist_ok=True)
    return place


def store() -> FolderStore:
    """The live folder as what `slots` reads and writes."""
    return FolderStore(folder())


def slot_folder(slot: str) -> Path:
    """Description and examples of a published package."""
    return folder() / "slots" / slot


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """Hold the lock of the live folder: one process at a time deploys or starts a server."""
    with store().lock():
        yield


def read_live() -> Live | None:
    """What is served, or None before the first deployment."""
    return slots.read_live(store())


def described(slot: str) -> Description:
    """What a published package says of itself."""
    return slots.described(store(), slot)


def start_live(
    live: Live | None,
    log: Path,
    ports: Ports | None = None,
    host: str = "127.0.0.1",
    variables: Mapping[str, str] | None = None,
) -> Server:
    """Start a server on the live repository, with the served version loaded if there is one; see `start_server`."""
    server = start_server(repository(), log, ports, host, variables)
    try:
        if live is not None:
            description = described(live.slot)
            slots.point(store(), live.version, live.slot)  # the state is the truth, whatever a killed deployment left
            load_slot(server.url, description.models, live.slot)
            load_public(server.url, description.public)
            slots.remove_names(store(), keep=description.public)
    except BaseException:
        stop_server(server)
        raise
    return server


def deployed() -> Live:
    """What is served.

    Raises:
        ShoplensError: before the first deployment.
    """
    live = read_live()
    if live is None:
        raise ShoplensError(f"nothing is deployed in {folder()}: run `make repro` (or `dvc repro`) first")
    return live


@contextlib.contextmanager
def answering(what: str) -> Iterator[tuple[str, Live]]:
    """A server that answers with what is deployed, as its address and what it serves: the running one, if there is one,
    or a temporary one, which is said in the name of the command `what`.

    Raises:
        ShoplensError: if nothing is deployed, or the server does not start or answer.
    """
    running, current = running_server(), deployed()
    if running:
        yield running.url, current
        return
    say(f"{what}: no server is running (`shoplens serve` starts one); starting a temporary one")
    with tempfile.TemporaryDirectory() as scratch:
        with changing():
            server = start_live(current, Path(scratch) / "server.log")
        try:
            yield server.url, current
        finally:
            stop_server(server)


def record_server(server: Server) -> None:
    """Let other processes find the server of `shoplens serve`."""
    running = Running(server.url, server.ports.http, server.pid, _started(server.pid), os.getpid())
    write_json(folder() / "server.json", asdict(running))


def forget_server() -> None:
    """The server of `shoplens serve` has ended."""
    (folder() / "server.json").unlink(missing_ok=True)


def running_server() -> Running | None:
    """The server of `shoplens serve`, if one runs; a record whose process has ended counts as none.

    A server that is just ending is waited for.

    Raises:
        ShoplensError: if its process runs and does not answer.
    """
    path = folder() / "server.json"
    if not path.exists():
        return None
    try:
        running = Running(**read_json(path))
    except TypeError:
        raise slots.unreadable(str(path)) from None
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _started(running.pid) == running.started:
        if is_live(running.url):
            return running
        if time.monotonic() > deadline:
            raise ShoplensError(
                f"the Triton server (process {running.pid}, {running.url}) runs but does not answer: "
                f"see {folder() / 'server.log'}, or end it"
            )
        time.sleep(0.1)
    return None


def _started(pid: int) -> str:
    """When a process began (clock ticks since boot), "" if it has ended: a pid alone may have been given anew."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
