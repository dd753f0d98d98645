"""The embedded Triton server: a child process on this machine, bound to 127.0.0.1 unless told otherwise."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoplens.errors import ShoplensError
from shoplens.serving.child import ending_with_parent
from shoplens.serving.environment import library_path, serving_python, site_packages
from shoplens.serving.request_log import FOLDER_VARIABLE

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Ports:
    """The server's ports; 0 stands for any free one."""

    http: int = 0
    grpc: int = 0
    metrics: int = 0


@dataclass(frozen=True)
class Server:
    """A running server: gRPC address (`host:port`), ports, process and log file."""

    url: str
    ports: Ports
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None


def start_server(
    repository: Path,
    log: Path,
    ports: Ports | None = None,
    host: str = "127.0.0.1",
    variables: Mapping[str, str] | None = None,
) -> Server:
    """Start a server on a model repository, without any model: load them through `client`.

    It ends with the process that started it. Its output goes to `log` (replaced).

    Args:
        repository, log: the model repository and the log file.
        ports: 0 or None takes free ports.
        host: the address to listen on.
        variables: added to the server's environment; only these can make its models log requests.

    Raises:
        ShoplensError: if the platform is not supported, a port is taken, or the server does not answer in a minute;
            with the end of its log.
    """
    python = serving_python()
    environment = python.parent.parent
    chosen = _choose_ports(ports or Ports(), host)
    tools = site_packages(environment) / "pytriton" / "tritonserver"
    command = [
        str(tools / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={environment / 'backends'}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        f"--http-address={host}",
        f"--grpc-address={host}",
        f"--metrics-address={host}",
        f"--http-port={chosen.http}",
        f"--grpc-port={chosen.grpc}",
        f"--metrics-port={chosen.metrics}",
        "--allow-gpu-metrics=false",
        "--exit-timeout-secs=10",
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", FOLDER_VARIABLE))}
    inherited["PATH"] = f"{python.parent}:{inherited.get('PATH', '/usr/bin:/bin')}"
    inherited["LD_LIBRARY_PATH"] = library_path(environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ending_with_parent(command),
            env=inherited | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"{host}:{chosen.grpc}", chosen, log, process)
    try:
        _wait_until_live(server)
    except BaseException:
        stop_server(server)
        raise
    return server


def stop_server(server: Server) -> None:
    """End a server, gracefully if it can: requests in flight are answered first."""
    if server.alive():
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(STOP_TIMEOUT_S)
    if server.alive():
        os.killpg(server.pid, signal.SIGKILL)
        server.process.wait()


@contextlib.contextmanager
def running_server(
    repository: Path, log: Path, ports: Ports | None = None, models: Sequence[str] = ()
) -> Iterator[Server]:
    """A server for the length of a block, with `models` loaded in that order."""
    from shoplens.serving.client import load_model

    server = start_server(repository, log, ports)
    try:
        for name in models:
            load_model(server.url, name)
        yield server
    finally:
        stop_server(server)


def dead_workers(pid: int) -> int:
    """How many of a server's worker processes (python backend stubs) have died: it goes on saying READY without them.

    A dead stub stays a zombie, because the server does not collect it while its model is loaded.
    """
    dead = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            dead += int(parent) == pid and state == "Z"
    return dead


def log_tail(log: Path, lines: int = 15) -> str:
    """The end of a log file, for messages."""
    if not log.exists():
        return f"(no log at {log})"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _wait_until_live(server: Server) -> None:
    from shoplens.serving.client import is_live

    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_live(server.url):
        if not server.alive():
            raise ShoplensError(
                f"the Triton server ended at once (exit code {server.process.returncode}); the end of {server.log}:\n"
                f"{log_tail(server.log)}"
            )
        if time.monotonic() > deadline:
            raise ShoplensError(
                f"the Triton server did not answer within {START_TIMEOUT_S:.0f} s; the end of {server.log}:\n"
                f"{log_tail(server.log)}"
            )
        time.sleep(0.05)


def _choose_ports(wanted: Ports, host: str) -> Ports:
    """Free ports for zeros; a named port must be free."""
    sockets = []
    try:
        for port in (wanted.http, wanted.grpc, wanted.metrics):
            listener = socket.socket()
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError as error:
                raise ShoplensError(
                    f"port {port} on {host} cannot be used ({error.strerror}): choose another one, or end what uses it"
                ) from None
        return Ports(*(listener.getsockname()[1] for listener in sockets))
    finally:
        for listener in sockets:
            listener.close()
