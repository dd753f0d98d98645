"""What answers come to: golden set, majority of five, consistency, P@5, wins and losses, by hand-made answers."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judgement.judged_run import (
    LEFT,
    RIGHT,
    SETTINGS,
    corpus,
    make,
    read_csv,
    unit,
    write_answers,
    write_evaluated,
    write_lines,
    write_photos,
)

from shoplens.errors import ShoplensError
from shoplens.judgement.answers import Answers, golden_counts, majority, passing, votes_of
from shoplens.judgement.comparison import compare, share_of
from shoplens.judgement.score import score_answers

Run = tuple[Path, Path]
WORKERS = ("Ann", "Bo", "Cy", "Di", "Ed")
ALL = replace(SETTINGS, queries=6)


def scored(out: Path, *files: Path) -> dict[str, Any]:
    """Score, and read what was written."""
    text = score_answers(out, files)
    found: dict[str, Any] = json.loads((out / "score.json").read_text())
    return {**found, "text": text}


def ids(out: Path) -> dict[str, tuple[str, str]]:
    """Question -> query and result."""
    return {row["question"]: (row["query"], row["result"]) for row in read_csv(out / "questions.csv")}


def answer_all(
    out: Path, truth: Callable[[str, str], bool], workers: Iterable[str] = WORKERS, job: str | None = None
) -> Path:
    """A file in which all workers answer all questions as `truth` (query, result) says."""
    rows = [(worker, question, truth(*pair)) for worker in workers for question, pair in ids(out).items()]
    return write_answers(out.parent / f"answers-{'-'.join(workers)}-{job}.csv", rows, job)


def relevant(*names: str) -> Callable[[str, str], bool]:
    """That the result is one of these corpus photos."""
    return lambda _, result: result in [unit(name) for name in names]


@pytest.mark.parametrize("given", [True, False])
def test_the_score_says_whether_traffic_chose_the_queries(tmp_path: Path, run: Run, given: bool) -> None:
    lines = ["image_id,weight", *(f"q{at},{at + 1}" for at in range(5))]
    traffic = write_lines(tmp_path / "traffic.csv", *lines) if given else None
    out = make(tmp_path, *run, traffic=traffic)
    found = scored(out, answer_all(out, relevant("c0")))
    assert found["by_traffic"] is given
    said = "no traffic was given, so every query was as likely to be asked about"
    assert (said in found["text"].splitlines()) is not given


def test_a_judgement_from_questions_to_table_6(tmp_path: Path, run: Run) -> None:
    """Candidate c0..c4, baseline c3..c7. Chairs (3 queries): c0, c1 and c3 are right; lamps: c5; others: c4."""
    out = make(tmp_path, *run, ALL)
    right = {unit("q0", LEFT): (0, 1, 3), unit("q1"): (0, 1, 3), unit("q3"): (0, 1, 3), unit("q0", RIGHT): (5,)}
    answers = answer_all(out, lambda query, result: result in [unit(name) for name in corpus(*right.get(query, (4,)))])
    found = scored(out, answers)
    overall = found["overall"]
    assert overall["n"] == 6
    assert overall["one"]["value"] == pytest.approx((3 * 0.6 + 0 + 2 * 0.2) / 6)
    assert overall["other"]["value"] == pytest.approx((3 * 0.2 + 0.2 + 2 * 0.2) / 6)
    assert overall["difference"]["value"] == pytest.approx((3 * 0.4 - 0.2) / 6)
    assert overall["delta"]["value"] == pytest.approx(100 * (2.2 / 1.2 - 1))
    assert [overall[name]["value"] for name in ("win", "lose", "draw")] == pytest.approx([3 / 6, 1 / 6, 2 / 6])
    for name in ("one", "other", "difference", "delta", "win", "lose", "draw"):
        assert overall[name]["low"] <= overall[name]["value"] <= overall[name]["high"], name
    assert list(found["categories"]) == ["chairs", "lamps"]
    chairs, lamps = found["categories"]["chairs"], found["categories"]["lamps"]
    assert (chairs["n"], lamps["n"]) == (3, 1)
    assert chairs["delta"]["value"] == pytest.approx(200)
    assert lamps["delta"] == {"value": -100.0, "low": None, "high": None}  # of one query there is no interval
    assert (lamps["lose"]["value"], lamps["lose"]["high"]) == (1.0, 1.0)
    assert lamps["lose"]["low"] == pytest.approx(0.2065, abs=1e-4)  # Wilson's, 1 of 1
    assert (found["one"], found["other"], found["source"], found["kind"]) == ("candidate", "baseline", "shop", "binary")
    assert found["questions"] == {"asked": 48, "unanswered": 0, "fewer_than_five": 0, "even_split": 0}
    rows = read_csv(out / "score.csv")
    assert [(row["category"], row["n"]) for row in rows] == [("", "6"), ("chairs", "3"), ("lamps", "1")]
    assert float(rows[0]["p@5_candidate"]) == overall["one"]["value"]
    assert float(rows[1]["delta_percent"]) == chairs["delta"]["value"]
    assert (rows[2]["delta_percent_low"], rows[2]["difference_high"]) == ("", "")
    text = found["text"]
    assert text.startswith("candidate against baseline, source shop, binary results, 6 queries")
    assert "Win    50.0% [" in text
    assert [line.split()[:5] for line in text.splitlines() if line.startswith(("overall", "chairs", "lamps"))] == [
        ["overall", "6", "20.0%", "36.7%", "+16.7"],
        ["chairs", "3", "20.0%", "60.0%", "+40.0"],
        ["lamps", "1", "20.0%", "0.0%", "-20.0"],
    ]
    assert "no golden questions were asked, so no worker was checked" in text


def test_table_6_is_reproduced_from_the_papers_shares() -> None:
    """Overall 37.3% and 64.2% are a delta of 72.1%; candles 60.0% and 40.0% are -33.3%."""
    ours, old = np.full(1000, 0.642), np.full(1000, 0.373)
    assert compare(ours, old).delta.value == pytest.approx(72.1, abs=0.05)
    assert compare(np.full(9, 0.4), np.full(9, 0.6)).delta.value == pytest.approx(-33.3, abs=0.05)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 6), (413, 1000), (7, 7)])
def test_intervals_of_shares_are_wilsons(hits: int, n: int) -> None:
    found, z, share = share_of(np.arange(n) < hits), 1.959964, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert (found.value, found.low, found.high) == pytest.approx((share, middle - reach, middle + reach), abs=1e-6)


def test_more_than_half_of_the_workers_make_a_result_relevant(tmp_path: Path, run: Run) -> None:
    """c0: 3 of 5, c1: 2 of 5, c2: 2 of 4 (no majority, so not relevant), c3: 1 of 1, c4: 0 of 5, rest: 0 of 5."""
    out = make(tmp_path, *run, ALL)
    given = {0: (3, 2), 1: (2, 3), 2: (2, 2), 3: (1, 0)}
    rows = []
    for question, (_, result) in ids(out).items():
        yes, no = given.get(int(result.removeprefix("shop/c")), (0, 5))
        rows += [(WORKERS[at], question, at < yes) for at in range(yes + no)]
    found = scored(out, write_answers(tmp_path / "a.csv", rows))
    assert found["overall"]["one"]["value"] == pytest.approx(0.4)  # c0 and c3
    assert found["overall"]["other"]["value"] == pytest.approx(0.2)  # c3
    assert found["questions"] == {"asked": 48, "unanswered": 0, "fewer_than_five": 12, "even_split": 6}
    said = "48 questions: 12 with fewer than 5 answers, 0 with none, 6 split evenly (counted as not relevant)"
    assert said in found["text"]


def test_a_query_with_an_unanswered_question_is_left_out_for_both_models(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run, ALL)
    unanswered = next(name for name, pair in ids(out).items() if pair == (unit("q1"), unit("c7")))
    file = answer_all(out, relevant("c0"))
    file.write_text("".join(line for line in file.open() if unanswered not in line))
    found = scored(out, file)
    assert found["queries"] == {"scored": 5, "unanswered": 1}
    assert found["overall"]["n"] == 5
    assert found["overall"]["one"]["value"] == pytest.approx(0.2)
    assert found["overall"]["other"]["value"] == 0
    assert found["overall"]["delta"] == {"value": None, "low": None, "high": None}
    assert "overall" in found["text"]
    assert "–" in found["text"]
    assert "no answer: 1 queries" in found["text"]


def golden_file(tmp_path: Path) -> Path:
    """Five golden questions: c8 to c10 suit q5, c11 and q4 do not."""
    rows = [f"shop/q5,shop/c{at},{'yes' if at < 11 else 'no'}" for at in range(8, 12)]
    return write_lines(tmp_path / "golden.csv", "query,result,answer", *rows, "shop/q5,shop/q4,no")


def test_workers_below_80_percent_on_the_golden_set_are_dropped_and_named(tmp_path: Path, run: Run) -> None:
    """Ann knows all five, Bo four (which is 80%), Cy three, and Di meets none. What Cy and Di say does not count."""
    out = make(tmp_path, *run, ALL, golden=golden_file(tmp_path))
    rows = []
    for question, (query, result) in ids(out).items():
        if query == unit("q5"):
            truth = result in [unit(name) for name in corpus(8, 9, 10)]
            rows.append(("Ann", question, truth))
            rows.append(("Bo", question, truth != (result == unit("c8"))))
            rows.append(("Cy", question, truth != (result in (unit("c8"), unit("c11")))))
        else:
            rows += [(worker, question, result == unit("c0")) for worker in ("Ann", "Bo")]
            rows += [(worker, question, result == unit("c7")) for worker in ("Cy", "Di", "Ed", "Flo")]
    found = scored(out, write_answers(tmp_path / "a.csv", [row for row in rows if row[0] not in ("Ed", "Flo")]))
    workers = {row["worker"]: row for row in found["workers"]}
    assert {name: (row["precision"], row["kept"], row["golden"]) for name, row in workers.items()} == {
        "Ann": (1.0, True, 5),
        "Bo": (0.8, True, 5),
        "Cy": (0.6, False, 5),
        "Di": (None, False, 0),
    }
    assert workers["Ann"]["answers"] == 53
    assert found["overall"]["one"]["value"] == pytest.approx(0.2)
    assert found["overall"]["other"]["value"] == 0
    assert found["golden_questions"] == 5
    assert found["questions"]["asked"] == 48  # golden questions that no model returned are not among them
    assert found["questions"]["fewer_than_five"] == 48
    assert "dropped: Cy (60.0% right; 80% of the golden questions are needed)" in found["text"]
    assert "dropped: Di (met no golden question" in found["text"]


def test_if_all_workers_fail_the_golden_set_nothing_is_scored(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run, golden=golden_file(tmp_path))
    file = answer_all(out, lambda *_: True, workers=("Ann", "Bo"))
    with pytest.raises(ShoplensError, match=r"no worker reaches 80% on the golden questions \(Ann 60\.0%, Bo 60\.0%\)"):
        score_answers(out, [file])
    assert not (out / "score.json").exists()


def test_consistency_is_the_share_of_repeated_questions_with_the_same_answer(tmp_path: Path, run: Run) -> None:
    """Ann answers all 48 questions in two jobs and changes 12 answers; Bo answers once; Cy thrice, all the same."""
    out = make(tmp_path, *run, ALL)
    first = answer_all(out, relevant("c0"), ("Ann", "Bo", "Cy"), "1")
    second = answer_all(out, relevant("c1"), ("Ann",), "2")
    more = [answer_all(out, relevant("c0"), ("Cy",), job) for job in ("2", "3")]
    found = scored(out, first, second, *more)
    workers = {row["worker"]: (row["repeated"], row["consistency"]) for row in found["workers"]}
    assert workers == {"Ann": (48, 0.75), "Bo": (0, None), "Cy": (48, 1.0)}
    assert found["consistency"]["n"] == 96
    assert found["consistency"]["value"] == pytest.approx((36 + 48) / 96)
    assert found["consistency"]["low"] < 0.875 < found["consistency"]["high"]
    assert "worker consistency 87.5% [" in found["text"]


def test_a_worker_has_one_vote_on_a_question_however_many_jobs(tmp_path: Path, run: Run) -> None:
    """Ann says yes to c0 in three jobs, Bo and Cy say no once: not relevant. Nobody's repetitions are more voters."""
    out = make(tmp_path, *run, ALL)
    yes = [answer_all(out, relevant("c0"), ("Ann",), job) for job in ("1", "2", "3")]
    found = scored(out, *yes, answer_all(out, relevant(), ("Bo", "Cy"), "1"))
    assert found["overall"]["one"]["value"] == 0
    assert found["questions"]["fewer_than_five"] == 48


