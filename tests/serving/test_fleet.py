"""Every server is acted on, also one that comes or leaves meanwhile. The names are those of a fake DNS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from shoplens.errors import ShoplensError
from shoplens.serving import fleet as module
from shoplens.serving.client import Refused, Unreachable
from shoplens.serving.fleet import Fleet, everywhere, version_in

Names = dict[str, list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Addresses by name, as a fake DNS answers them; what is not here is asked for real."""
    known: Names = {}
    real = socket.getaddrinfo

    def answer(host: str, port: int, **kind: Any) -> list[Any]:
        if host not in known:
            return real(host, port, **kind)
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = [(socket.AF_INET6 if ":" in number else socket.AF_INET, number) for number in known[host]]
        return [(kind, socket.SOCK_STREAM, 6, "", (number, port)) for kind, number in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


def test_a_name_stands_for_all_its_addresses_of_one_kind(names: Names) -> None:
    names |= {"pods": ["10.0.0.2", "10.0.0.1", "fd00::1", "fd00::2"], "six": ["fd00::3"]}
    fleet = Fleet(("pods:8001", "10.0.0.9:8001", "six:9001", "[fd00::4]:9001"))
    wanted = ["10.0.0.1:8001", "10.0.0.2:8001", "10.0.0.9:8001", "[fd00::3]:9001", "[fd00::4]:9001"]
    assert fleet.servers() == wanted


def test_a_name_without_an_address_is_a_clear_error(names: Names) -> None:
    names["pods"] = []
    with pytest.raises(Unreachable, match=r"pods names no server .Name or service not known.: start one, or correct"):
        everywhere(Fleet(("pods:8001",)), str)


def test_servers_that_come_meanwhile_are_acted_on(names: Names) -> None:
    names["pods"] = ["10.0.0.1"]

    def act(url: str) -> int:
        names["pods"] = ["10.0.0.1", "10.0.0.2"]
        return len(url)

    assert everywhere(Fleet(("pods:8001",)), act).demand() == {"10.0.0.1:8001": 13, "10.0.0.2:8001": 13}


def test_all_are_acted_on_at_once(names: Names) -> None:
    names["pods"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    meeting = threading.Barrier(3, timeout=20)
    assert len(everywhere(Fleet(("pods:8001",)), lambda _: meeting.wait()).demand()) == 3


def silent(*urls: str) -> Callable[[str], str]:
    def act(url: str) -> str:
        if url in urls:
            raise Unreachable(f"no Triton server answers at {url}")
        return "done"

    return act


def test_a_server_that_left_is_left_out(names: Names) -> None:
    names["pods"] = ["127.0.0.1", "127.0.0.2"]

    def act(url: str) -> str:
        if url == "127.0.0.2:9":
            names["pods"] = ["127.0.0.1"]
        return silent("127.0.0.2:9")(url)

    assert everywhere(Fleet(("pods:9",), wait_s=20), act).demand() == {"127.0.0.1:9": "done"}


def test_silence_is_borne_for_a_while_and_then_named(names: Names, capfd: pytest.CaptureFixture[str]) -> None:
    names["pods"] = ["127.0.0.1", "127.0.0.2"]
    found = everywhere(Fleet(("pods:9",), wait_s=0.3), silent("127.0.0.2:9"))
    assert found.results == {"127.0.0.1:9": "done"}
    assert "127.0.0.2:9 does not answer; waiting for it" in capfd.readouterr().err
    with pytest.raises(Unreachable, match=r"^no Triton server answers at 127.0.0.2:9$"):
        found.demand()


def test_a_server_that_goes_on_leaving_and_coming_back_is_given_up(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["pods"] = ["127.0.0.1"]
    monkeypatch.setattr(module, "is_live", lambda _: True)
    asked = []

    def act(url: str) -> str:
        asked.append(url)
        return silent(url)(url)

    assert everywhere(Fleet(("pods:9",), wait_s=20), act).failures.keys() == {"127.0.0.1:9"}
    assert len(asked) == module.ATTEMPTS


def test_what_fails_is_not_repeated_and_names_its_server(names: Names) -> None:
    names["pods"] = ["127.0.0.1", "127.0.0.2"]
    asked = []

    def act(url: str) -> None:
        asked.append(url)
        raise Refused("out of memory") if url == "127.0.0.1:9" else Unreachable(f"{url} is silent")

    with pytest.raises(ShoplensError, match=r"127.0.0.1:9: out of memory\n127.0.0.2:9 is silent") as error:
        everywhere(Fleet(("pods:9",)), act).demand()
    assert not isinstance(error.value, Unreachable), "a wrong server is not to be waited for"
    assert sorted(asked) == ["127.0.0.1:9", "127.0.0.2:9"]


def test_a_slot_says_its_version() -> None:
    assert version_in("v12_1a2b3c4d") == "version 12"
