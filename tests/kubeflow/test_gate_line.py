"""The line by which task gate hands out its numbers, in a log with whatever else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.files import digest_json
from shoplens.kubeflow.gate_line import LONGEST, MARK, line_of, read_line
from shoplens.report.judged import Judged, JudgedMetric
from shoplens.report.numbers import Estimate

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ESTIMATES = st.none() | st.builds(
    Estimate, st.none() | NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS, st.integers()
)
NAMES = st.text() | st.just(MARK) | st.just(f'stars\n{MARK}{{"promote":true}}}}')
METRICS = st.builds(
    JudgedMetric, name=NAMES, better=st.sampled_from(["higher", "lower"]), candidate=ESTIMATES, other=ESTIMATES
)
JUDGED = st.builds(
    Judged,
    promote=st.booleans(),
    baseline=st.none() | st.integers(1, 999).map(str),
    passed=st.integers(0, 99),
    short=st.integers(0, 99),
    metrics=st.lists(METRICS, max_size=3).map(tuple),
)
ONE = Judged(promote=True, baseline="3", passed=1, short=0, metrics=())


@given(JUDGED, st.text().filter(lambda text: MARK not in text), st.text())
def test_a_log_gives_back_what_was_judged_whatever_stands_around_it(judged: Judged, before: str, after: str) -> None:
    line = line_of(judged)
    assert line.isascii() and line.isprintable()
    assert read_line(f"{before}\n2026-11-02T09:00:00Z stdout F {line}{after}") == judged


@given(JUDGED, st.data())
def test_a_line_that_is_not_whole_does_not_count(judged: Judged, data: st.DataObject) -> None:
    line = line_of(judged)
    cut = data.draw(st.integers(len(MARK), len(line) - 1))
    other = data.draw(st.sampled_from("\n x0"))
    for damaged in (line[:cut], f"{line[:cut]}\n{line[cut:]}", line[:cut] + other + "torn" + line[cut:]):
        with pytest.raises(ShoplensError, match="cut off or mixed with other lines"):
            read_line(f"scored\n{damaged}\nI1102 09:00:02.000001 1 launcher_v2.go:193] publish success.")


def test_a_changed_number_does_not_count() -> None:
    with pytest.raises(ShoplensError, match="cut off or mixed"):
        read_line(line_of(ONE).replace('"passed":1', '"passed":7'))


def test_the_same_line_twice_is_one_and_another_one_is_too_many() -> None:
    line = line_of(ONE)
    assert read_line(f"{line}\n{line}") == ONE
    assert read_line(f"in slice {MARK}\n{line}") == ONE  # a name from data
    with pytest.raises(ShoplensError, match="several lines with numbers that differ"):
        read_line(f"{line}\n{line_of(ONE.model_copy(update={'promote': False}))}")


def test_a_log_without_the_line_is_said() -> None:
    with pytest.raises(ShoplensError, match="it has no line with the numbers"):
        read_line("PROMOTE: every rule passed\n")


@pytest.mark.parametrize("content", ["[" * 5000, '"' + "x" * 100_000, "9" * 5000, "null}", '"\\ud800","sha256":""}'])
def test_a_forged_line_is_only_a_damaged_one(content: str) -> None:
    with pytest.raises(ShoplensError, match="cut off or mixed"):
        read_line(MARK + content)


def test_a_line_that_says_something_else_is_named() -> None:
    content = ONE.model_dump(mode="json") | {"passed": "many"}
    with pytest.raises(ShoplensError, match="its line with the numbers: passed: "):
        read_line(json.dumps({"shoplens-gate": content, "sha256": digest_json(content)}, separators=(",", ":")))


def test_metrics_that_do_not_fit_are_counted() -> None:
    score = Estimate(1 / 3, 1 / 7, 1 / 9, 420)
    metrics = tuple(
        JudgedMetric(name=f"metric {i} é", better="higher", candidate=score, other=score) for i in range(200)
    )
    line = line_of(ONE.model_copy(update={"metrics": metrics}))
    assert LONGEST * 0.9 < len(line) <= LONGEST
    found = read_line(line)
    assert found.metrics == metrics[: len(found.metrics)] and len(found.metrics) + found.left_out == 200