def test_files_without_a_job_are_all_of_one_job(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    file = answer_all(out, relevant("c0"), ("Ann",))
    again = write_answers(tmp_path / "again.csv", [("Ann", next(iter(ids(out))), True)], "1")
    with pytest.raises(
        ShoplensError, match=r"again\.csv, row 2, column question: Ann answers .* twice in job 1 \(before"
    ):
        score_answers(out, [file, again])


def refused(out: Path, tmp_path: Path, *rows: str, header: str = "worker,question,answer") -> str:
    first = next(iter(ids(out)))
    file = write_lines(tmp_path / "a.csv", header, f"Ann,{first},yes", *rows)
    with pytest.raises(ShoplensError) as error:
        score_answers(out, [file])
    assert not (out / "score.json").exists()
    return str(error.value).removeprefix(f"{file}, ")


def test_wrong_answers_are_named_by_file_row_and_column(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    first = next(iter(ids(out)))
    number = first.partition("-")[0]
    said = refused(out, tmp_path, f"Bo,{first},perhaps")
    assert said == "row 3, column answer: 'perhaps' is neither yes nor no; correct it"
    said = refused(out, tmp_path, f"Bo,{number}-0999,yes")
    assert said == f"row 3, column question: there is no question {number}-0999; copy the id from questions.csv"
    assert refused(out, tmp_path, "Bo,what,yes").startswith("row 3, column question: there is no question what")
    said = refused(out, tmp_path, "", f"Ann,{first},no")
    assert said.startswith(
        f"row 4, column question: Ann answers {first} twice in job 1 (before: {tmp_path}/a.csv, row 2)"
    )
    assert refused(out, tmp_path, f",{first},no").startswith("row 3, column worker: the cell is empty")


def test_answers_of_another_run_are_refused(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    old = next(iter(ids(out)))
    make(tmp_path, *run, replace(SETTINGS, seed=2))
    said = refused(out, tmp_path, f"Bo,{old},yes")
    assert f"{old} belongs to other questions ({old[:8]}) than those of this folder" in said


def test_too_few_answers_are_refused(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    assert "none of 4 queries has an answer to all its questions" in refused(out, tmp_path)


def test_changed_or_missing_questions_are_refused(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    file = answer_all(out, relevant("c0"))
    (out / "questions.csv").write_text("changed")
    with pytest.raises(ShoplensError, match=r"questions\.csv is not what stage judge wrote"):
        score_answers(out, [file])
    with pytest.raises(ShoplensError, match="nowhere holds no questions: name the folder"):
        score_answers(tmp_path / "nowhere", [file])


def test_the_same_result_at_two_ranks_counts_twice(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data")
    results = {"candidate": [corpus(0, 0, 1, 2, 3)], "baseline": [corpus(0, 1, 2, 3, 4)]}
    artifacts = write_evaluated(tmp_path / "artifacts", data, [("q1", None, None)], results)
    out = make(tmp_path, artifacts, data, replace(SETTINGS, queries=1))
    assert len(ids(out)) == 5
    found = scored(out, answer_all(out, relevant("c0")))
    assert found["overall"]["one"]["value"] == pytest.approx(0.4)
    assert found["overall"]["other"]["value"] == pytest.approx(0.2)


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The same queries as questions on candidate against baseline, the reverse, and two models that are equal."""
    root = tmp_path_factory.mktemp("both")
    data = write_photos(root / "data")
    queries = [(f"q{at}", None, None) for at in range(6)]
    results = {"candidate": [corpus(0, 1, 2, 3, 4)] * 6, "baseline": [corpus(3, 4, 5, 6, 7)] * 6}
    results["reference"] = results["candidate"]
    artifacts = write_evaluated(root / "artifacts", data, queries, results)
    folders = []
    for one, other in (("candidate", "baseline"), ("baseline", "candidate"), ("candidate", "reference")):
        (root / one / other).mkdir(parents=True)
        folders.append(make(root / one / other, artifacts, data, replace(ALL, one=one, other=other)))
    return folders[0], folders[1], folders[2]


TRUTHS = st.frozensets(st.tuples(st.integers(0, 5), st.integers(0, 7)))


@given(TRUTHS)
@settings(max_examples=15, deadline=None)
def test_swapping_the_models_swaps_wins_and_losses(both_ways: tuple[Path, Path, Path], truth: frozenset[Any]) -> None:
    yes = {(unit(f"q{query}"), unit(f"c{result}")) for query, result in truth}
    first, second = (
        scored(out, answer_all(out, lambda *pair: pair in yes, WORKERS[:1]))["overall"] for out in both_ways[:2]
    )
    for name, swapped in (("win", "lose"), ("lose", "win"), ("draw", "draw"), ("one", "other"), ("other", "one")):
        assert first[name] == second[swapped]
    assert first["difference"]["value"] == pytest.approx(-second["difference"]["value"])


@given(TRUTHS)
@settings(max_examples=15, deadline=None)
def test_equal_models_draw_every_query(both_ways: tuple[Path, Path, Path], truth: frozenset[Any]) -> None:
    yes = {(unit(f"q{query}"), unit(f"c{result}")) for query, result in truth}
    found = scored(both_ways[2], answer_all(both_ways[2], lambda *pair: pair in yes, WORKERS[:1]))["overall"]
    assert found["draw"]["value"] == 1
    assert found["difference"] == {"value": 0, "low": 0, "high": 0}
    assert found["delta"]["value"] == (0 if found["one"]["value"] else None)


@st.composite
def answers_of(draw: st.DrawFn) -> Answers:
    """Up to 60 answers of 4 workers to 6 questions, some repeated in other jobs."""
    rows = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), min_size=1, max_size=60))
    worker, question, yes = (np.array(column) for column in zip(*rows, strict=True))
    return Answers(WORKERS[:4], worker, question, yes)


@given(answers_of(), st.randoms())
def test_the_majority_does_not_depend_on_the_order_of_answers(answers: Answers, random: Any) -> None:
    order = list(range(len(answers.yes)))
    random.shuffle(order)
    shuffled = Answers(answers.workers, answers.worker[order], answers.question[order], answers.yes[order])
    for first, second in zip(majority(votes_of(answers), 6), majority(votes_of(shuffled), 6), strict=True):
        assert first.tolist() == second.tolist()


@given(answers_of())
def test_majority_and_votes_equal_counting_by_hand(answers: Answers) -> None:
    rows = list(zip(answers.worker.tolist(), answers.question.tolist(), answers.yes.tolist(), strict=True))
    final, voters = majority(votes_of(answers), 6)
    for question in range(6):
        balance, workers = 0, 0
        for worker in range(4):
            said = [yes for who, what, yes in rows if (who, what) == (worker, question)]
            workers += bool(said)
            balance += int(math.copysign(1, 2 * sum(said) - len(said))) if 2 * sum(said) != len(said) else 0
        assert final[question] == (balance > 0) - (balance < 0)
        assert voters[question] == workers


def test_precision_is_counted_over_all_golden_answers_and_80_percent_passes() -> None:
    answers = Answers(("Ann", "Bo"), np.zeros(35, int), np.zeros(35, int), np.arange(35) < 28)
    right, given = golden_counts(answers, np.array([1]))
    assert (right.tolist(), given.tolist()) == ([28, 0], [35, 0])
    assert passing(right, given).tolist() == [True, False]
    for n in range(1, 2000):
        need = -(-4 * n // 5)
        assert passing(np.array([need, need - 1]), np.array([n, n])).tolist() == [True, False]
