"""The photo cache keeps what was written, loses nothing to a kill, and stays within its bound."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.data.segments import Segments, fill, make_room


def rows_for(keys: list[str]) -> np.ndarray:
    return np.array([[float(sum(key.encode())), len(key)] for key in keys], np.float32).reshape(-1, 2)


@settings(max_examples=20, deadline=None)
@given(keys=st.lists(st.text(max_size=5), min_size=1, max_size=30), at_once=st.integers(1, 7))
def test_every_key_gives_its_own_row_also_after_reopening(
    tmp_path_factory: "object", keys: list[str], at_once: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")  # type: ignore[attr-defined]
    calls: list[int] = []

    def produce(chosen: "object") -> np.ndarray:
        calls.extend(chosen)  # type: ignore[arg-type]
        return rows_for([keys[i] for i in chosen])  # type: ignore[attr-defined]

    done = sum(fill(Segments(folder), keys, produce, at_once))
    assert done == len(calls) == len(set(keys)), "each key is produced once"
    reopened = Segments(folder)
    assert np.array_equal(reopened.gather(reopened.places(keys)), rows_for(keys))
    assert reopened.gather(reopened.places([])).shape == (0, 2)
    assert sum(fill(reopened, keys, produce, at_once)) == 0


def test_an_interrupted_fill_goes_on_where_it_stopped(tmp_path: Path) -> None:
    keys = [f"k{i}" for i in range(10)]
    seen: list[str] = []

    def produce(chosen: object) -> np.ndarray:
        part = [keys[i] for i in chosen]  # type: ignore[attr-defined]
        if len(seen) >= 6:
            raise KeyboardInterrupt
        seen.extend(part)
        return rows_for(part)

    try:
        list(fill(Segments(tmp_path), keys, produce, 3))
    except KeyboardInterrupt:
        (tmp_path / ".000002.npy.tmp").write_bytes(b"half a segment")
    again = Segments(tmp_path)
    assert sum(fill(again, keys, lambda chosen: rows_for([keys[i] for i in chosen]), 3)) == 4
    assert np.array_equal(again.gather(again.places(keys)), rows_for(keys))


def test_room_is_made_by_the_folders_used_least_recently(tmp_path: Path) -> None:
    import os

    for age, name in enumerate(["new", "middle", "old"]):
        folder = tmp_path / name
        Segments(folder).append(["a"], np.zeros((1, 1000), np.uint8))
        os.utime(folder, (1000 - age, 1000 - age))
    make_room(tmp_path, tmp_path / "old", bound_bytes=2500)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["new", "old"]


def test_room_is_made_while_other_processes_rename_their_files(tmp_path: Path) -> None:
    """A file that is listed and gone when it is measured: here a link to nothing, there a temporary name."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / ".000000.npy.temporary").symlink_to(tmp_path / "renamed")
    make_room(tmp_path, tmp_path / "used", bound_bytes=0)
    assert (tmp_path / "used").is_dir()
