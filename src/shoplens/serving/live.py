"""The live model repository, in `home()/serving`: what is served here, and by which process.

repository/gallery, photo, ranker, search     the public names: ensembles that point at one slot
repository/{encoder,gallery,...}_<slot>       a package's models; a slot is a version and a digest of models
slots/<slot>/                                 description and examples of that package
state.json                                    the version that is served (the truth after a restart)
server.json                                   the process that `shoplens serve` runs, while it runs
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from shoplens.artifacts import PASSPORT
from shoplens.errors import ShoplensError
from shoplens.files import digest_json, locked, read_json, replacing_folder, write_json, write_text
from shoplens.home import home
from shoplens.progress import say
from shoplens.serving.client import is_live, load_model, loaded_models, unload_model
from shoplens.serving.repository import MODELS, PUBLIC, Description, config_text, in_slot, switch_config
from shoplens.serving.server import STOP_TIMEOUT_S, Ports, Server, start_server, stop_server

UNLOAD_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Live:
    """What is served: registered model, version, digests of its weights and models, and the answers at its check.

    Ranker and search, where the package has them, are served under the version of their encoder.
    """

    model: str
    version: str
    weights: str
    models: str
    answers: dict[str, dict[str, float]]
    rankings: dict[str, dict[str, float]] = field(default_factory=dict)
    searches: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def slot(self) -> str:
        """Where its models lie in the live repository."""
        return slot_name(self.version, self.models)


@dataclass(frozen=True)
class Running:
    """The server that `shoplens serve` runs: its address, its process and the process that watches it."""

    url: str
    http: int
    pid: int
    started: str
    owner: int


Record = TypeVar("Record", Live, Running)


def folder() -> Path:
    """The live folder."""
    return home() / "serving"


def repository() -> Path:
    """The live model repository."""
    place = folder() / "repository"
    place.mkdir(parents=True, exist_ok=True)
    return place


def models_digest(package: Path) -> str:
    """What a package serves: its description and models, without its timings and examples, which a rerun changes."""
    files: dict[str, str] = read_json(package / PASSPORT)["files"]
    return digest_json({name: file for name, file in files.items() if name.startswith(("description", "repository/"))})


def slot_name(version: str, models: str) -> str:
    """One set of models under one version number: registries may be begun anew, and a version packaged again."""
    return f"v{version}_{models[:8]}"


def slot_folder(slot: str) -> Path:
    """Description and examples of a published package."""
    return folder() / "slots" / slot


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """Hold the lock of the live folder: one process at a time deploys or starts a server."""
    with locked(folder() / ".lock", "the live model repository"):
        yield


def _read_record(path: Path, kind: type[Record]) -> Record | None:
    """A record of this folder, or None if there is none.

    Raises:
        ShoplensError: if it has other fields: it is damaged, or another version of shoplens wrote it.
    """
    if not path.exists():
        return None
    try:
        return kind(**read_json(path))
    except TypeError:
        raise ShoplensError(
            f"{path} is not a record that this version of shoplens reads: end `shoplens serve`, delete the file and "
            "run `shoplens deploy`"
        ) from None


def read_live() -> Live | None:
    """What is served, or None before the first deployment."""
    return _read_record(folder() / "state.json", Live)


def write_live(live: Live) -> None:
    """Record what is served."""
    write_json(folder() / "state.json", asdict(live))


def publish(package: Path, version: str, models: str) -> str:
    """Copy a package's embedded repository into the live one, under a slot of its own; the slot is returned.

    Nothing that is served changes.
    """
    slot = slot_name(version, models)
    for name in read_description(package / "description.json").models:
        with replacing_folder(repository() / in_slot(name, slot)) as temporary:
            shutil.copytree(package / "repository" / "embedded" / name, temporary, dirs_exist_ok=True)
    with replacing_folder(slot_folder(slot)) as temporary:
        shutil.copyfile(package / "description.json", temporary / "description.json")
        shutil.copytree(package / "examples", temporary / "examples")
    return slot


def remove_stale(keep: Collection[str]) -> None:
    """Remove all slots but these, also what a killed deployment left; after `unload_others`, which needs the files."""
    for path in (folder() / "slots").glob("*"):
        if path.name not in keep:
            remove_slot(path.name)


def remove_slot(slot: str) -> None:
    """Remove a published package from the disk; a server that has loaded it goes on answering."""
    for name in MODELS:
        shutil.rmtree(repository() / in_slot(name, slot), ignore_errors=True)
    shutil.rmtree(slot_folder(slot), ignore_errors=True)


def point(version: str, slot: str) -> None:
    """Make the public names mean the models of a slot; a server takes it over with `load_public`."""
    description = described(slot)
    for name in description.public:
        (repository() / name / version).mkdir(parents=True, exist_ok=True)
        write_text(repository() / name / "config.pbtxt", config_text(switch_config(description, name, version, slot)))


def described(slot: str) -> Description:
    """What a published package says of itself.

    Raises:
        ShoplensError: as `read_description`.
    """
    return read_description(slot_folder(slot) / "description.json")


def read_description(path: Path) -> Description:
    """A package's `description.json`.

    Raises:
        ShoplensError: if it is missing or of another version of shoplens.
    """
    try:
        return Description(**read_json(path)["description"])
    except (KeyError, TypeError) as error:
        raise ShoplensError(f"{path} is not a description that this version of shoplens reads ({error})") from None


def load_slot(url: str, slot: str) -> None:
    """Load a slot's models beside what the server has, the encoder first."""
    for name in described(slot).models:
        load_model(url, in_slot(name, slot))


def load_public(url: str, slot: str) -> None:
    """Let a server take over what the public names mean since they point at `slot`.

    A name that the slot does not have is taken away: the ranker of the encoder before would rank by features, and its
    search compare codes, that this one does not make.

    Raises:
        ShoplensError: if the server does not take a name, or goes on answering by one that the slot does not have.
    """
    served = described(slot).public
    for name in served:
        load_model(url, name)
    for name in set(PUBLIC).difference(served):
        if name in loaded_models(url):
            unload_model(url, name)
        deadline = time.monotonic() + UNLOAD_TIMEOUT_S
        while name in loaded_models(url):
            if time.monotonic() > deadline:
                raise ShoplensError(f"the Triton server at {url} does not unload {name}: end it and deploy again")
            time.sleep(0.05)
        # not before: the server does not list what has no folder
        shutil.rmtree(repository() / name, ignore_errors=True)


def unload_others(url: str, slot: str) -> None:
    """Unload every slot but one, also what a killed deployment left."""
    keep = {*PUBLIC, *(in_slot(name, slot) for name in MODELS)}
    for name in reversed(loaded_models(url)):
        if name not in keep:
            unload_model(url, name)


def start_live(live: Live | None, log: Path, ports: Ports | None = None, host: str = "127.0.0.1") -> Server:
    """Start a server on the live repository, with the served version loaded if there is one."""
    server = start_server(repository(), log, ports, host)
    try:
        if live is not None:
            point(live.version, live.slot)  # the state is the truth, whatever a killed deployment left
            load_slot(server.url, live.slot)
            load_public(server.url, live.slot)
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
    running = _read_record(folder() / "server.json", Running)
    if running is None:
        return None
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
