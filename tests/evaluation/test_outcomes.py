"""outcomes.parquet: what is written comes back, bad tables are refused by name, summaries are right."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import merge, outcome_rows, read_outcomes, summarise, write_outcomes


def rows(metric="stars/rps", model="candidate", units=("b", "a"), values=(0.2, 0.1), market=("north", None)):
    return outcome_rows(metric, model, list(units), np.array(values), {"market": list(market)})


def test_written_outcomes_come_back_sorted_by_unit(tmp_path):
    write_outcomes(tmp_path / "o.parquet", [rows(), rows(model="baseline", values=(0.4, 0.3))])
    outcomes = read_outcomes(tmp_path / "o.parquet")
    candidate, baseline = outcomes["stars/rps"]["candidate"], outcomes["stars/rps"]["baseline"]
    assert list(candidate.units) == ["a", "b"]
    assert list(candidate.values) == [0.1, 0.2]
    assert list(candidate.slices["market"]) == [None, "north"]
    assert list(baseline.values) == [0.3, 0.4]


@given(st.permutations(range(6)))
def test_row_order_does_not_change_the_bytes(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("bytes")
    units, values = [f"u{i}" for i in range(6)], np.arange(6) / 7
    write_outcomes(folder / "a", [outcome_rows("m", "candidate", units, values)])
    write_outcomes(folder / "b", [outcome_rows("m", "candidate", [units[i] for i in order], values[list(order)])])
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_nan_survives_so_that_the_gate_can_refuse_it(tmp_path):
    write_outcomes(tmp_path / "o", [rows(values=(float("nan"), 1.0))])
    assert np.isnan(read_outcomes(tmp_path / "o")["stars/rps"]["candidate"].values).sum() == 1


def test_a_unit_twice_is_an_error(tmp_path):
    with pytest.raises(ShoplensError, match=r"2 rows for metric 'stars/rps', model 'candidate', unit 'b'"):
        write_outcomes(tmp_path / "o", [rows(), rows(units=("b", "c"), market=("north", None))])


def test_a_unit_in_two_slices_is_an_error(tmp_path):
    with pytest.raises(ShoplensError, match="two values in slice column 'market'"):
        write_outcomes(tmp_path / "o", [rows(), rows(model="baseline", market=("south", None))])


def valid(**changes):
    columns = {"metric": ["m"], "model": ["candidate"], "unit": ["a"], "value": [1.0]} | changes
    return pa.table({name: column for name, column in columns.items() if column is not None})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (valid(value=None), "column 'value' is missing"),
        (valid(model=["winner"]), "unknown model 'winner'"),
        (valid(value=["good"]), "wrong type"),
        (valid(value=pa.array([None], pa.float64())), "row 0, column 'value' is null"),
        (valid(unit=pa.array([None], pa.string())), "row 0, column 'unit' is null"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, table, message):
    pq.write_table(table, tmp_path / "o.parquet")
    with pytest.raises(ShoplensError, match=message):
        read_outcomes(tmp_path / "o.parquet")


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(ShoplensError, match="missing"):
        read_outcomes(tmp_path / "o.parquet")
    (tmp_path / "o.parquet").write_text("hello")
    with pytest.raises(ShoplensError, match="not a Parquet file"):
        read_outcomes(tmp_path / "o.parquet")


def test_every_arrow_string_encoding_is_accepted(tmp_path):
    table = valid(unit=pa.array(["a"]).dictionary_encode(), metric=pa.array(["m"], pa.large_string()))
    pq.write_table(table, tmp_path / "o.parquet")
    assert list(read_outcomes(tmp_path / "o.parquet")["m"]["candidate"].units) == ["a"]


def test_an_empty_table_has_no_metrics(tmp_path):
    write_outcomes(tmp_path / "o", [rows(units=(), values=(), market=())])
    assert read_outcomes(tmp_path / "o") == {}


def test_two_stages_may_not_report_one_metric(tmp_path):
    write_outcomes(tmp_path / "o", [rows()])
    outcomes = read_outcomes(tmp_path / "o")
    assert set(merge([outcomes, {}])) == {"stars/rps"}
    with pytest.raises(ShoplensError, match="two stages"):
        merge([outcomes, outcomes])


def test_summary_holds_means_intervals_and_n(tmp_path):
    values = np.random.default_rng(0).random(100)
    units = [str(i) for i in range(100)]
    write_outcomes(
        tmp_path / "o",
        [outcome_rows("m", "candidate", units, values), outcome_rows("m", "baseline", units[:1], values[:1])],
    )
    summary = summarise(read_outcomes(tmp_path / "o"), {"m": "lower"}, "abc")
    block = summary["metrics"]["m"]
    assert (summary["split"], block["direction"], block["unit"]) == ("abc", "lower", "listing")
    assert block["candidate"]["value"] == pytest.approx(values.mean())
    assert block["candidate"]["low"] < values.mean() < block["candidate"]["high"]
    assert block["candidate"]["n"] == 100
    assert block["baseline"] == {"value": values[0], "low": None, "high": None, "n": 1}
    json.dumps(summary, allow_nan=False)


def test_summary_of_nan_is_null(tmp_path):
    write_outcomes(tmp_path / "o", [rows(values=(float("nan"), 1.0))])
    block = summarise(read_outcomes(tmp_path / "o"), {"stars/rps": "lower"}, "abc")["metrics"]["stars/rps"]
    assert block["candidate"] == {"value": None, "low": None, "high": None, "n": 2}


def test_a_metric_without_direction_is_a_mistake(tmp_path):
    write_outcomes(tmp_path / "o", [rows()])
    with pytest.raises(ValueError, match="no direction for stars/rps"):
        summarise(read_outcomes(tmp_path / "o"), {}, "abc")
