"""The serving environment: one lock, built once, redone after a kill, refused where it cannot run."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.serving import environment

TOP_LOCK = Path(__file__).parents[2] / "requirements.lock"


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9_.-]+)==([^ ]+) \\$", lock.read_text(), re.MULTILINE))


def test_training_and_serving_decode_with_the_same_pillow_and_run_the_same_onnxruntime() -> None:
    serving, training = pins(environment.LOCK), pins(TOP_LOCK)
    assert serving["pillow"] == training["pillow"]
    assert serving["onnxruntime"] == training["onnxruntime"]
    assert serving["numpy"].startswith("1.26."), "numpy 2 corrupts tensors in the server's python backend"


def test_the_lock_pins_everything_by_hash_and_names_no_address() -> None:
    text = environment.LOCK.read_text()
    assert "://" not in text
    assert not re.search(r"^[a-z0-9_.-]+(?!.*==)", text, re.MULTILINE)
    assert text.count("--hash=sha256:") > len(pins(environment.LOCK)) > 10


@pytest.mark.parametrize(
    ("system", "machine", "libc", "python", "message"),
    [
        ("Darwin", "arm64", ("", ""), (3, 11), "Linux x86-64 only, this is Darwin arm64"),
        ("Linux", "aarch64", ("glibc", "2.39"), (3, 11), "this is Linux aarch64"),
        ("Linux", "x86_64", ("glibc", "2.31"), (3, 11), "glibc 2.35 or newer, this is glibc 2.31"),
        ("Linux", "x86_64", ("", ""), (3, 11), "this is another C library"),
        ("Linux", "x86_64", ("glibc", "2.36"), (3, 14), "Python 3.11 or 3.12, this is 3.14"),
    ],
)
def test_an_unsupported_platform_is_named_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    libc: tuple[str, str],
    python: tuple[int, int],
    message: str,
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(sys, "version_info", (*python, 0))
    with pytest.raises(ShoplensError, match=message) as caught:
        environment.check_platform()
    assert "repository/gpu" in str(caught.value)


def test_a_failed_installation_shows_the_installers_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==1.26.4 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(environment, "LOCK", lock)
    monkeypatch.setenv("SHOPLENS_SERVING_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ShoplensError, match="serving environment could not be built") as caught:
        environment.serving_python()
    assert "hash" in str(caught.value).lower()
    assert not [path for path in (tmp_path / "cache" / "serving-env").iterdir() if path.is_dir()]


def start_build(cache: Path) -> subprocess.Popen[bytes]:
    code = "from shoplens.serving.environment import serving_python; print(serving_python())"
    variables = {**os.environ, "SHOPLENS_SERVING_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_killed_build_is_redone_once_by_two_that_start_together(tmp_path: Path) -> None:
    folder = tmp_path / "serving-env"
    killed = start_build(tmp_path)
    deadline = time.monotonic() + 60
    while not list(folder.glob(".*.tmp-*/bin")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not [path for path in folder.iterdir() if not path.name.startswith(".")]

    ends = [process.communicate(timeout=300) for process in (start_build(tmp_path), start_build(tmp_path))]
    python = Path(ends[0][0].decode().strip())
    assert ends[0][0] == ends[1][0]
    assert sum(b"building the serving environment" in err for _, err in ends) == 1
    assert [path for path in folder.iterdir() if path.is_dir()] == [python.parent.parent]
    version = subprocess.check_output([python, "-c", "import numpy; print(numpy.__version__)"], text=True)
    assert version.strip() == "1.26.4"


@pytest.mark.slow
def test_pip_builds_it_where_there_is_no_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_uv", lambda: None)
    monkeypatch.setenv("SHOPLENS_SERVING_CACHE", str(tmp_path))
    python = environment.serving_python()
    version = subprocess.check_output([python, "-c", "import numpy; print(numpy.__version__)"], text=True)
    assert version.strip() == "1.26.4"
