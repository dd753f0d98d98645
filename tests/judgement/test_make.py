"""Questions for workers: the right pairs, each once, with nothing that tells whose result it is."""

import base64
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from judgement.judged_run import (
    BLUE,
    LEFT,
    RED,
    RIGHT,
    SETTINGS,
    corpus,
    make,
    read_csv,
    unit,
    write_evaluated,
    write_lines,
    write_photos,
)
from PIL import Image

from shoplens.errors import ShoplensError

Run = tuple[Path, Path]


def page_job(out: Path) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', (out / "judge.html").read_text())
    assert found is not None
    job: dict[str, Any] = json.loads(found[1])
    return job


def shown(job: dict[str, Any], photo: int) -> Image.Image:
    """A photo of the page."""
    head, content = job["photos"][photo].split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def near(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    """Whether all of the image has about this colour (JPEG changes it a little)."""
    return all(
        abs(low - c) < 12 and abs(high - c) < 12 for (low, high), c in zip(image.getextrema(), colour, strict=True)
    )


def test_five_results_of_each_model_are_asked_about_and_common_ones_once(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    key = pq.read_table(out / "key.parquet").to_pylist()
    asked = {row["query"] for row in key}
    assert len(asked) == 4
    for query in asked:
        ranks = {(row["model"], row["rank"]): row["result"] for row in key if row["query"] == query}
        assert ranks == {("candidate", at + 1): unit(f"c{at}") for at in range(5)} | {
            ("baseline", at + 1): unit(f"c{at + 3}") for at in range(5)
        }
    questions = read_csv(out / "questions.csv")
    assert Counter((row["query"], row["result"]) for row in questions) == {
        (query, unit(name)): 1 for query in asked for name in corpus(*range(8))
    }
    pair_of = {row["question"]: (row["query"], row["result"]) for row in questions}
    assert len(pair_of) == 4 * 8
    assert all(pair_of[row["question"]] == (row["query"], row["result"]) for row in key)


def test_the_kind_of_search_is_chosen(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run, replace(SETTINGS, kind="float", queries=1))
    key = pq.read_table(out / "key.parquet").to_pylist()
    assert {row["rank"]: row["result"] for row in key if row["model"] == "candidate"} == {
        rank: unit(name) for rank, name in enumerate(corpus(9, 4, 3, 2, 1), 1)
    }


def test_categories_stand_in_the_key(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run, replace(SETTINGS, queries=6))
    key = pq.read_table(out / "key.parquet").to_pylist()
    assert {row["query"]: row["category"] for row in key} == {
        unit("q0", LEFT): "chairs",
        unit("q0", RIGHT): "lamps",
        unit("q1"): "chairs",
        unit("q2"): None,
        unit("q3"): "chairs",
        unit("q4"): None,
    }


def test_what_workers_see_tells_no_model_and_no_photo_id(tmp_path: Path, run: Run) -> None:
    golden = write_lines(tmp_path / "golden.csv", "query,result,answer", f"{unit('q5')},{unit('c11')},yes")
    out = make(tmp_path, *run, golden=golden)
    page, questions = (out / "judge.html").read_text(), (out / "questions.csv").read_text()
    for word in ("candidate", "baseline", "golden", "rank"):
        assert word not in questions
        assert word not in page
    assert "shop/" not in page
    assert re.search(r"\bq[0-5]\b|\bc\d+\b", page) is None


def test_the_order_and_numbers_of_questions_do_not_depend_on_which_model_is_which(tmp_path: Path, run: Run) -> None:
    def numbered(settings: Any) -> list[tuple[str, str, str]]:
        rows = read_csv(make(tmp_path, *run, settings) / "questions.csv")
        return [(row["question"].rpartition("-")[2], row["query"], row["result"]) for row in rows]

    first = numbered(SETTINGS)
    assert numbered(replace(SETTINGS, one="baseline", other="candidate")) == first
    assert [number for number, *_ in first] == [f"{at:04d}" for at in range(1, 33)]
    assert first[0][1:] != min(row[1:] for row in first)
    assert numbered(replace(SETTINGS, queries=6, seed=2)) != numbered(replace(SETTINGS, queries=6, seed=3))


def test_the_page_holds_every_question_with_its_photos_and_crops(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run, replace(SETTINGS, queries=6))
    job = page_job(out)
    rows = {row["question"]: row for row in read_csv(out / "questions.csv")}
    assert [question for question, *_ in job["questions"]] == list(rows)
    assert len(job["photos"]) == 6 + 8
    for question, query, result in job["questions"]:
        seen = shown(job, query)
        if rows[question]["query"] == unit("q0", LEFT):
            assert seen.size == (20, 20)
            assert near(seen, RED)
        elif rows[question]["query"] == unit("q0", RIGHT):
            assert near(seen, BLUE)
        else:
            assert seen.size == (40, 20)
        shade = 20 * int(rows[question]["result"].removeprefix("shop/c"))
        assert near(shown(job, result), (shade, shade, shade))
    page = (out / "judge.html").read_text()
    assert page.count("Is it the same product?") == 2
    assert "http" not in page


def test_the_words_of_the_question_cannot_break_the_page(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run, replace(SETTINGS, ask="</script><b>A & B?"))
    assert "&lt;/script&gt;&lt;b&gt;A &amp; B?" in (out / "judge.html").read_text()
    assert len(page_job(out)["questions"]) == 32


def test_golden_questions_stand_among_the_others(tmp_path: Path, run: Run) -> None:
    golden = write_lines(
        tmp_path / "golden.csv",
        "query,result,answer,why",
        f"{unit('q5')},{unit('c11')},yes,twins",
        f'"{unit("q0", LEFT)}",{unit("c0")},no,',
        f'"{unit("q5", (0.25, 0, 0.5, 1))}",{unit("c10")},No,',
    )
    out = make(tmp_path, *run, replace(SETTINGS, queries=6), golden=golden)
    key = pq.read_table(out / "key.parquet").to_pylist()
    known = {(row["query"], row["result"]): (row["known"], row["model"]) for row in key if row["known"] is not None}
    assert known == {
        (unit("q5"), unit("c11")): (True, None),
        (unit("q0", LEFT), unit("c0")): (False, "candidate"),  # asked anyway: one question serves both
        (unit("q5", (0.25, 0, 0.5, 1)), unit("c10")): (False, None),
    }
    questions = read_csv(out / "questions.csv")
    assert len(questions) == 6 * 8 + 2
    assert set(questions[0]) == {"question", "query", "result"}
    assert len(page_job(out)["questions"]) == len(questions)


def test_the_same_questions_are_made_again_and_other_results_have_other_ids(tmp_path: Path, run: Run) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in make(tmp_path, *run).iterdir()}

    first = files()
    assert files() == first
    write_evaluated(run[0], run[1], [(f"q{at}", None, None) for at in range(6)], {
        "candidate": [corpus(0, 1, 2, 3, 4)] * 6,
        "baseline": [corpus(0, 1, 2, 3, 4)] * 6,
    })  # fmt: skip
    make(tmp_path, *run)
    ids = [row["question"] for row in read_csv(tmp_path / "judge" / "questions.csv")]
    assert ids[0][:8] not in first["questions.csv"].decode()


def test_traffic_chooses_the_queries(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    traffic = write_lines(tmp_path / "traffic.csv", "image_id,weight", "q0,3", "q3,0.5", "q1,0", "elsewhere,9")
    out = make(tmp_path, *run, replace(SETTINGS, queries=3), traffic=traffic)
    asked = {row["query"] for row in read_csv(out / "questions.csv")}
    assert asked == {unit("q0", LEFT), unit("q0", RIGHT), unit("q3")}
    said = capsys.readouterr().err
    assert f"6 queries, 3 of them with weight in {traffic}; 3 are drawn" in said
    assert "No traffic" not in said


def test_without_traffic_it_is_said_that_every_query_is_as_likely(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, *run)
    assert "No traffic given (--traffic): every query is as likely." in capsys.readouterr().err.splitlines()


def refused(tmp_path: Path, run: Run, **changed: Any) -> str:
    files = {name: changed.pop(name) for name in ("traffic", "golden") if name in changed}
    with pytest.raises(ShoplensError) as error:
        make(tmp_path, *run, replace(SETTINGS, **changed), **files)
    assert not (tmp_path / "judge").exists()
    return str(error.value)


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path, run: Run) -> None:
    assert refused(tmp_path, run, source="lens").endswith("has no source lens: choose one of shop")
    assert refused(tmp_path, run, other="reference").endswith(
        "has no binary results of reference for source shop; it has: baseline, candidate; name another one: "
        "--other baseline"
    )
    assert "--one and --other are both candidate" in refused(tmp_path, run, other="candidate")
    said = "source shop has 6 queries; 7 were asked for: ask for 6 or fewer with --queries"
    assert refused(tmp_path, run, queries=7) == said
    traffic = write_lines(tmp_path / "traffic.csv", "image_id,weight", "q3,1")
    said = f"source shop has 6 queries, 1 of them with weight in {traffic}; 4 were asked for: ask for 1 or fewer"
    assert said in refused(tmp_path, run, traffic=traffic)


def test_results_of_other_data_are_refused(tmp_path: Path, run: Run) -> None:
    (run[1] / "more.txt").write_text("changed")
    assert "was made from another data than" in refused(tmp_path, run)


def test_a_run_without_retrieval_is_refused(tmp_path: Path, run: Run) -> None:
    shutil.rmtree(run[0])
    assert "evaluate-retrieval/artifact.json is missing" in refused(tmp_path, run)
    from shoplens.artifacts import write_artifact

    with write_artifact(run[0] / "evaluate-retrieval", "evaluate-retrieval", {"data": run[1]}, {}):
        pass
    assert "retrieval was not evaluated: give the data a labels.parquet" in refused(tmp_path, run)


def test_unequal_numbers_of_results_are_refused(tmp_path: Path, run: Run) -> None:
    queries = [("q1", None, None)] * 1
    write_evaluated(*run, queries, {"candidate": [corpus(0, 1, 2)], "baseline": [corpus(0, 1)]})
    said = refused(tmp_path, run, queries=1)
    assert "has 3 results of candidate and 2 of baseline for query shop/q1" in said


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("lens/q5,shop/c1,yes", "row 3, column query: lens/q5 does not begin with shop/"),
        ("shop/q5,shop/c77,yes", "row 3, column result: the data has no photo c77; write shop/image_id, or"),
        ("shop/q5#0.5,0,0.5,1,shop/c1,yes", "row 3: 6 cells under 3 columns; put values that hold a comma"),
        ('"shop/q5#0.5,0,0.5,1",shop/c1,yes', "shop/q5#0.5,0,0.5,1 needs 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1"),
        ('"shop/q5#a,0,1,1",shop/c1,yes', "needs 0 <= x0 < x1 <= 1"),
        ("shop/q5,shop/c1,maybe", "row 3, column answer: 'maybe' is neither yes nor no"),
        ("shop/q5,shop/c1", "row 3, column answer: the cell is empty"),
        ("shop/q5,shop/c2,yes", "row 3, column result: this pair stands there twice"),
    ],
)
def test_golden_rows_that_are_wrong_are_named(tmp_path: Path, run: Run, row: str, said: str) -> None:
    golden = write_lines(tmp_path / "golden.csv", "query,result,answer", "shop/q5,shop/c2,no", row)
    assert said in refused(tmp_path, run, golden=golden)


