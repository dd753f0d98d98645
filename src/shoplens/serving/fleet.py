"""The Triton servers that answer together, and what is asked of each: one on a laptop, every pod on a cluster."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shoplens.errors import ShoplensError
from shoplens.progress import say
from shoplens.serving.client import (
    Headers,
    Unreachable,
    is_live,
    load_model,
    loaded_models,
    served_slot,
    unload_model,
)
from shoplens.serving.repository import MODELS, PUBLIC, in_slot

UNLOAD_TIMEOUT_S = 20.0
ATTEMPTS = 3
"""That a server which goes away and comes back is given, until a deployment gives it up."""
LONGEST_PAUSE_S = 8.0
_IN_A_SLOT = re.compile(rf"({'|'.join(MODELS)})_v.+")

T = TypeVar("T")


@dataclass(frozen=True)
class Fleet:
    """The servers that answer together.

    Attributes:
        addresses: gRPC addresses, `host:port`; a name stands for every address that it has now.
        headers: what the servers want from those who may load models.
        wait_s: how long one that does not answer is waited for, each time.
    """

    addresses: tuple[str, ...]
    headers: Headers = field(default_factory=dict)
    wait_s: float = 0.0

    def servers(self) -> list[str]:
        """Every server's address now, `number:port`.

        Raises:
            Unreachable: if a name has no address: no pod is there, or the name is wrong.
        """
        found: dict[str, None] = {}
        for address in self.addresses:
            host, _, port = address.rpartition(":")
            try:
                rows = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
            except OSError as error:
                raise Unreachable(
                    f"{host} names no server ({error.strerror}): start one, or correct `servers`"
                ) from None
            # One server has an address of each kind where there are both.
            kind = min(row[0] for row in rows)
            for row in rows:
                if row[0] == kind:
                    number = str(row[4][0])
                    found[f"[{number}]:{port}" if ":" in number else f"{number}:{port}"] = None
        return sorted(found)


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of one act on every server: its results, and why it failed."""

    results: Mapping[str, T]
    failures: Mapping[str, ShoplensError]

    def demand(self) -> Mapping[str, T]:
        """The results.

        Raises:
            Unreachable: if nothing but silence went wrong.
            ShoplensError: if the act failed on a server; each of them is named.
        """
        if not self.failures:
            return self.results
        silent = all(isinstance(error, Unreachable) for error in self.failures.values())
        text = "\n".join(str(e) if url in str(e) else f"{url}: {e}" for url, e in self.failures.items())
        raise (Unreachable if silent else ShoplensError)(text)


def everywhere(fleet: Fleet, act: Callable[[str], T]) -> Outcome[T]:
    """Act on every server at once, then on those that have come meanwhile; one that left is left out.

    A server that does not answer is waited for, then acted on anew: `act` must bear repetition.

    Raises:
        Unreachable: if there is no server.
    """
    results: dict[str, T] = {}
    failures: dict[str, ShoplensError] = {}
    while not failures:
        new = [url for url in fleet.servers() if url not in results]
        if not new:
            break
        with ThreadPoolExecutor(len(new)) as pool:
            acting = {url: pool.submit(_patiently, fleet, url, act) for url in new}
        for url, future in acting.items():
            try:
                results[url] = future.result()
            except _Gone:
                continue
            except ShoplensError as error:
                failures[url] = error
    return Outcome(results, failures)


class _Gone(Exception):
    """No name of the fleet means this server any more."""


def _patiently(fleet: Fleet, url: str, act: Callable[[str], T]) -> T:
    """Act on a server; while it does not answer, wait with longer and longer pauses."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return act(url)
        except Unreachable:
            if attempt == ATTEMPTS or not _answers_again(fleet, url):
                raise
            say(f"deploy: {url} answers again")
    raise AssertionError("the last attempt returns or raises")


def _answers_again(fleet: Fleet, url: str) -> bool:
    """Whether a server answers within `wait_s`.

    Raises:
        _Gone: if it has left the fleet.
    """
    deadline, pause = time.monotonic() + fleet.wait_s, 0.25
    while time.monotonic() < deadline:
        if is_live(url):
            return True
        if url not in fleet.servers():
            say(f"deploy: {url} is gone")
            raise _Gone
        if pause == 0.25:
            say(f"deploy: {url} does not answer; waiting for it, at most {fleet.wait_s:.0f} s")
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, LONGEST_PAUSE_S)
    return False


def load_slot(url: str, models: Sequence[str], slot: str, headers: Headers | None = None) -> None:
    """Load a slot's models, in this order, beside what a server has; models whose files are unchanged stay as they are.

    Raises:
        ShoplensError: with the server's reason.
    """
    for name in models:
        load_model(url, in_slot(name, slot), headers)


def has_slot(url: str, models: Sequence[str], slot: str, headers: Headers | None = None) -> bool:
    """Whether a server has loaded all of a slot's models."""
    return {in_slot(name, slot) for name in models} <= set(loaded_models(url, headers))


def load_public(url: str, served: Sequence[str], headers: Headers | None = None) -> None:
    """Let a server take over what the public names mean in its repository now.

    A name that is not `served` is taken away: the ranker of the encoder before would rank by features, and its search
    compare codes, that this one does not make.

    Raises:
        ShoplensError: if the server does not take a name, or goes on answering by one that is not served.
    """
    for name in served:
        load_model(url, name, headers)
    for name in sorted(set(PUBLIC).difference(served)):
        if name in loaded_models(url, headers):
            unload_model(url, name, headers)
        deadline = time.monotonic() + UNLOAD_TIMEOUT_S
        while name in loaded_models(url, headers):
            if time.monotonic() > deadline:
                raise ShoplensError(f"the Triton server at {url} does not unload {name}: end it and deploy again")
            time.sleep(0.05)


def unload_others(url: str, slot: str | None, headers: Headers | None = None) -> None:
    """Unload the models of every slot but one, also what a killed deployment left."""
    keep = {in_slot(name, slot) for name in MODELS} if slot else set()
    for name in reversed(loaded_models(url, headers)):
        if _IN_A_SLOT.fullmatch(name) and name not in keep:
            unload_model(url, name, headers)


def state_of(url: str) -> str:
    """What a server serves, in words."""
    try:
        slot = served_slot(url)
    except Unreachable:
        return f"{url} does not answer"
    except ShoplensError as error:
        return f"{url}: {error}"
    return f"{url} serves {version_in(slot)}" if slot else f"{url} serves nothing"


def version_in(slot: str) -> str:
    """The version that a slot holds, in words: `version 7` of `v7_1a2b3c4d`."""
    return f"version {slot.removeprefix('v').rpartition('_')[0]}"
