"""What the probe finds beside a Triton that reads object storage. S3 is moto's server: a fake that speaks the API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.exceptions import RetriesExceededError
from stores.s3 import S3, s3

from manifests.s3 import slots
from shoplens.serving.store import S3Store

BUCKET, PREFIX = "read-by-triton", "serving"  # the fake keeps what other tests of the process have made
SLOT = "v7_1a2b3c4d"
FILES = {"description.json": b"{}", "examples/examples.json": b"[]", "examples/0.jpg": b"photo"}


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3() as found:
        found.create(BUCKET)
        yield found


@pytest.fixture
def store(server: S3) -> S3Store:
    """What deployments write with; empty."""
    server.delete(BUCKET, server.names(BUCKET))
    return S3Store(BUCKET, PREFIX, server.client())


def copied(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy(store: S3Store, folder: Path) -> dict[str, bytes]:
    slots.copy(store.client, BUCKET, PREFIX, folder)
    return copied(folder)


def test_what_a_deployment_publishes_lies_where_the_probe_looks(store: S3Store, tmp_path: Path) -> None:
    whole = {**FILES, "published.json": b"{}"}
    store.put(f"slots/{SLOT}", whole)
    store.put("repository/gallery", {"config.pbtxt": b""})  # which Triton reads by itself
    wanted = {f"slots/{SLOT}/{name}": content for name, content in whole.items()}
    assert copy(store, tmp_path) == wanted
    assert copy(store, tmp_path) == wanted


def test_a_folder_that_somebody_made_by_hand_is_no_file(store: S3Store, tmp_path: Path) -> None:
    """S3's console keeps a folder as an empty object."""
    for folder in ("", f"{SLOT}/", f"{SLOT}/examples/"):
        store.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/slots/{folder}")
    assert copy(store, tmp_path) == {}
    store.write(f"slots/{SLOT}/examples/0.jpg", b"photo")
    store.write(f"slots/{SLOT}/published.json", b"{}")
    assert len(copy(store, tmp_path)) == 2


def test_half_of_a_slot_is_not_there_and_one_that_is_gone_goes(store: S3Store, tmp_path: Path) -> None:
    store.put(f"slots/{SLOT}", FILES)
    assert copy(store, tmp_path) == {}
    assert (tmp_path / "slots").is_dir()  # the bucket answered: Triton may start
    store.put(f"slots/{SLOT}", {**FILES, "published.json": b"{}"})
    assert copy(store, tmp_path)
    store.remove(f"slots/{SLOT}")
    assert copy(store, tmp_path) == {}


def test_a_download_that_breaks_off_leaves_nothing_that_looks_whole(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(f"slots/{SLOT}", {**FILES, "published.json": b"{}"})
    real, seen = store.client.download_file, []

    def breaks(bucket: str, key: str, path: str) -> Any:
        seen.append(key)
        if len(seen) == 3:
            raise OSError("the connection is lost")
        return real(bucket, key, path)

    with monkeypatch.context() as patch:
        patch.setattr(store.client, "download_file", breaks)
        with pytest.raises(OSError, match="lost"):
            copy(store, tmp_path)
    assert not list((tmp_path / "slots").iterdir())
    assert len(copy(store, tmp_path)) == len(FILES) + 1


def test_a_download_that_was_tried_too_often_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[str] = []

    def copy(*_: object) -> None:
        tried.append("")
        raise RetriesExceededError("timed out") if len(tried) == 1 else SystemExit

    monkeypatch.setattr(slots, "copy", copy)
    monkeypatch.setattr(slots, "EVERY_S", 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # of this process
    monkeypatch.setattr(slots.boto3, "client", lambda _: None)
    with pytest.raises(SystemExit):
        slots.main(BUCKET, PREFIX, "unused")
    assert "slots: Max Retries Exceeded" in capsys.readouterr().out


def test_the_pod_s_command_copies_says_what_is_wrong_and_ends_when_told(
    server: S3, store: S3Store, tmp_path: Path
) -> None:
    store.put(f"slots/{SLOT}", {**FILES, "published.json": b"{}"})
    variables = os.environ | server.environment | {"AWS_ENDPOINT_URL": server.endpoint}
    script = Path(slots.__file__)
    good, bad = (
        subprocess.Popen(
            [sys.executable, str(script), bucket, PREFIX, str(tmp_path)], env=variables, stdout=subprocess.PIPE
        )
        for bucket in (BUCKET, "absent")
    )
    try:
        assert bad.stdout is not None and b"slots: " in bad.stdout.readline()
        for _ in range(600):
            if (tmp_path / "slots" / SLOT).is_dir():
                break
            time.sleep(0.05)
        good.send_signal(signal.SIGTERM)
        assert good.wait(timeout=30) == 0
    finally:
        for process in (good, bad):
            process.kill()
            process.wait()
    assert len(copied(tmp_path)) == len(FILES) + 1
