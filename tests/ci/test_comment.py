"""The comment's text, and the command that writes it, with a FAKE of GitHub's API."""

from pathlib import Path

import pytest
from ci.fake_github import TOKEN, fake_github
from ci.repository import new_checkout
from ci.run_folder import judged, served, stage

from shoplens.ci.comment import MARKER, comment_text
from shoplens.ci.run import Run, read_run
from shoplens.cli import main
from shoplens.report.judged import Judged, JudgedMetric
from shoplens.report.numbers import Estimate

COMMIT = "abcdef1" + "0" * 33
TABLE = """
| metric | better | candidate | {label} | n |
|---|---|---|---|---|
| package/served\\_cosine | higher | 0.9999987 | – | 8 |
| stars/rps | lower | 0.0841 \\[0.0801, 0.0889\\] | {other} | 420 |
"""


def test_a_promoted_run(tmp_path: Path) -> None:
    run = read_run(served(tmp_path), tmp_path / "gate.yaml")
    text = comment_text(run, COMMIT, "https://log", "https://page")
    assert text == (
        f"{MARKER}\n### Retraining of abcdef1: Promoted\n\n"
        "Version 4 is served. 3 rules passed, compared with version 3.\n"
        + TABLE.format(label="version 3", other="0.0912 \\[0.0862, 0.0961\\]")
        + "\n[Report](https://page) · [Log](https://log)\n"
    )


def test_a_refused_run_without_a_baseline(tmp_path: Path) -> None:
    run = read_run(judged(tmp_path, False, None, ("stars: n = 4", "of *two*")), tmp_path / "gate.yaml")
    text = comment_text(run, COMMIT, None, None)
    assert text == (
        f"{MARKER}\n### Retraining of abcdef1: Refused\n\n"
        "Production is as it was. 1 of 3 rules did not pass, compared with no earlier version:\n\n"
        "- stars: n = 4\n- of \\*two\\*\n" + TABLE.format(label="ImageNet transfer", other="0.100 \\[0.090, 0.110\\]")
    )


def test_a_run_that_broke_off(tmp_path: Path) -> None:
    stage(tmp_path, "validate", {})
    text = comment_text(read_run(tmp_path, tmp_path / "gate.yaml"), COMMIT, "https://log", None)
    assert "### Retraining of abcdef1: Not finished" in text
    assert "\nIt ended before the gate: " in text
    assert text.endswith("[Log](https://log)\n")


def test_names_from_data_do_nothing_in_markdown() -> None:
    run = Run("refused", reasons=("slice <b>a|b</b>\nof @team `x` #1: fail",))
    (line,) = [line for line in comment_text(run, COMMIT, None, None).splitlines() if line.startswith("- ")]
    assert line == "- slice &lt;b>a\\|b&lt;/b> of @\N{ZERO WIDTH SPACE}team \\`x\\` \\#1: fail"


def test_long_lists_of_reasons_and_metrics_fit_into_a_comment() -> None:
    huge = JudgedMetric(name="&" * 10_000, better="lower", candidate=Estimate(1e300, 0, 2, 10**300), other=None)
    judged = Judged(promote=False, baseline="3", passed=0, short=200, metrics=(huge,) * 200, left_out=7)
    text = comment_text(Run("refused", reasons=("<" * 10_000,) * 200, judged=judged), COMMIT, None, None)
    assert len(text) < 65_536
    assert "- and 180 more" in text and "and 187 more metrics" in text


def test_the_command_comments_on_the_commit_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = new_checkout(tmp_path)
    served(checkout.root)
    monkeypatch.chdir(checkout.root)
    monkeypatch.setenv("GITHUB_REPOSITORY", "team/shop")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
    monkeypatch.setenv("GITHUB_RUN_ID", "77")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    words = ["ci", "comment", "--commit", "HEAD", "--report", "https://page"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert (ended.value.code, "GITHUB_TOKEN not set" in capsys.readouterr().err) == (1, True)
    with fake_github() as fake:
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
        assert capsys.readouterr().out == "https://github.example/comment/1\n"
        (body,) = fake.bodies(f"commits/{checkout.head}")
    assert body.startswith(f"{MARKER}\n### Retraining of {checkout.head[:7]}: Promoted")
    assert "[Report](https://page) · [Log](https://github.example/team/shop/actions/runs/77)" in body
