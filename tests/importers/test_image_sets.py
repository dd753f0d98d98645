"""`shoplens data sets`: an engagement log becomes rows of labels.parquet that the contract accepts."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoplens.cli import main
from shoplens.contract.tables import read_labels
from shoplens.errors import ShoplensError
from shoplens.importers.image_sets import Minimums, import_image_sets, without_shared
from shoplens.world.image_sets import Engagement, image_sets

Row = tuple[Any, ...]
COLUMNS = ("query_image_id", "image_id", "impressions", "interactions")
MINIMUMS = Minimums(10, 3, 4)


def write(path: Path, rows: list[Row], columns: tuple[str, ...] = COLUMNS) -> Path:
    pq.write_table(pa.table({name: [row[at] for row in rows] for at, name in enumerate(columns)}), path)
    return path


def groups(count: int, size: int = 8) -> list[Row]:
    """Sets that cannot be mistaken: image 0 of each group is the query, all others are saved beside it, some rarely."""
    rows: list[Row] = []
    for group in range(count):
        rows += [(f"photo-{group}-0", f"photo-{group}-{at}", 20, 10 - at) for at in range(1, size)]
        rows += [(f"photo-{group}-0", f"rare-{group}", 9, 9), (f"photo-{group}-0", f"unloved-{group}", 90, 2)]
    return rows


def held_out(label: str) -> bool:
    return int(sha256(label.encode()).hexdigest(), 16) % 10 == 0


def mine(tmp_path: Path, rows: list[Row], minimums: Minimums = MINIMUMS) -> list[dict[str, Any]]:
    import_image_sets(write(tmp_path / "e.parquet", rows), tmp_path / "labels.parquet", "pins", "set", minimums)
    labels = read_labels(tmp_path)
    assert labels is not None
    return labels.to_pylist()


def test_sets_are_the_mined_ones_with_the_query_image_as_their_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 60, (1500, 2))
    shown = rng.integers(1, 20, 1500)
    rows = [(f"p{a}", f"p{b}", int(s), int(rng.integers(0, s + 1))) for (a, b), s in zip(pairs, shown, strict=True)]
    found: dict[str, set[str]] = {}
    for row in mine(tmp_path, rows):
        assert (row["source"], row["task"], row["x0"], row["y1"]) == ("pins", "set", None, None)
        found.setdefault(row["label"], set()).add(row["image_id"])
    query, image, impressions, interactions = zip(*rows, strict=True)
    expected = image_sets(Engagement(*map(np.array, (query, image, impressions, interactions))), 10, 3, 4)
    assert len(expected) > 5
    assert found == {str(one.query): set(one.images.tolist()) for one in expected}


def test_a_set_is_held_out_by_the_hash_of_its_label_and_a_fifth_of_it_are_queries(tmp_path: Path) -> None:
    sets: dict[str, dict[str, list[str]]] = {}
    for row in mine(tmp_path, groups(80)):
        sets.setdefault(row["label"], {}).setdefault(row["role"], []).append(row["image_id"])
    assert len(sets) == 80
    for label, roles in sets.items():
        images = [image for of_role in roles.values() for image in of_role]
        assert sorted(images) == [label[:-1] + str(at) for at in range(8)]
        if held_out(label):
            assert {role: len(of_role) for role, of_role in roles.items()} == {"query": 2, "corpus": 6}
            by_hash = sorted(images, key=lambda image: sha256(image.encode()).digest())
            assert set(roles["query"]) == set(by_hash[:2])
        else:
            assert list(roles) == ["train"]
    assert 3 <= sum(map(held_out, sets)) <= 15


def test_a_set_keeps_its_role_when_the_log_grows_and_the_smallest_set_has_a_query(tmp_path: Path) -> None:
    few, many = (
        {(row["image_id"], row["role"]) for row in mine(tmp_path, groups(count, 2), Minimums(10, 3, 2))}
        for count in (40, 80)
    )
    assert few < many
    roles = [role for _, role in few]
    assert roles.count("query") == roles.count("corpus") > 0


def test_rows_of_other_sources_stay_but_not_the_training_on_held_out_photos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = next(f"photo-{group}" for group in range(40) if held_out(f"photo-{group}-0"))
    trained = next(f"photo-{group}" for group in range(40) if not held_out(f"photo-{group}-0"))
    others = [
        ("shop", "set", "a", f"{held}-1", "train"),
        ("shop", "set", "a", "elsewhere", "train"),
        ("shop", "set", "a", f"{trained}-1", "query"),
        ("shop", "set", "a", f"{held}-2", "corpus"),
        ("pins", "set", "old", "older", "train"),
    ]
    table = pa.table(dict(zip(("source", "task", "label", "image_id", "role"), zip(*others, strict=True), strict=True)))
    for name in ("x0", "y0", "x1", "y1"):
        table = table.append_column(name, pa.nulls(5, pa.float64()))
    pq.write_table(table, tmp_path / "labels.parquet")
    found = [(row["source"], row["image_id"], row["role"]) for row in mine(tmp_path, groups(40))]
    assert [row for row in found if row[0] == "shop"] == [
        ("shop", "elsewhere", "train"),
        ("shop", f"{trained}-1", "query"),
        ("shop", f"{held}-2", "corpus"),
    ]
    assert ("pins", "older", "train") not in found and ("pins", f"{trained}-1", "train") not in found
    assert ("pins", f"{trained}-2", "train") in found
    assert "2 train rows were left out" in capsys.readouterr().err


def test_photos_with_two_roles_leave_training_alone() -> None:
    labels = pa.table({"image_id": ["a", "a", "b", "c"], "role": ["train", "query", "train", "corpus"]})
    kept, dropped = without_shared(labels)
    assert dropped == 1
    assert kept.to_pylist() == labels.slice(1).to_pylist()


def test_running_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    mine(tmp_path, groups(20))
    once = (tmp_path / "labels.parquet").read_bytes()
    mine(tmp_path, groups(20))
    assert (tmp_path / "labels.parquet").read_bytes() == once


GOOD: Row = ("q", "a", 10, 5)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("q", "a", 10)], COLUMNS[:3], "column interactions: there is no column"),
        ([GOOD, ("q", None, 10, 5)], COLUMNS, "row 1, column image_id: null"),
        ([GOOD, ("", "a", 10, 5)], COLUMNS, "row 1, column query_image_id: an empty string"),
        ([("q", "a", 10.5, 5)], COLUMNS, "column impressions: the column is double"),
        ([GOOD, ("q", "b", 10, -1)], COLUMNS, "e.parquet: engagement log, row 1: -1 interactions in 10 impressions"),
        ([GOOD, ("q", "b", 10, 11)], COLUMNS, "e.parquet: engagement log, row 1: 11 interactions in 10 impressions"),
        ([GOOD], COLUMNS, "no set of 4 images with 10 impressions and 3 interactions each in 1 rows; lower a minimum"),
        ([], COLUMNS, "the table has no rows"),
    ],
)
def test_a_log_that_cannot_be_right_is_refused(
    tmp_path: Path, rows: list[Row], columns: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ShoplensError, match=message):
        import_image_sets(write(tmp_path / "e.parquet", rows, columns), tmp_path / "labels.parquet", "s", "t", MINIMUMS)
    assert not (tmp_path / "labels.parquet").exists()


def test_sets_of_one_image_and_a_missing_log_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="give at least 2"):
        import_image_sets(tmp_path / "e.parquet", tmp_path / "labels.parquet", "s", "t", Minimums(1, 1, 1))
    with pytest.raises(ShoplensError, match=r"e\.parquet is missing"):
        import_image_sets(tmp_path / "e.parquet", tmp_path / "labels.parquet", "s", "t", MINIMUMS)


def test_the_command_says_what_it_mined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "e.parquet", groups(30))
    words = ["data", "sets", "--engagement", str(log), "--source", "pins", "--task", "set", "--min-impressions", "10"]
    words += ["--min-interactions", "3", "--min-images", "5", "--out", str(tmp_path / "labels.parquet")]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    held = sum(held_out(f"photo-{group}-0") for group in range(30))
    assert held > 0
    expected = f"{30 - held} (photos: {8 * (30 - held)}); held out: {held} (queries: {2 * held}, corpus: {6 * held})"
    assert expected in capsys.readouterr().err
