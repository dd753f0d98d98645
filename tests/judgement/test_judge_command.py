"""`shoplens judge make` and `shoplens judge score`, as people type them."""

import json
from pathlib import Path

import pytest
from judgement.judged_run import read_csv, unit, write_answers

from shoplens.cli import main


def typed(*words: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_questions_are_made_answered_and_scored(
    tmp_path: Path, run: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "judge"
    files = ("--artifacts", run[0], "--data", run[1], "--out", out)
    assert typed("judge", "make", *files, "--source", "shop", "--queries", 5, "--ask", "Same?") == 0
    said = capsys.readouterr().err
    assert "Wrote 5 queries as 40 questions (0 golden)" in said
    assert "No golden questions (--golden): workers' answers cannot be checked." in said
    rows = read_csv(out / "questions.csv")
    files_of = [
        write_answers(
            tmp_path / f"{worker}.csv", [(worker, row["question"], row["result"] == unit("c0")) for row in rows]
        )
        for worker in ("Ann", "Bo", "Cy")
    ]
    assert typed("judge", "score", "--out", out, "--answers", *files_of) == 0
    assert "Win    100.0%" in capsys.readouterr().out
    score = json.loads((out / "score.json").read_text())
    assert (score["ask"], score["overall"]["n"], len(score["answers"])) == ("Same?", 5, 3)


def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, run: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--artifacts", run[0], "--data", run[1], "--out", tmp_path / "judge")
    assert typed("judge", "make", *files, "--source", "shop") == 1
    assert "100 were asked for: ask for 6 or fewer with --queries" in capsys.readouterr().err
    assert typed("judge", "make", *files, "--source", "shop", "--queries", 1, "--golden", tmp_path / "no.csv") == 1
    assert "no.csv: No such file or directory; correct the path" in capsys.readouterr().err
    assert typed("judge", "make", *files, "--source", "shop", "--seed", "-1") == 2
    capsys.readouterr()
    assert typed("judge", "score", "--answers", tmp_path / "nope.csv", "--out", tmp_path) == 1
    assert "nope.csv is missing or no file: name the CSV files that workers saved" in capsys.readouterr().err
