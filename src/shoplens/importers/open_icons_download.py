"""Pinned npm tarballs by plain https: cached, verified against npm's sha512, never half-written."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from shoplens.errors import ShoplensError
from shoplens.files import locked
from shoplens.importers.open_icons_packages import Package
from shoplens.progress import progress, say

REGISTRY = "https://registry.npmjs.org"
ATTEMPTS = 3
TIMEOUT_S = 60.0
CHUNK = 1 << 20


def registry() -> str:
    """The npm registry's address: the standard `npm_config_registry` (npm reads it in any case), else npm's own.

    Raises:
        ShoplensError: if it is not an http or https address.
    """
    found = [value for key, value in os.environ.items() if key.lower() == "npm_config_registry" and value]
    address = (found[0] if found else REGISTRY).rstrip("/")
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ShoplensError(f"npm_config_registry is {address!r}: expected an address that starts with https://")
    return address


def sha512_file(path: Path) -> str:
    """sha512 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha512").hexdigest()


def _receive(url: str, package: Package, stream: IO[bytes]) -> str:
    """Copy `url` into `stream`; returns the sha512 (hex) of what came.

    Raises:
        OSError, http.client.HTTPException: on any trouble of the network, a body shorter than announced included.
    """
    digest = hashlib.sha512()
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        done = 0
        nothing: tuple[bytes, ...] = ()
        with progress(nothing, f"download {package.name} {package.version}", total=total, unit="B") as bar:
            while chunk := response.read(CHUNK):
                stream.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                bar.update(len(chunk))
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)
    return digest.hexdigest()


def _download(package: Package, target: Path) -> None:
    """One download to a temporary file beside `target`, renamed once its sha512 is the pinned one."""
    url = f"{registry()}/{package.tarball}"
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.part-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            digest = _receive(url, package, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if digest != package.sha512:
            raise ShoplensError(
                f"{url} is not {package.name} {package.version}: its sha512 is {digest[:16]}..., pinned is "
                f"{package.sha512[:16]}...; nothing of it was kept. Try another registry (npm_config_registry)"
            )
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _is_final(error: Exception) -> bool:
    """Whether asking again is pointless: the registry answered, and its answer was no."""
    return isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429)


def _attempt(package: Package, target: Path, last: bool) -> bool:
    """Download once; False if it failed in a way that another attempt may mend, and one is left."""
    try:
        _download(package, target)
    except (OSError, http.client.HTTPException) as error:
        if last or _is_final(error):
            raise ShoplensError(
                f"cannot download {package.name} {package.version} from {registry()} ({error}). Check the network, "
                f"name a registry that this machine reaches in npm_config_registry, or put the tarball at {target}"
            ) from None
        say(f"{package.name}: {error}; trying again")
        return False
    return True


def fetch(package: Package, cache: Path, pause_s: float = 1.0) -> Path:
    """The package's tarball in `cache`, downloaded if it is not there, and verified in either case.

    Args:
        package: what to fetch.
        cache: folder of tarballs; created if missing.
        pause_s: wait before the second attempt, doubled before each later one.

    Raises:
        ShoplensError: if the registry cannot be reached or says no, or the content is not the pinned one.
    """
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / package.file_name
    with locked(cache / ".lock", f"the download cache {cache}"):
        for stale in cache.glob(f".{target.name}.part-*"):
            stale.unlink()
        if target.is_file():
            if sha512_file(target) == package.sha512:
                return target
            say(f"{target} is not what {package.name} {package.version} must be: downloading it again")
        attempt = 1
        while not _attempt(package, target, last=attempt == ATTEMPTS):
            time.sleep(pause_s * 2 ** (attempt - 1))
            attempt += 1
    return target
