"""A remedy that `shoplens data check` prints does what it says: whoever follows it meets no further error."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract.bad_data import CASES, IMAGES, LABELS, LISTINGS, LOG, TWO_TASKS, drop, put, put_all, spec
from contract.builder import SPEC, rows, write_rows

from shoplens.contract.checks import check_folder

Step = Callable[[Path], None]


def drop_listing(row: int) -> Step:
    """The row with every row that names it, in the search log whole sessions."""

    def mends(data: Path) -> None:
        table = rows(data, LISTINGS)
        gone = table.pop(row)["listing_id"]
        write_rows(data, LISTINGS, table)
        images = rows(data, IMAGES)
        photos = {image["image_id"] for image in images if image["listing_id"] in (gone, "gone")}
        write_rows(data, IMAGES, [image for image in images if image["image_id"] not in photos])
        write_rows(data, LABELS, [label for label in rows(data, LABELS) if label["image_id"] not in photos])
        drop_sessions(lambda shown: shown["listing_id"] == gone)(data)

    return mends


def drop_sessions(holds: Callable[[dict[str, object]], bool]) -> Step:
    def mends(data: Path) -> None:
        log = rows(data, LOG)
        sessions = {shown["session_id"] for shown in log if holds(shown)}
        write_rows(data, LOG, [shown for shown in log if shown["session_id"] not in sessions])

    return mends


def drop_photo(row: int) -> Step:
    def mends(data: Path) -> None:
        images = rows(data, IMAGES)
        gone = images.pop(row)["image_id"]
        write_rows(data, IMAGES, images)
        write_rows(data, LABELS, [label for label in rows(data, LABELS) if label["image_id"] != gone])

    return mends


def add(file: str, column: str, value: object, kind: pa.DataType) -> Step:
    def mends(data: Path) -> None:
        table = pq.read_table(data / file)
        pq.write_table(table.append_column(column, pa.array([value] * table.num_rows, kind)), data / file)

    return mends


def drop_source(data: Path) -> None:
    spec(sources=[])(data)
    (data / LABELS).unlink()


def broken(name: str) -> Step:
    """What a case of bad data does to a folder."""
    return next(case.breaks for case in CASES if case.name == name)


STEPS: dict[str, tuple[Step, Step]] = {
    "a title column is empty strings": (drop(LISTINGS, "title"), add(LISTINGS, "title", "", pa.string())),
    "a tags column is empty lists": (drop(LISTINGS, "tags"), add(LISTINGS, "tags", [], pa.list_(pa.string()))),
    "a dwell time column is nulls": (drop(LOG, "dwell_s"), add(LOG, "dwell_s", None, pa.float64())),
    "a query column is empty strings": (drop(LOG, "query"), add(LOG, "query", "", pa.string())),
    "a task's column is nulls": (drop(LISTINGS, "price"), add(LISTINGS, "price", None, pa.float64())),
    "a title that is null is an empty string": (put(LISTINGS, 3, title=None), put(LISTINGS, 3, title="")),
    "titles that are all null are empty strings": (put_all(LISTINGS, title=None), put_all(LISTINGS, title="")),
    "tags that are null are an empty list": (put(LISTINGS, 3, tags=None), put(LISTINGS, 3, tags=[])),
    "a listing whose id is null is dropped": (broken("empty id"), drop_photo(6)),
    "a listing whose shop is null is dropped": (put(LISTINGS, 4, shop_id=None), drop_listing(4)),
    "a result without a position is dropped with its session":
        (broken("null position"), drop_sessions(lambda shown: shown["position"] is None)),
    "a listing with too few photos is dropped": (broken("gallery below min"), drop_listing(0)),
    "a result of an unknown listing is dropped with its session":
        (broken("dangling listing in the log"), drop_sessions(lambda shown: shown["listing_id"] == "gone")),
    "a photo of an unknown listing is dropped": (broken("dangling listing"), drop_photo(3)),
    "a photo that cannot be read is dropped with its labels": (broken("truncated JPEG"), drop_photo(2)),
    "an eval task without rows is dropped with its source": (broken("labels missing"), spec(sources=[])),
    "the only source is dropped with labels.parquet": (broken("empty optional table"), drop_source),
    "a task without train rows is dropped from its source":
        (spec(sources=[TWO_TASKS]), spec(sources=SPEC["sources"])),
}  # fmt: skip


@pytest.mark.parametrize(("breaks", "mends"), STEPS.values(), ids=STEPS)
def test_following_a_remedy_leaves_no_error(tiny_data: Path, breaks: Step, mends: Step) -> None:
    breaks(tiny_data)
    assert check_folder(tiny_data) != []
    mends(tiny_data)
    assert [(f.check, f.file, f.row, f.message) for f in check_folder(tiny_data) if f.level == "error"] == []
