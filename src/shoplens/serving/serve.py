"""`shoplens serve` and `shoplens embed`: the long-running server with its watchdog, and asking it from a shell."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.progress import say
from shoplens.serving import live
from shoplens.serving.client import GalleryAnswer, Refused, embed_gallery, embed_photo
from shoplens.serving.examples import check_answers
from shoplens.serving.request_log import BOUND_MIB, BOUND_VARIABLE, FOLDER_VARIABLE
from shoplens.serving.server import Ports, Server, dead_workers, stop_server

CANARY_S = 5.0


def serve(
    *,
    http: int = 8000,
    grpc: int = 8001,
    metrics: int = 8002,
    host: str = "127.0.0.1",
    request_log_mib: float = BOUND_MIB,
) -> None:
    """Serve what is deployed until SIGINT or SIGTERM; deployments switch versions in this server.

    Every few seconds a canary request compares an answer's values: a worker that died leaves Triton saying READY. A
    server that ended, lost a worker or answered wrongly twice in a row is started anew, on the same ports.

    Args:
        http, grpc, metrics: the ports, 0 for any free one.
        host: the address to listen on.
        request_log_mib: bound of the log of requests that drift is measured on (docs/drift.md); 0: none is kept.

    Raises:
        ShoplensError: if nothing is deployed, a server runs already, a port is taken, or a restart fails.
    """
    stop = threading.Event()
    handlers = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    server = None
    try:
        with live.changing():
            running = live.running_server()
            if running:
                raise ShoplensError(
                    f"a server is running already (process {running.pid}, {running.url}): end `shoplens serve`, "
                    f"process {running.owner}, first"
                )
            server = _start(Ports(http, grpc, metrics), host, request_log_mib)
        misses = 0
        while not stop.wait(CANARY_S):
            problem = trouble(server)
            misses = misses + 1 if problem else 0
            if misses > 1 or not server.alive():
                with live.changing():  # a deployment may have been switching versions: judge again when it is over
                    problem = trouble(server)
                    if problem:
                        say(f"serve: {problem}; starting the server anew")
                        stop_server(server)
                        server = _start(server.ports, host, request_log_mib)
                misses = 0
        say("serve: stopping")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if server is not None:
            stop_server(server)
            live.forget_server()


def trouble(server: Server) -> str | None:
    """What is wrong with a server on the live repository, or None."""
    if not server.alive():
        return f"the server ended (exit code {server.process.returncode}, see {server.log})"
    dead = dead_workers(server.pid)
    if dead:
        return f"{dead} worker process(es) of the server died"
    try:
        check_answers(server.url, live.slot_folder(live.deployed().slot) / "examples", limit=1)
    except ShoplensError as error:
        return str(error)
    return None


def _start(ports: Ports, host: str, request_log_mib: float) -> Server:
    current = live.deployed()
    logging = {FOLDER_VARIABLE: str(live.request_log()), BOUND_VARIABLE: str(request_log_mib)}
    variables = logging if request_log_mib else None
    server = live.start_live(current, live.folder() / "server.log", ports, host, variables)
    live.record_server(server)
    names = ", ".join(f"`{name}`" for name in live.described(current.slot).public)
    say(
        f"serve: {current.model} version {current.version} answers as {names}: gRPC {server.url}, HTTP "
        f"{host}:{server.ports.http}, metrics {host}:{server.ports.metrics}; log {server.log}; Ctrl-C ends it"
    )
    return server


@dataclass(frozen=True)
class PhotoAnswer:
    """One photo's embedding (float32 [D]), or why it has none."""

    path: Path
    embedding: np.ndarray | None
    problem: str | None


@dataclass(frozen=True)
class Embedded:
    """What the served version makes of photos: each one's embedding, and that of all as one gallery."""

    version: str
    gallery: GalleryAnswer
    photos: list[PhotoAnswer]


def embed_photos(paths: Sequence[Path]) -> Embedded:
    """Ask the served encoder about photo files, as one gallery and one by one.

    Without a running server a temporary one is started, and that is said.

    Raises:
        ShoplensError: if a file cannot be read, no photo can be used, or nothing is deployed.
    """
    contents = [read_photo(path) for path in paths]
    with live.answering("embed") as (url, current):
        return _embed(url, current.version, paths, contents)


def _embed(url: str, version: str, paths: Sequence[Path], contents: Sequence[bytes]) -> Embedded:
    answers = []
    for path, content in zip(paths, contents, strict=True):
        try:
            answers.append(PhotoAnswer(path, embed_photo(url, content).embedding, None))
        except Refused as problem:
            answers.append(PhotoAnswer(path, None, str(problem)))
    return Embedded(version, embed_gallery(url, contents), answers)


def read_photo(path: Path) -> bytes:
    """A photo file's bytes.

    Raises:
        ShoplensError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ShoplensError(f"{path} cannot be read: {error.strerror}") from None
