"""The log of requests: what was asked comes out again, within its bound, whatever is killed or runs at once."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.serving import request_log
from shoplens.serving.request_log import FILES, SUFFIX, RequestLog, log_of_environment, read_requests

DIM = 16
KIB = 1024


def embedding(number: int, dim: int = DIM) -> np.ndarray:
    """The embedding of request `number`."""
    return np.arange(dim, dtype=np.float32) + 1000 * number


def code(number: int) -> np.ndarray:
    return np.array([number % 256, number // 256], np.uint8)


def opened(folder: Path, bound: int = 1 << 20, weights: str = "w1", model: str = "gallery_v1_aa") -> RequestLog:
    return RequestLog(folder, weights, model, bound)


def write(folder: Path, numbers: range, kind: str = "gallery", bound: int = 1 << 20, weights: str = "w1") -> None:
    """Log requests as one process does, from its start to its end; none waits too long for the thread."""
    log = opened(folder, bound, weights)
    for number in numbers:
        while log._queue.full():
            pass
        log.add(kind, embedding(number), code(number))
    log.close()


def logged(folder: Path, kind: str = "gallery", weights: str = "w1") -> list[int]:
    """Numbers of the requests in the log, in its order."""
    found, _ = read_requests(folder, weights)
    return [] if kind not in found else (found[kind].embeddings[:, 0] / 1000).astype(int).tolist()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_was_asked_comes_out_again_by_kind(tmp_path: Path) -> None:
    write(tmp_path, range(3))
    write(tmp_path, range(3, 5), "search/lens")
    found, others = read_requests(tmp_path, "w1")
    assert list(found) == ["gallery", "search/lens"]
    np.testing.assert_array_equal(found["gallery"].embeddings, np.stack([embedding(n) for n in range(3)]))
    np.testing.assert_array_equal(found["search/lens"].codes, np.stack([code(n) for n in (3, 4)]))
    assert (np.diff(found["gallery"].times) >= 0).all()
    assert others == 0


def test_nothing_but_numbers_is_kept(tmp_path: Path) -> None:
    write(tmp_path, range(2))
    (path,) = files(tmp_path)
    header, _, rows = path.read_bytes().partition(b"\n")
    facts = {"code": 2, "dim": 16, "format": 1, "kind": "gallery", "model": "gallery_v1_aa", "weights": "w1"}
    assert json.loads(header) == facts
    assert len(rows) == 2 * (8 + 4 * DIM + 2 + 4)  # time, embedding, code, checksum
    assert path.stat().st_mode & 0o077 == 0


def test_requests_of_other_weights_are_counted_and_left_out(tmp_path: Path) -> None:
    write(tmp_path, range(3), weights="w0")
    write(tmp_path, range(3, 7))
    assert logged(tmp_path) == [3, 4, 5, 6]
    assert read_requests(tmp_path, "w1")[1] == 3


def test_the_same_photos_asked_again_are_one_request(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for _ in range(50):  # as a canary does
        log.add("gallery", embedding(1), code(1))
    log.add("search/lens", embedding(1), code(1))
    log.close()
    assert [len(path.read_bytes().partition(b"\n")[2]) for path in files(tmp_path)] == [78, 78]
    write(tmp_path, range(1, 3))  # another process does not remember, the reader does
    assert logged(tmp_path) == [1, 2]


@pytest.mark.parametrize("starts", [6, 18])
def test_the_folder_stays_within_its_bound_and_keeps_the_latest(tmp_path: Path, starts: int) -> None:
    bound = FILES * KIB
    for part in range(starts):
        write(tmp_path, range(100 * part, 100 * part + 100), bound=bound)
        assert size(tmp_path) <= bound
    kept = logged(tmp_path)
    assert kept[-1] == 100 * starts - 1
    assert len(kept) > 0.8 * min(100 * starts, bound / 78)
    assert kept == list(range(kept[0], kept[-1] + 1))


def test_a_process_goes_on_in_the_file_that_an_ended_one_left(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path, range(number, number + 1))
    assert len(files(tmp_path)) == 1
    assert logged(tmp_path) == list(range(20))


@given(cut=st.integers(1, 77), flipped=st.integers(0, 77))
@settings(max_examples=25, deadline=None)
def test_torn_and_damaged_rows_are_not_read_and_the_next_ones_are(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flipped: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    write(folder, range(4))
    (path,) = files(folder)
    content = bytearray(path.read_bytes())
    first = content.index(b"\n") + 1
    content[first + 78 + flipped] ^= 0xFF  # of row 1
    path.write_bytes(content[:-cut])  # into row 3
    assert logged(folder) == [0, 2]
    write(folder, range(4, 6))
    assert logged(folder) == [0, 2, 4, 5]
    path.write_bytes(path.read_bytes()[: first - 1])  # killed before the header was whole
    (folder / f"other{SUFFIX}").write_bytes(b"{]\n" + bytes(500))
    assert logged(folder) == []
    write(folder, range(2))
    assert logged(folder) == [0, 1]


def write_many(folder: Path, start: int) -> None:
    write(folder, range(start, start + 500))


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, 500 * n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert sorted(logged(tmp_path)) == list(range(1500))


def test_a_killed_process_loses_no_row_that_was_written(tmp_path: Path) -> None:
    code = (
        "import sys, time, numpy as np; from pathlib import Path; from shoplens.serving.request_log import RequestLog\n"
        f"log = RequestLog(Path({str(tmp_path)!r}), 'w1', 'gallery_v1_aa', 1 << 20)\n"
        "for n in range(1, 1_000_000):\n"
        "    log.add('gallery', np.arange(16, dtype=np.float32) + 1000 * n, np.zeros(2, np.uint8)); time.sleep(0.001)\n"
        "    if n == 50: print('on', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = logged(tmp_path)
    assert len(kept) >= 40
    assert kept == list(range(1, len(kept) + 1))
    write(tmp_path, range(2000, 2001))
    assert len(files(tmp_path)) == 1


def test_a_writer_whose_file_was_removed_begins_another(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log._write("gallery", 1.0, embedding(1), code(1))
    files(tmp_path)[0].unlink()
    log._write("gallery", 2.0, embedding(2), code(2))
    log.close()
    assert logged(tmp_path) == [2]


def test_a_full_disk_costs_rows_and_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = opened(tmp_path)
    log._write("gallery", 1.0, embedding(1), code(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for number in (2, 3):
            log.add("gallery", embedding(number), code(number))
        while not log._queue.empty():
            pass
        log._queue.put(None)
        assert log._thread is not None
        log._thread.join()
    assert capfd.readouterr().err.count("No space left on device") == 1  # said once
    log._write("gallery", 4.0, embedding(4), code(4))
    assert logged(tmp_path) == [1, 4]


def test_no_room_for_another_file_leaves_nothing_behind_and_touches_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = FILES * 2 * KIB
    log = opened(tmp_path, bound)
    log._write("gallery", 1.0, embedding(1), code(1))
    log._files["gallery"].append(bytes(2 * KIB))  # full: the next row wants another file
    before = len(list(Path("/proc/self/fd").iterdir()))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for number in (2, 3, 4):
            with pytest.raises(OSError, match="No space"):
                log._write("gallery", 2.0, embedding(number), code(number))
    assert len(files(tmp_path)) == 1, "files without a row take the place of those with rows"
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1, "only the full file was closed"
    # The number of the closed file is now another file's: that must not be written to.
    with (tmp_path / "another").open("wb+", buffering=0) as another:
        log._write("gallery", 5.0, embedding(5), code(5))
        assert another.read() == b""
        log.close()
    assert logged(tmp_path) == [1, 5]


def test_of_a_burst_rows_are_left_out_and_the_request_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "WAITING", 5)
    log = opened(tmp_path)
    monkeypatch.setattr(log, "_run", lambda: None)  # a thread that never gets its turn
    for number in range(100):
        log.add("gallery", embedding(number), code(number))
    assert log._queue.qsize() == 5


def test_the_environment_says_whether_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(request_log.FOLDER_VARIABLE, raising=False)
    assert log_of_environment("w1", "gallery_v1_aa") is None
    monkeypatch.setenv(request_log.FOLDER_VARIABLE, str(tmp_path / "deeper" / "log"))
    monkeypatch.setenv(request_log.BOUND_VARIABLE, "1")
    log = log_of_environment("w1", "gallery_v1_aa")
    assert log is not None
    for number in range(20):
        log.add("gallery", embedding(number), code(number))
    log.close()
    assert logged(tmp_path / "deeper" / "log") == list(range(20))
