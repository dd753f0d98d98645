"""The kinds of bad data: what to do to a valid folder, and the finding that must come of it."""

import io
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from contract.builder import SPEC, rows, write_rows, write_spec
from PIL import Image

LISTINGS, IMAGES, LOG, LABELS = "listings.parquet", "images.parquet", "search_log.parquet", "labels.parquet"


class Case(NamedTuple):
    """A kind of bad data: what to do to the folder and the finding that must come of it."""

    name: str
    check: str
    file: str
    row: int | None
    breaks: Callable[[Path], Any]


def put(file: str, row: int, **values: Any) -> Callable[[Path], None]:
    """Change cells of one row."""

    def breaks(data: Path) -> None:
        table = rows(data, file)
        table[row].update(values)
        write_rows(data, file, table)

    return breaks


def put_all(file: str, **values: Any) -> Callable[[Path], None]:
    """Change cells of every row."""

    def breaks(data: Path) -> None:
        write_rows(data, file, [{**row, **values} for row in rows(data, file)])

    return breaks


def arrow(file: str, column: str, values: Callable[[list[Any]], pa.Array]) -> Callable[[Path], None]:
    """Replace a column by an Arrow array made from its values."""

    def breaks(data: Path) -> None:
        table = pq.read_table(data / file)
        index = table.column_names.index(column)
        pq.write_table(table.set_column(index, column, values(table[column].to_pylist())), data / file)

    return breaks


def moments(microseconds: int) -> Callable[[Path], None]:
    """A log of one moment, beyond what Python's datetime can say."""
    return arrow(LOG, "shown_at", lambda times: pa.array([microseconds] * len(times), pa.timestamp("us", tz="UTC")))


def link_to_nothing(file: str) -> Callable[[Path], None]:
    """What is left of a table that was linked from a store when the store is cleared."""

    def breaks(data: Path) -> None:
        (data / file).unlink()
        (data / file).symlink_to(data / "gone.parquet")

    return breaks


def retype(file: str, column: str, convert: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Convert every value of a column, and with them its type."""
    return arrow(file, column, lambda values: pa.array([convert(value) for value in values]))


def drop(file: str, column: str) -> Callable[[Path], None]:
    return lambda data: pq.write_table(pq.read_table(data / file).drop_columns([column]), data / file)


def spec(**changes: Any) -> Callable[[Path], None]:
    return lambda data: write_spec(data, **changes)


def spec_text(old: str, new: bytes) -> Callable[[Path], None]:
    def breaks(data: Path) -> None:
        path = data / "dataset.yaml"
        path.write_bytes(path.read_bytes().replace(old.encode(), new))

    return breaks


def photo(row: int, content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the bytes of a photo that lies in a file of its own (the even rows)."""

    def breaks(data: Path) -> None:
        path = data / rows(data, IMAGES)[row]["path"]
        path.write_bytes(content(path.read_bytes()))

    return breaks


def gallery(size: int) -> Callable[[Path], None]:
    """Give listing 0 a gallery of `size` photos by repeating or dropping rows."""

    def breaks(data: Path) -> None:
        table = rows(data, IMAGES)
        first = table[0]
        others = [row for row in table if row["listing_id"] != first["listing_id"]]
        extra = [{**first, "image_id": f"extra-{number}"} for number in range(size)]
        write_rows(data, IMAGES, others + extra)

    return breaks


def invalid_utf8(values: list[str]) -> pa.Array:
    raw = [value.encode() for value in values]
    raw[3] = b"caf\xe9"
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(raw), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(raw))]
    )


def link_outside(data: Path) -> None:
    outside = data.parent / "outside.jpg"
    path = data / rows(data, IMAGES)[4]["path"]
    path.rename(outside)
    path.symlink_to(outside)


def same_bytes(first: int, second: int) -> Callable[[Path], None]:
    def breaks(data: Path) -> None:
        table = rows(data, IMAGES)
        (data / table[second]["path"]).write_bytes((data / table[first]["path"]).read_bytes())

    return breaks


def only_train(data: Path) -> None:
    table = [row for index, row in enumerate(rows(data, LISTINGS)) if index % 3 != 2]
    kept = {row["listing_id"] for row in table}
    write_rows(data, LISTINGS, table)
    write_rows(data, IMAGES, [row for row in rows(data, IMAGES) if row["listing_id"] in {None, *kept}])
    write_rows(data, LOG, [row for row in rows(data, LOG) if row["listing_id"] in kept])


