"""A run on a cluster, as `pipeline.py submit --summary` tells about it: on record, and in the comment."""

from pathlib import Path
from typing import Any

import pytest
from ci.fake_github import TOKEN, fake_github
from ci.repository import Checkout, new_checkout

from shoplens.ci.comment import MARKER, comment_text
from shoplens.ci.record import RECORD, read_record
from shoplens.ci.submitted import read_submitted
from shoplens.cli import main
from shoplens.errors import ShoplensError
from shoplens.files import write_json
from shoplens.kubeflow.outcome import Failure, Outcome
from shoplens.kubeflow.remote_run import Watch, _write
from shoplens.kubeflow.server import connect

COMMIT = "abcdef123456" + "0" * 28
PAGE = "https://kubeflow.example/#/runs/details/r1"
NAME = "shoplens abcdef123456 data 0123456789ab run 9f8e7d6c5b4a"


def summary(folder: Path, **changes: Any) -> Path:
    about = {"run_id": "r1", "name": NAME, "state": "SUCCEEDED", "decision": "promoted", "failures": [], "reasons": []}
    write_json(folder / "run.json", {**about, "url": PAGE, **changes})
    return folder / "run.json"


def test_a_promoted_run(tmp_path: Path) -> None:
    run = read_submitted(summary(tmp_path), COMMIT)
    assert comment_text(run, COMMIT, "https://log", None) == (
        f"{MARKER}\n### Retraining of abcdef1: Promoted\n\n"
        "The candidate is served. Metrics and report are on the run's page.\n\n"
        f"[Run]({PAGE}) · [Log](https://log)\n"
    )


def test_a_refused_run(tmp_path: Path) -> None:
    run = read_submitted(summary(tmp_path, state="FAILED", decision="refused", reasons=["stars: fail"]), COMMIT)
    assert comment_text(run, COMMIT, None, None) == (
        f"{MARKER}\n### Retraining of abcdef1: Refused\n\nProduction is as it was. The gate said:\n\n- stars: fail\n\n"
        f"[Run]({PAGE})\n"
    )


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


def test_it_reads_what_submit_writes(tmp_path: Path) -> None:
    server = connect("https://kubeflow.example", None, None)
    outcome = Outcome(
        "r1", NAME, "FAILED", "refused", (Failure("Refuse", "the gate refused the candidate:\nstars: n"),)
    )
    _write(server, outcome, Watch(1.0, 1.0, "", tmp_path / "run.json"))
    run = read_submitted(tmp_path / "run.json", COMMIT)
    assert (run.outcome, run.reasons, run.page) == ("refused", ("stars: n",), PAGE)


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
