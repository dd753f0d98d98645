"""Files are whole or absent, whatever happens to the process that writes them."""

import json
import math
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.files import canonical_json, locked, read_json, replacing_folder, write_bytes, write_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_canonical_json_is_a_fixed_point(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": number})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_bytes(target, b"old")
    with pytest.raises(TypeError):
        write_bytes(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_broken_json_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{\n"x": }')
    with pytest.raises(ShoplensError, match=r"a\.json:2: not valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b'{"x": "\xff"}')
    with pytest.raises(ShoplensError, match=r"a\.json: not valid JSON \(not UTF-8\)"):
        read_json(tmp_path / "a.json")


def test_a_folder_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with replacing_folder(folder) as new:
        (new / "a").write_text("first")
        assert not folder.exists()
    with pytest.raises(RuntimeError), replacing_folder(folder) as new:
        (new / "a").write_text("second")
        raise RuntimeError
    assert (folder / "a").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def _fill_for_ever(folder: Path) -> None:
    with replacing_folder(folder) as new:
        (new / "half").write_text("half")
        time.sleep(60)


def test_a_killed_writer_leaves_the_old_folder_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with replacing_folder(folder) as new:
        (new / "a").write_text("whole")
    process = multiprocessing.get_context("spawn").Process(target=_fill_for_ever, args=(folder,))
    process.start()
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".out.tmp-*/half")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert [p.name for p in folder.iterdir()] == ["a"]
    with replacing_folder(folder) as new:
        (new / "b").write_text("next")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_held_lock_is_a_clear_error(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock", "the model"),
        pytest.raises(ShoplensError, match="another process is still writing the model"),
        locked(tmp_path / "lock", "the model", wait_s=0.1),
    ):
        pass


def test_waiting_for_a_lock_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shoplens.files.SILENT_S", 0.05)
    holder = threading.Thread(target=_hold, args=(tmp_path / "lock", held := threading.Event()))
    holder.start()
    held.wait()
    with locked(tmp_path / "lock", "the model", wait_s=20):
        pass
    holder.join()
    assert capsys.readouterr().err == "another process is writing the model; waiting for it, at most 20 s\n"


def _hold(path: Path, held: threading.Event) -> None:
    with locked(path, "the model"):
        held.set()
        time.sleep(0.5)