def test_a_golden_box_without_a_pixel_is_refused(tmp_path: Path, run: Run) -> None:
    golden = write_lines(tmp_path / "golden.csv", "query,result,answer", '"shop/q5#0,0,0.001,1",shop/c2,no')
    assert "images/q5.png: the box (0, 0, 0.001, 1) has no pixel of 40x20, or leaves them: enlarge it" in refused(
        tmp_path, run, golden=golden
    )


def test_questions_replace_only_questions(tmp_path: Path, run: Run) -> None:
    out = make(tmp_path, *run)
    make(tmp_path, *run)
    (out / "answers.csv").write_text("precious")
    with pytest.raises(ShoplensError, match=r"holds answers\.csv, which would be lost: name another folder"):
        make(tmp_path, *run)
    assert (out / "answers.csv").read_text() == "precious"


def test_a_first_version_is_compared_with_another_model_than_a_baseline(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data")
    results = {"candidate": [corpus(0, 1, 2, 3, 4)], "reference": [corpus(3, 4, 5, 6, 7)]}
    run = write_evaluated(tmp_path / "artifacts", data, [("q1", None, None)], results), data
    said = refused(tmp_path, run, queries=1)
    assert "no binary results of baseline for source shop: a first version has none to be compared with; " in said
    assert said.endswith("it has: candidate, reference; name another one: --other reference")
    make(tmp_path, *run, replace(SETTINGS, queries=1, other="reference"))
