"""Tables come out in canonical types whatever encoding they were written in."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract.builder import SCHEMAS, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.contract.spec import read_spec
from shoplens.contract.tables import LABELS, load_table, read_images, read_labels, read_listings, read_search_log
from shoplens.errors import ShoplensError

TEXT_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
]


def test_canonical_types(tiny_data: Path) -> None:
    spec = read_spec(tiny_data)
    assert read_listings(tiny_data, spec).schema.equals(SCHEMAS["listings.parquet"])
    assert read_images(tiny_data).schema.equals(SCHEMAS["images.parquet"])
    assert read_search_log(tiny_data).schema.equals(SCHEMAS["search_log.parquet"])
    assert read_labels(tiny_data).schema.equals(SCHEMAS["labels.parquet"])


def test_optional_tables_may_be_missing(tiny_data: Path) -> None:
    for name in ("search_log", "labels"):
        (tiny_data / f"{name}.parquet").unlink()
    assert read_search_log(tiny_data) is None
    assert read_labels(tiny_data) is None


texts = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(values=texts, encoding=st.sampled_from(TEXT_TYPES), rows_in_group=st.integers(1, 5))
def test_every_text_encoding_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, values: list[str | None], encoding: pa.DataType, rows_in_group: int
) -> None:
    data = tmp_path_factory.mktemp("encoding")
    column = pa.array(values, pa.string()).cast(encoding)
    pq.write_table(pa.table({"label": column}), data / "labels.parquet", row_group_size=rows_in_group)
    table, findings = load_table(data, "labels.parquet", {"label": pa.string()})
    assert findings == []
    assert table["label"].type == pa.string()
    assert table["label"].to_pylist() == values


@pytest.mark.parametrize("inner", [*TEXT_TYPES, pa.null()], ids=str)
@pytest.mark.parametrize("outer", [pa.list_, pa.large_list, pa.list_view])
def test_every_list_encoding_reads_back_equal(tmp_path: Path, inner: pa.DataType, outer: type) -> None:
    values = [[], None, [None]] if inner == pa.null() else [["a", "é"], None, [], ["b"]]
    pq.write_table(pa.table({"tags": pa.array(values, outer(inner))}), tmp_path / "listings.parquet")
    table, findings = load_table(tmp_path, "listings.parquet", {"tags": pa.list_(pa.string())})
    assert findings == []
    assert table["tags"].type == pa.list_(pa.string())
    assert table["tags"].to_pylist() == values


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_of_any_unit_become_utc_microseconds_and_naive_means_utc(
    tiny_data: Path, unit: str, zone: str | None
) -> None:
    moment = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    count = pq.read_metadata(tiny_data / "search_log.parquet").num_rows
    table = pq.read_table(tiny_data / "search_log.parquet")
    given_times = pa.array([moment] * count, pa.timestamp("s", "UTC")).cast(pa.timestamp(unit, zone))
    pq.write_table(table.set_column(2, "shown_at", given_times), tiny_data / "search_log.parquet")
    times = read_search_log(tiny_data)["shown_at"]
    assert times.type == pa.timestamp("us", "UTC")
    assert times.to_pylist() == [moment] * count


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float32(), pa.null()], ids=str)
def test_numbers_that_fit_are_converted(tmp_path: Path, kind: pa.DataType) -> None:
    values = [None, None] if kind == pa.null() else [1, None]
    pq.write_table(pa.table({"price": pa.array(values, kind), "pair": pa.array(values, kind)}), tmp_path / "t.parquet")
    table, findings = load_table(tmp_path, "t.parquet", {"price": pa.float64(), "pair": pa.int64()})
    assert findings == []
    assert table.schema.types == [pa.float64(), pa.int64()]
    assert table["pair"].to_pylist() == values


def test_a_message_names_every_problem_of_a_table(tiny_data: Path) -> None:
    table = pq.read_table(tiny_data / "labels.parquet").drop_columns(["role"])
    broken = table.set_column(0, "source", pa.array(range(table.num_rows)))
    pq.write_table(broken, tiny_data / "labels.parquet")
    with pytest.raises(ShoplensError) as raised:
        read_labels(tiny_data)
    for part in ("labels.parquet", "column role", "column source", "int64", "remedy"):
        assert part in str(raised.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=r"images\.parquet is missing"):
        read_images(tmp_path)


def test_columns_keep_their_order_of_the_contract(tiny_data: Path) -> None:
    table = pq.read_table(tiny_data / "labels.parquet")
    pq.write_table(table.select(table.column_names[::-1]), tiny_data / "labels.parquet")
    assert read_labels(tiny_data).column_names == list(LABELS)


def test_an_empty_table_is_an_error(tiny_data: Path) -> None:
    write_rows(tiny_data, "images.parquet", [])
    with pytest.raises(ShoplensError, match="no rows"):
        read_images(tiny_data)
