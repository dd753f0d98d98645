"""A run on a cluster, as `pipeline.py submit --summary` tells about it: on record, and in the comment."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ci.fake_github import TOKEN, fake_github
from ci.repository import Checkout, new_checkout
from ci.run_folder import judged as judged_folder
from ci.run_folder import served

from shoplens.ci.comment import MARKER, comment_text
from shoplens.ci.record import RECORD, read_record
from shoplens.ci.run import Run, read_run
from shoplens.ci.submitted import read_submitted
from shoplens.cli import main
from shoplens.errors import ShoplensError
from shoplens.files import write_json
from shoplens.kubeflow.outcome import Failure, Outcome
from shoplens.kubeflow.remote_run import Watch, write_summary
from shoplens.kubeflow.server import connect
from shoplens.report.judged import Judged, JudgedMetric
from shoplens.report.numbers import Estimate

COMMIT = "abcdef123456" + "0" * 28
PAGE = "https://kubeflow.example/#/runs/details/r1"
GONE = "log of task Gate: the server gave none"
NAME = "shoplens abcdef123456 data 0123456789ab run 9f8e7d6c5b4a"


def summary(folder: Path, **changes: Any) -> Path:
    about = {"run_id": "r1", "name": NAME, "state": "SUCCEEDED", "decision": "promoted", "failures": [], "reasons": []}
    write_json(folder / "run.json", {**about, "url": PAGE, "judged": None, "no_metrics": GONE, **changes})
    return folder / "run.json"


def submitted(folder: Path, decision: Any, judged: Judged | None, *failures: Failure) -> Run:
    """The run as `shoplens ci` reads it from the summary that `submit` writes."""
    server = connect("https://kubeflow.example", None, None)
    outcome = Outcome("r1", NAME, "FAILED", decision, failures, judged)
    write_summary(server, outcome, Watch(1.0, 1.0, "", folder / "run.json"))
    return read_submitted(folder / "run.json", COMMIT)


def test_a_promoted_run_has_the_table_of_a_run_on_this_machine(tmp_path: Path) -> None:
    here = read_run(served(tmp_path), tmp_path / "gate.yaml")
    run = submitted(tmp_path, "promoted", here.judged)
    text = comment_text(run, COMMIT, "https://log", None)
    assert text == comment_text(replace(here, version=None, page=PAGE), COMMIT, "https://log", None)
    assert "The candidate is served. 3 rules passed, compared with version 3. The report is on the run's page." in text
    assert "| stars/rps | lower | 0.0841 \\[0.0801, 0.0889\\] | 0.0912 \\[0.0862, 0.0961\\] | 420 |\n" in text


def test_a_refused_run_has_the_table_of_a_run_on_this_machine(tmp_path: Path) -> None:
    here = read_run(judged_folder(tmp_path, False, None, ("stars: n",)), tmp_path / "gate.yaml")
    run = submitted(tmp_path, "refused", here.judged, Failure("Refuse", "the gate refused the candidate:\nstars: n"))
    text = comment_text(run, COMMIT, None, None)
    assert text == comment_text(replace(here, page=PAGE), COMMIT, None, None)
    assert "1 of 3 rules did not pass, compared with no earlier version:\n\n- stars: n\n\n| metric |" in text
    run = submitted(tmp_path, "refused", here.judged, Failure("Refuse", ""))
    said = (
        "1 of 3 rules did not pass, compared with no earlier version; the reasons are on the run's page.\n\n| metric |"
    )
    assert said in comment_text(run, COMMIT, None, None)


def test_a_yes_that_failed_later_has_its_table(tmp_path: Path) -> None:
    here = read_run(judged_folder(tmp_path, True), tmp_path / "gate.yaml")
    run = submitted(tmp_path, "failed", here.judged, Failure("Deploy", "no server"))
    text = comment_text(run, COMMIT, None, None)
    assert "Task Deploy failed: no server." in text and "| stars/rps |" in text


def test_a_run_whose_metrics_are_not_known_says_why(tmp_path: Path) -> None:
    gone = f"No metrics here ({GONE}): they are on the run's page.\n\n[Run]({PAGE})"
    run = read_submitted(summary(tmp_path), COMMIT)
    assert comment_text(run, COMMIT, "https://log", None) == (
        f"{MARKER}\n### Retraining of abcdef1: Promoted\n\n"
        f"The candidate is served. The report is on the run's page.\n\n{gone} · [Log](https://log)\n"
    )
    head = f"{MARKER}\n### Retraining of abcdef1: Refused\n\nProduction is as it was."
    run = read_submitted(summary(tmp_path, state="FAILED", decision="refused", reasons=["stars: fail"]), COMMIT)
    assert comment_text(run, COMMIT, None, None) == f"{head} The gate said:\n\n- stars: fail\n\n{gone}\n"
    run = read_submitted(summary(tmp_path, state="FAILED", decision="refused"), COMMIT)
    assert comment_text(run, COMMIT, None, None) == f"{head} The reasons are on the run's page.\n\n{gone}\n"


def test_names_from_a_log_do_nothing_in_markdown(tmp_path: Path) -> None:
    name = "a | b\n\n# <img src=x onerror=alert(1)> [c](https://evil.example) ![d](e) @team `x` <!-- -->"
    metric = JudgedMetric(name=name, better="lower", candidate=Estimate(0.5, None, None, 3), other=None)
    judged = Judged(promote=True, baseline="<b>|3", passed=1, short=0, metrics=(metric,))
    text = comment_text(submitted(tmp_path, "promoted", judged), COMMIT, None, None)
    head, line, row = (line for line in text.splitlines() if line.startswith("|"))
    assert (head, line) == ("| metric | better | candidate | version &lt;b>\\|3 | n |", "|---|---|---|---|---|")
    assert row.startswith(
        "| a \\| b \\# &lt;img src=x onerror=alert(1)> \\[c\\](https://evil.example) !\\[d\\](e) @\N{ZERO WIDTH SPACE}"
    )
    assert row.endswith(" | lower | 0.5 | – | 3 |")


@pytest.mark.parametrize("judged", [{"promote": True}, [], {"promote": True, "metrics": [{"name": "a"}]}])
def test_a_summary_that_is_none_is_an_error(tmp_path: Path, judged: Any) -> None:
    with pytest.raises(ShoplensError, match=r"run.json: judged"):
        read_submitted(summary(tmp_path, judged=judged), COMMIT)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"decision": "failed", "failures": [{"task": "Train", "message": "out of memory"}]},
            "task Train failed: out of memory",
        ),
        ({"decision": "failed", "state": "CANCELED"}, "it ended as canceled"),
        ({"decision": "open", "name": "", "state": ""}, "it was not followed to its end and may go on"),
    ],
)
def test_a_run_without_a_decision_is_unfinished(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    run = read_submitted(summary(tmp_path, **changes), COMMIT)
    assert (run.outcome, run.why, run.page) == ("unfinished", why, PAGE)


def test_a_run_that_was_not_started_is_unfinished(tmp_path: Path) -> None:
    run = read_submitted(tmp_path / "run.json", COMMIT)
    assert (run.outcome, run.why) == ("unfinished", "it was not started")


def test_a_summary_about_another_commit_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=f"about the run '{NAME}', not about commit 111111111111"):
        read_submitted(summary(tmp_path), "1" * 40)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    found = new_checkout(tmp_path)
    monkeypatch.chdir(found.root)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    return found


@pytest.mark.parametrize("decision", ["promoted", "refused"])
def test_finish_puts_it_on_record_and_fails_when_it_was_refused(
    checkout: Checkout, tmp_path: Path, decision: str
) -> None:
    file = summary(tmp_path, name=NAME.replace(COMMIT[:12], checkout.head[:12]), decision=decision)
    with pytest.raises(SystemExit) as ended:
        main(["ci", "finish", "--summary", str(file)])
    assert ended.value.code == int(decision == "refused")
    record = read_record(checkout.root / RECORD)
    assert record is not None and (record.commit, record.decision) == (checkout.head, decision)
    assert (tmp_path / "output").read_text() == f"decision={decision}\n"


def test_comment_tells_about_it(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = summary(tmp_path, name=NAME.replace(COMMIT[:12], checkout.head[:12]))
    monkeypatch.setenv("GITHUB_REPOSITORY", "team/shop")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    with fake_github() as fake:
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        with pytest.raises(SystemExit) as ended:
            main(["ci", "comment", "--commit", "HEAD", "--summary", str(file)])
        assert (ended.value.code, capsys.readouterr().out) == (0, "https://github.example/comment/1\n")
        (body,) = fake.bodies(f"commits/{checkout.head}")
    assert body.startswith(f"{MARKER}\n### Retraining of {checkout.head[:7]}: Promoted") and f"[Run]({PAGE})" in body
