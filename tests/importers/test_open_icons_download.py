"""Downloads are whole, verified and cached, or they are nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from shoplens.errors import ShoplensError
from shoplens.importers import open_icons_download
from shoplens.importers.open_icons_download import fetch
from shoplens.importers.open_icons_packages import FLUENT, PACKAGES, Package

CONTENT = os.urandom(3 << 20)


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


def test_pins_name_versions_and_sha512() -> None:
    for package in PACKAGES:
        assert package.version[0].isdigit()
        assert len(bytes.fromhex(package.sha512)) == 64
    assert FLUENT.tarball == "@lobehub/fluent-emoji-3d/-/fluent-emoji-3d-1.1.0.tgz"


def test_a_package_is_downloaded_once_and_then_read_from_the_cache(registry: Any, tmp_path: Path) -> None:
    package = registry.publish(FLUENT, CONTENT)
    assert fetch(package, tmp_path).read_bytes() == CONTENT
    assert fetch(package, tmp_path).read_bytes() == CONTENT
    assert registry.asked == ["/" + FLUENT.tarball]


def test_the_registry_variable_is_read_in_upper_case_too(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("npm_config_registry")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.url)
    fetch(registry.publish(FLUENT, CONTENT), tmp_path)
    assert registry.asked


@pytest.mark.parametrize("address", ["file:///etc", "ftp://127.0.0.1", "registry.example"])
def test_an_address_that_is_no_web_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("npm_config_registry", address)
    with pytest.raises(ShoplensError, match=f"npm_config_registry is '{address}'"):
        fetch(FLUENT, tmp_path)


def test_other_content_than_the_pinned_one_is_refused_and_not_kept(registry: Any, tmp_path: Path) -> None:
    package = registry.publish(FLUENT, CONTENT)
    registry.publish(FLUENT, CONTENT[:-1] + b"!")
    with pytest.raises(ShoplensError, match=r"is not @lobehub/fluent-emoji-3d 1\.1\.0: its sha512 is"):
        fetch(package, tmp_path)
    assert left_in(tmp_path) == []


def test_a_short_body_is_tried_again_then_refused_and_not_kept(registry: Any, tmp_path: Path) -> None:
    package = registry.publish(FLUENT, CONTENT)

    def short(handler: Any, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])

    registry.answer = short
    with pytest.raises(ShoplensError, match="cannot download @lobehub/fluent-emoji-3d"):
        fetch(package, tmp_path, pause_s=0.01)
    assert len(registry.asked) == open_icons_download.ATTEMPTS
    assert left_in(tmp_path) == []


def test_a_server_error_is_tried_again(registry: Any, tmp_path: Path) -> None:
    package = registry.publish(FLUENT, CONTENT)

    def once_unwell(handler: Any, _: bytes) -> None:
        registry.answer = None
        handler.send_error(503)

    registry.answer = once_unwell
    assert fetch(package, tmp_path, pause_s=0.01).read_bytes() == CONTENT


def test_a_missing_package_is_not_asked_for_twice(registry: Any, tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="404"):
        fetch(FLUENT, tmp_path)
    assert len(registry.asked) == 1
    assert left_in(tmp_path) == []


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{port}")
    with pytest.raises(ShoplensError) as error:
        fetch(FLUENT, tmp_path, pause_s=0.01)
    assert "npm_config_registry" in str(error.value)
    assert str(tmp_path / FLUENT.file_name) in str(error.value)


def test_a_tarball_put_into_the_cache_by_hand_needs_no_network(registry: Any, tmp_path: Path) -> None:
    package = registry.publish(FLUENT, CONTENT)
    (tmp_path / package.file_name).write_bytes(CONTENT)
    fetch(package, tmp_path)
    assert registry.asked == []


def test_a_damaged_cached_tarball_is_replaced(registry: Any, tmp_path: Path) -> None:
    package = registry.publish(FLUENT, CONTENT)
    (tmp_path / package.file_name).write_bytes(CONTENT[:100])
    assert fetch(package, tmp_path).read_bytes() == CONTENT


KILLED = """
import sys
from pathlib import Path
from shoplens.importers.open_icons_download import fetch
from shoplens.importers.open_icons_packages import Package
fetch(Package(*sys.argv[2:]), Path(sys.argv[1]))
"""


def test_a_killed_download_leaves_nothing_that_the_next_one_takes(registry: Any, tmp_path: Path) -> None:
    package: Package = registry.publish(FLUENT, CONTENT)
    released = threading.Event()

    def stall(handler: Any, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: 2 << 20])
        released.wait(30)

    registry.answer = stall
    fields = [package.name, package.version, package.integrity, package.licence, package.source, package.attribution]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), *fields], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size >= 1 << 20 for path in tmp_path.glob(".*.part-*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    released.set()
    assert not (tmp_path / package.file_name).exists()
    registry.answer = None
    assert fetch(package, tmp_path).read_bytes() == CONTENT
    assert left_in(tmp_path) == [package.file_name]