def no_rows(role: str) -> Callable[[Path], None]:
    return lambda data: write_rows(data, LABELS, [row for row in rows(data, LABELS) if row["role"] != role])


def repeat_listing(data: Path) -> None:
    put(LISTINGS, 8, listing_id=rows(data, LISTINGS)[0]["listing_id"])(data)


def forget_prices(data: Path) -> None:
    table = rows(data, LISTINGS)
    write_rows(data, LISTINGS, table[:9] + [{**row, "price": None} for row in table[9:]])


def repeat_column(data: Path) -> None:
    table = pq.read_table(data / IMAGES)
    pq.write_table(table.append_column("domain", table["domain"]), data / IMAGES)


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("1", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def turned(content: bytes) -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(io.BytesIO(content)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def gzip_tar(data: Path) -> None:
    import gzip

    path = data / "images/000.tar"
    path.write_bytes(gzip.compress(path.read_bytes()))


SCENE = {"name": "scene", "kind": "multiclass"}
TWO_TASKS = {**SPEC["sources"][0], "tasks": ["product", "colour"]}
FUTURE = datetime.now(UTC) + timedelta(days=400)
TRAIN_TO_QUERY = {"image_id": "product-2"}  # product-2 has role query

CASES = [
    Case("no dataset.yaml", "spec-missing", "dataset.yaml", None, lambda d: (d / "dataset.yaml").unlink()),
    Case("unknown key", "spec-invalid", "dataset.yaml", None, spec(slice=["country"])),
    Case("not YAML", "spec-invalid", "dataset.yaml", None, spec_text("name: tiny", b"name: [")),
    Case("task is the hold-out", "spec-invalid", "dataset.yaml", None, spec(holdout=SCENE)),
    Case("task twice", "spec-invalid", "dataset.yaml", None, spec(tasks=[*SPEC["tasks"], SPEC["tasks"][0]])),
    Case("min over max", "spec-invalid", "dataset.yaml", None, spec(gallery={"min": 5, "max": 4})),
    Case("other contract", "spec-invalid", "dataset.yaml", None, spec(contract=2)),
    Case("yaml in Latin-1", "not-utf8", "dataset.yaml", None, spec_text("tiny", b"caf\xe9")),
    Case("listings missing", "table-missing", LISTINGS, None, lambda d: (d / LISTINGS).unlink()),
    Case("images missing", "table-missing", IMAGES, None, lambda d: (d / IMAGES).unlink()),
    Case("log is a link to nothing", "table-missing", LOG, None, link_to_nothing(LOG)),
    Case("labels are a link to nothing", "table-missing", LABELS, None, link_to_nothing(LABELS)),
    Case("not Parquet", "table-unreadable", LABELS, None, lambda d: (d / LABELS).write_bytes(b"label,image\n")),
    Case("truncated Parquet", "table-unreadable", LOG, None, lambda d: os.truncate(d / LOG, 500)),
    Case("empty table", "table-empty", LISTINGS, None, lambda d: write_rows(d, LISTINGS, [])),
    Case("empty optional table", "table-empty", LABELS, None, lambda d: write_rows(d, LABELS, [])),
    Case("task column missing", "column-missing", LISTINGS, None, drop(LISTINGS, "scene")),
    Case("slice column missing", "column-missing", LISTINGS, None, drop(LISTINGS, "country")),
    Case("path column missing", "column-missing", IMAGES, None, drop(IMAGES, "path")),
    Case("column twice", "column-repeated", IMAGES, None, repeat_column),
    Case("price as text", "column-type", LISTINGS, None, retype(LISTINGS, "price", str)),
    Case("pool as number", "column-type", LISTINGS, None, retype(LISTINGS, "has_pool", lambda x: 1 if x else 0)),
    Case("id as number", "column-type", LISTINGS, None, retype(LISTINGS, "listing_id", hash)),
    Case("width with fraction", "column-type", IMAGES, None, retype(IMAGES, "width", lambda x: x + 0.5)),
    Case("time as text", "column-type", LOG, None, retype(LOG, "shown_at", str)),
    Case("invalid UTF-8", "not-utf8", LISTINGS, 3, arrow(LISTINGS, "title", invalid_utf8)),
    Case("Latin-1 bytes", "not-utf8", LISTINGS, 0, retype(LISTINGS, "title", lambda _: b"caf\xe9")),
    Case("title as bytes", "column-type", LISTINGS, None, retype(LISTINGS, "title", str.encode)),
    Case("null id", "value-null", LISTINGS, 4, put(LISTINGS, 4, listing_id=None)),
    Case("null tag", "value-null", LISTINGS, 2, put(LISTINGS, 2, tags=["quiet", None])),
    Case("null position", "value-null", LOG, 9, put(LOG, 9, position=None)),
    Case("empty id", "value-empty", IMAGES, 6, put(IMAGES, 6, image_id="")),
    Case("empty class", "value-empty", LISTINGS, 1, put(LISTINGS, 1, scene="")),
    Case("listing twice", "id-duplicate", LISTINGS, 8, repeat_listing),
    Case("image twice", "id-duplicate", IMAGES, 5, put(IMAGES, 5, image_id="photo-0-0")),
    Case("all-null task", "column-all-null", LISTINGS, None, put_all(LISTINGS, price=None)),
    Case("empty title", "title-empty", LISTINGS, 7, put(LISTINGS, 7, title=" ")),
    Case("NaN target", "target-not-finite", LISTINGS, 3, put(LISTINGS, 3, price=float("nan"))),
    Case("infinite target", "target-not-finite", LISTINGS, 3, put(LISTINGS, 3, price=float("-inf"))),
    Case("unknown level", "level-unknown", LISTINGS, 5, put(LISTINGS, 5, stars="five")),
    Case("constant task", "target-constant", LISTINGS, None, put_all(LISTINGS, has_pool=True)),
    Case("few labels", "labels-few", LISTINGS, None, forget_prices),
    Case("unknown class in validation", "class-unseen", LISTINGS, 2, put(LISTINGS, 2, scene="igloo")),
    Case("unknown class in test", "class-unseen", LISTINGS, 5, put(LISTINGS, 5, scene="igloo")),
    Case("no held-out listing", "split-empty", LISTINGS, None, only_train),
    Case("gallery of 0", "gallery-empty", LISTINGS, 0, gallery(0)),
    Case("gallery below min", "gallery-small", LISTINGS, 0, gallery(1)),
    Case("gallery of 200", "gallery-large", LISTINGS, 0, gallery(200)),
    Case("dangling listing", "listing-unknown", IMAGES, 3, put(IMAGES, 3, listing_id="gone")),
    Case("dangling listing in the log", "listing-unknown", LOG, 3, put(LOG, 3, listing_id="gone")),
    Case("photo of nobody", "image-unused", IMAGES, 2, put(IMAGES, 2, listing_id=None)),
    Case("absolute path", "path-absolute", IMAGES, 2, put(IMAGES, 2, path="/etc/hostname")),
    Case("Windows path", "path-absolute", IMAGES, 2, put(IMAGES, 2, path="C:\\photos\\a.jpg")),
    Case("path outside", "path-outside", IMAGES, 2, put(IMAGES, 2, path="images/../../a.jpg")),
    Case("link outside", "path-outside", IMAGES, 4, link_outside),
    Case("path twice", "path-repeated", IMAGES, 2, lambda d: put(IMAGES, 2, path=rows(d, IMAGES)[0]["path"])(d)),
    Case("file missing", "photo-missing", IMAGES, 0, lambda d: (d / "images/photo-0-0.jpg").unlink()),
    Case("tar member missing", "photo-missing", IMAGES, 1, put(IMAGES, 1, path="images/000.tar::gone.jpg")),
    Case("tar missing", "tar-unreadable", IMAGES, 1, lambda d: (d / "images/000.tar").unlink()),
    Case("tar compressed", "tar-unreadable", IMAGES, 1, gzip_tar),
    Case("truncated JPEG", "photo-unreadable", IMAGES, 2, photo(2, lambda content: content[: len(content) // 2])),
    Case("not an image", "photo-unreadable", IMAGES, 2, photo(2, lambda _: b"<html>404</html>")),
    Case("empty file", "photo-unreadable", IMAGES, 2, photo(2, lambda _: b"")),
    Case("GIF", "photo-unreadable", IMAGES, 2, photo(2, lambda _: b"GIF89a\x01\x00\x01\x00\x00\x00\x00;")),
    Case("huge photo", "photo-huge", IMAGES, 2, photo(2, lambda _: png(10_000, 5_001))),
    Case("decompression bomb", "photo-huge", IMAGES, 2, photo(2, lambda _: png(20_000, 10_000))),
    Case("wrong width", "size-wrong", IMAGES, 3, put(IMAGES, 3, width=33)),
    Case("size before EXIF rotation", "size-wrong", IMAGES, 2, photo(2, turned)),
    Case("same bytes across splits", "photo-across-splits", IMAGES, 0, same_bytes(0, 6)),
    Case("future", "time-future", LOG, 4, put(LOG, 4, shown_at=FUTURE)),
    Case("the year 148108", "time-future", LOG, 0, moments(2**62)),
    Case("before the calendar", "time-ancient", LOG, 0, moments(-(2**62))),
    Case("1970", "time-ancient", LOG, 4, put(LOG, 4, shown_at=datetime(1970, 1, 20, tzinfo=UTC))),
    Case("two queries", "session-mixed", LOG, 4, put(LOG, 4, query="other")),
    Case("position 0", "position-low", LOG, 0, put(LOG, 0, position=0)),
    Case("position twice", "position-duplicate", LOG, 4, put(LOG, 4, position=4)),
    Case("position gap", "position-gap", LOG, 4, put(LOG, 4, position=9)),
    Case("no first position", "position-gap", LOG, 1, put(LOG, 0, position=6)),
    Case("negative dwell", "dwell-invalid", LOG, 0, put(LOG, 0, dwell_s=-1.0)),
    Case("NaN dwell", "dwell-invalid", LOG, 0, put(LOG, 0, dwell_s=float("nan"))),
    Case("pair of one", "fair-pair-size", LOG, 1, put(LOG, 2, fair_pair=None)),
    Case("pair of three", "fair-pair-size", LOG, 0, put(LOG, 0, fair_pair=1)),
    Case("labels missing", "sources-without-labels", LABELS, None, lambda d: (d / LABELS).unlink()),
    Case("unknown source", "source-unknown", LABELS, 5, put(LABELS, 5, source="lens")),
    Case("unknown task", "task-unknown", LABELS, 5, put(LABELS, 5, task="colour")),
    Case("unknown role", "role-unknown", LABELS, 6, put(LABELS, 6, role="gallery")),
    Case("train row without label", "label-null", LABELS, 0, put(LABELS, 0, label=None)),
    Case("dangling image", "image-unknown", LABELS, 0, put(LABELS, 0, image_id="gone")),
    Case("photo of train and query", "role-shared", LABELS, 0, put(LABELS, 0, **TRAIN_TO_QUERY)),
    Case("partial box", "box-partial", LABELS, 1, put(LABELS, 1, x1=None)),
    Case("box outside", "box-range", LABELS, 1, put(LABELS, 1, x1=1.2)),
    Case("NaN box", "box-range", LABELS, 1, put(LABELS, 1, y1=float("nan"))),
    Case("empty box", "box-range", LABELS, 1, put(LABELS, 1, x0=0.5, x1=0.5)),
    Case("box of 1 px", "box-small", LABELS, 1, put(LABELS, 1, x0=0.5, x1=0.53)),
    Case("query without match", "query-unmatched", LABELS, 2, put(LABELS, 2, label="chair")),
    Case("class of one photo", "class-single", LABELS, 0, put(LABELS, 0, label="chair")),
    Case("task without train rows", "source-incomplete", LABELS, None, spec(sources=[TWO_TASKS])),
    Case("source without queries", "source-incomplete", LABELS, None, no_rows("query")),
    Case("source without corpus rows", "source-incomplete", LABELS, None, no_rows("corpus")),
]  # fmt: skip

TOGETHER = [
    *(case for case in CASES if case.name in {
        "unknown key", "truncated JPEG", "file missing", "tar member missing", "empty title",
        "empty class", "null tag", "NaN target", "unknown level", "unknown class in validation", "future",
        "negative dwell", "two queries", "position 0", "partial box", "unknown role", "dangling image", "image twice",
        "photo of nobody", "dangling listing in the log", "listing twice",
    }),
    Case("not an image", "photo-unreadable", IMAGES, 8, photo(8, lambda _: b"<html>")),
    Case("wrong width", "size-wrong", IMAGES, 9, put(IMAGES, 9, width=33)),
    Case("absolute path", "path-absolute", IMAGES, 12, put(IMAGES, 12, path="/a.jpg")),
    Case("path outside", "path-outside", IMAGES, 10, put(IMAGES, 10, path="../a.jpg")),
    Case("empty box", "box-range", LABELS, 9, put(LABELS, 9, x0=0.5, x1=0.5)),
]  # fmt: skip
