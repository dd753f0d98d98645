"""`python pipeline.py submit` and `follow`: the real client against a fake of Kubeflow's server."""

import json
import os
import shutil
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl

from shoplens.kubeflow import client, command, follow, submission
from shoplens.kubeflow.command import compiled
from shoplens.kubeflow.follow import pause_s
from shoplens.kubeflow.gate_line import line_of
from shoplens.kubeflow.server import TOKEN, TOKEN_PATH, connect
from shoplens.report.judged import Judged, JudgedMetric
from shoplens.report.numbers import Estimate
from tests.kubeflow.fake_kfp import Event, FakeKfp, fake_kfp

ROOT = Path(__file__).parents[2]
IMAGE = f"registry.example.com/shoplens@sha256:{'a' * 64}"
TRACEBACK = """I1102 09:00:01.000001 1 launcher_v2.go:142] starting
Traceback (most recent call last):
  File "<stdin>", line 3, in refuse
shoplens.errors.ShoplensError: the gate refused the candidate:
stars/rps: 0.31 is worse than 0.28
queries: 12 are too few
I1102 09:00:02.000001 1 launcher_v2.go:193] publish success.
F1102 09:00:02.000002 1 main.go:56] failed to execute component: exit status 1
"""

component = dsl.component(packages_to_install=[], install_kfp_package=False, base_image=IMAGE)


@component
def train(source: str, revision: str, params: str, gpus: int, share: float, careful: bool) -> bool:
    return bool(source and revision and params and gpus and share and careful)


@component
def gate() -> bool:
    return True


@component
def deploy() -> None:
    pass


@component
def refuse() -> None:
    pass


@component
def finish(status: dsl.PipelineTaskFinalStatus) -> None:
    pass


@dsl.pipeline(name="shoplens", description="A toy.")
def toy(
    source: str,
    revision: str,
    train_params: str = "{}",
    gpus: int = 0,
    share: float = 0.5,
    careful: bool = True,
) -> None:
    with dsl.ExitHandler(finish().set_display_name("Finish")):
        trained = train(
            source=source, revision=revision, params=train_params, gpus=gpus, share=share, careful=careful
        ).set_display_name("Train")
        with dsl.If(trained.output == True):  # noqa: E712
            deploy().set_display_name("Deploy")
        with dsl.Else():
            refuse().set_display_name("Refuse")


@dsl.pipeline(name="shoplens")
def other(source: str, revision: str) -> None:
    train(source=source, revision=revision, params="", gpus=0, share=0.0, careful=True)
    deploy()


@dsl.pipeline(name="shoplens")
def gated(source: str, revision: str) -> None:
    trained = train(source=source, revision=revision, params="", gpus=0, share=0.0, careful=True)
    decided = gate().after(trained).set_display_name("Gate").set_retry(1)
    with dsl.If(decided.output == True):  # noqa: E712
        deploy()
    with dsl.Else():
        refuse()


@dsl.pipeline(name="shoplens")
def stubborn(source: str, revision: str) -> None:
    train(source=source, revision=revision, params="", gpus=0, share=0.0, careful=True).set_display_name(
        "Train"
    ).set_retry(1)


@dataclass
class Done:
    """What a command answered with and printed."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """The command line against the fake, on a git repository with data."""

    fake: FakeKfp
    source: Path
    capsys: pytest.CaptureFixture[str]
    root: Path
    graph: Callable[..., Any] = lambda *_: toy

    def __call__(self, *words: object) -> Done:
        code = command.main(self.graph, self.root, [str(word) for word in words])
        return Done(code, *self.capsys.readouterr())

    def submit(self, *words: object, host: str | None = None, revision: str = "main", image: str = IMAGE) -> Done:
        source = ("--source", self.source, "--revision", revision)
        return self("submit", "--host", host or self.fake.url, *source, "--image", image, "--poll", 0.01, *words)

    def git(self, *words: str) -> str:
        return git(self.source, *words)


def git(folder: Path, *words: str) -> str:
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for role in ("AUTHOR", "COMMITTER"):
        who |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@example.com"}
    done = subprocess.run(["git", *words], cwd=folder, env=os.environ | who, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(repository: Path, digit: str) -> None:
    """Commit data whose hash is made of a digit."""
    pin = {"outs": [{"md5": digit * 32 + ".dir", "path": "data"}]}
    (repository / "data.dvc").write_text(yaml.safe_dump(pin))
    git(repository, "add", "data.dvc")
    git(repository, "commit", "-qm", f"data {digit}")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with data."""
    source = tmp_path_factory.mktemp("source")
    git(source, "init", "-q", "-b", "main", "--template=")
    commit(source, "1")
    return source


@pytest.fixture
def shell(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    for name in (TOKEN, TOKEN_PATH, "KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(submission, "WAITS_S", (0.01, 0.01))
    monkeypatch.setattr(submission, "SETTLE_S", 0.05)
    source = tmp_path / "source"
    shutil.copytree(repository, source)
    shutil.copy(ROOT / "gate.yaml", tmp_path)
    for name in ("params.yaml", "cluster.yaml"):
        (tmp_path / name).write_text("{}\n")
    with fake_kfp() as fake:
        yield Shell(fake, source, capsys, tmp_path)


def test_a_promoted_run_is_followed_to_its_end(shell: Shell, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    done = shell.submit("--wait", "--summary", summary, "--param", "gpus=2", "--service-account", "shoplens-pipeline")

    assert done.code == 0
    (run,) = shell.fake.runs
    head = shell.git("rev-parse", "HEAD")
    assert run.runtime_config["parameters"] == {"source": str(shell.source), "revision": head, "gpus": 2}
    assert run.display_name.startswith(f"shoplens {head[:12]} data {'1' * 12} run ")
    assert run.service_account == "shoplens-pipeline"
    assert run.display_name in done.out and f"{shell.fake.url}/#/runs/details/run-0" in done.out
    assert "promoted" in done.out.splitlines()[-1]
    # One line a change, by the graph's own titles: no drivers, no executors, nothing twice.
    assert done.err.splitlines()[-5:] == [
        "Train: running",
        "Train: succeeded after 7 s",
        "Deploy: succeeded after 7 s",
        "Finish: running",
        "Finish: succeeded after 7 s",
    ]
    told = json.loads(summary.read_text())
    assert (told["decision"], told["state"], told["run_id"]) == ("promoted", "SUCCEEDED", "run-0")
    assert told["url"].endswith("/runs/details/run-0") and told["reasons"] == told["failures"] == []


def test_the_whole_graph_is_submitted_as_it_is_compiled(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import pipeline

    shell.root, shell.graph = ROOT, pipeline.build
    done = shell.submit("--wait", "--param", 'train_params={"max_epochs": 1}')
    assert done.code == 0
    assert "Evaluate retrieval: succeeded" in done.err and "Refuse" not in done.err and "promoted" in done.out
    params = shell.fake.runs[0].runtime_config["parameters"]["train_params"]
    assert json.loads(params)["max_epochs"] == 1 and json.loads(params)["backbone"]


def test_a_refused_run_is_told_from_a_failed_one_with_its_reasons(shell: Shell, tmp_path: Path) -> None:
    shell.fake.endings, shell.fake.log = ["refused"], TRACEBACK
    summary = tmp_path / "summary.json"
    done = shell.submit("--wait", "--summary", summary)
    assert done.code == 1
    assert "refused\n  stars/rps: 0.31 is worse than 0.28\n  queries: 12 are too few\n" in done.out
    assert "launcher" not in done.out and "main.go" not in done.out
    told = json.loads(summary.read_text())
    assert told["decision"] == "refused"
    assert told["reasons"] == ["stars/rps: 0.31 is worse than 0.28", "queries: 12 are too few"]


def test_reasons_that_the_cluster_no_longer_has_are_looked_up_in_the_ui(shell: Shell) -> None:
    shell.fake.endings = ["refused"]
    done = shell.submit("--wait")
    assert done.code == 1
    assert "refused" in done.out
    assert f"the reasons are in the logs and artifacts of its tasks: {shell.fake.url}/#/runs/details/run-0" in done.out


def judged(promote: bool, name: str = "stars/rps") -> Judged:
    metric = JudgedMetric(name=name, better="lower", candidate=Estimate(0.1, 0.05, 0.15, 420), other=Estimate(0.2))
    return Judged(promote=promote, baseline="3", passed=2, short=0 if promote else 1, metrics=(metric,))


def log_of(line: str) -> str:
    """What a pod of task gate prints."""
    head = "I1102 09:00:01.000001 1 launcher_v2.go:142] starting\nPROMOTE: every rule passed\n  ok stars: better\n"
    return f"{head}{line}\nI1102 09:00:02.000001 1 launcher_v2.go:193] publish success.\n"


def told_of_gate(shell: Shell, *words: object) -> dict[str, Any]:
    """The summary of a run of the graph with a gate."""
    shell.graph = lambda *_: gated
    file = shell.root / "summary.json"
    done = shell.submit("--wait", "--summary", file, *words)
    found: dict[str, Any] = json.loads(file.read_text())
    assert done.code == (0 if found["decision"] == "promoted" else 1)
    return found


@pytest.mark.parametrize("promote", [True, False])
def test_the_gates_numbers_are_in_the_summary(shell: Shell, promote: bool) -> None:
    found = judged(promote, "<b>a|b</b>\n# c")
    shell.fake.endings = ["promoted" if promote else "refused"]
    shell.fake.logs = {"gate": log_of(line_of(found)), "refuse": TRACEBACK}
    told = told_of_gate(shell)
    assert told["decision"] == shell.fake.endings[0] and len(told["reasons"]) == (0 if promote else 2)
    assert (told["judged"], told["no_metrics"]) == (found.model_dump(mode="json"), "")


def test_a_yes_that_failed_later_has_its_numbers_too(shell: Shell) -> None:
    shell.fake.endings, shell.fake.logs = ["failed"], {"gate": log_of(line_of(judged(True))), "train": "no memory"}
    told = told_of_gate(shell)
    assert (told["decision"], told["judged"]["passed"], told["failures"][0]["message"]) == ("failed", 2, "no memory")


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (None, "the server gave none: the pod is gone, or logs may not be read here"),
        ("PROMOTE: every rule passed\n", "it has no line with the numbers, as if an earlier image had run"),
        (log_of(line_of(judged(True))[:90]), "its line with the numbers is cut off or mixed with other lines"),
        (log_of(line_of(judged(True)) + "\n" + line_of(judged(True, "x"))), "several lines with numbers that differ"),
        (log_of(line_of(judged(False))), "it has a no, and the run ended otherwise"),
    ],
)
def test_numbers_that_cannot_be_read_are_left_out_with_the_reason(shell: Shell, log: str | None, why: str) -> None:
    shell.fake.logs = {"gate": log}
    told = told_of_gate(shell)
    assert (told["decision"], told["judged"]) == ("promoted", None)
    assert told["no_metrics"].startswith("log of task Gate: ") and why in told["no_metrics"]


@pytest.mark.parametrize("answer", [403, 500, None, b'{"shoplens-gate":'])
def test_a_log_that_may_not_be_read_or_breaks_off_ends_nothing(shell: Shell, answer: Any) -> None:
    shell.fake.events = [Event("GET /apis/v1alpha1/.*log", answer, times=99)]
    told = told_of_gate(shell)
    assert (told["decision"], told["judged"]) == ("promoted", None)
    assert "the server gave none" in told["no_metrics"]


def test_a_run_that_never_came_to_its_gate_has_no_numbers_and_needs_none(shell: Shell) -> None:
    shell.fake.endings = ["failed"]
    file = shell.root / "summary.json"
    assert shell.submit("--wait", "--summary", file).code == 1
    told = json.loads(file.read_text())
    assert (told["judged"], told["no_metrics"]) == (None, "")
    shell.fake.endings = ["not started"]  # where the gate is among the tasks, without having begun
    told = told_of_gate(shell, "--again")
    assert (told["decision"], told["judged"], told["no_metrics"]) == ("failed", None, "")


def test_a_log_that_breaks_off_is_no_reason(shell: Shell) -> None:
    shell.fake.endings, shell.fake.log = ["failed"], "CUDA out of memory"
    shell.fake.events = [Event("GET /apis/v1alpha1/.*log", b"CUDA out of")]
    done = shell.submit("--wait")
    assert done.code == 1
    assert "failed\n  Train: no message\n" in done.out


@pytest.mark.parametrize("graph", [toy, stubborn])
def test_a_failed_task_is_named_with_what_it_said(shell: Shell, graph: Any) -> None:
    shell.graph = lambda *_: graph
    shell.fake.endings, shell.fake.log = ["failed"], "epoch 1\nCUDA out of memory\nError: exit status 1\n"
    done = shell.submit("--wait")
    assert done.code == 1
    assert "failed\n  Train: epoch 1\nCUDA out of memory\n" in done.out
    assert "refused" not in done.out
    assert "Train: failed after 7 s" in done.err


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("not started", "Train: it could not be started"),
        ("canceled", "the run ended as canceled, without a failed task"),
    ],
)
def test_runs_that_end_otherwise_are_no_success(shell: Shell, ending: str, message: str) -> None:
    shell.fake.endings = [ending]
    done = shell.submit("--wait")
    assert done.code == 1
    assert message in done.out


def test_without_waiting_the_command_that_follows_is_printed_and_works(shell: Shell) -> None:
    done = shell.submit()
    assert done.code == 0
    line = done.out.splitlines()[-1]
    assert line == f"follow it: python pipeline.py follow --host {shell.fake.url} --run run-0"
    done = shell(*line.split()[4:], "--poll", 0.01)
    assert done.code == 0
    assert "Deploy: succeeded" in done.err and "promoted" in done.out


def test_a_lost_connection_is_waited_out(shell: Shell) -> None:
    asked = "GET /apis/v2beta1/runs/run-0"
    shell.fake.events = [Event(asked, print, times=2), Event(asked, None, times=2), Event(asked, 503)]
    done = shell.submit("--wait")
    assert done.code == 0
    assert done.err.count("does not answer") == 1 and done.err.count("connected again") == 1
    assert done.err.count("Train: running") == 1
    assert shell.fake.count("POST /apis/v2beta1/runs$") == 1


def test_a_server_that_never_answers_is_given_up_soon(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "REACH_S", 0.05)
    summary = tmp_path / "summary.json"
    words = ("--run", "run-0", "--poll", 0.01, "--summary", summary)
    done = shell("follow", "--host", "http://127.0.0.1:9", *words)
    assert done.code == 3
    assert done.err.startswith("http://127.0.0.1:9 does not answer (Failed to establish a new connection: ")
    assert "http://127.0.0.1:9 has not answered once in 0.05 s: is --host right, and the server up?" in done.err
    assert "goes on" not in done.err and "follow it" not in done.err
    assert json.loads(summary.read_text())["decision"] == "open"

    # One that said anything, were it only that it is busy, is waited for.
    shell.submit()
    asked = "GET /apis/v2beta1/runs/run-0"
    shell.fake.events = [Event(asked, 503), Event(asked, lambda: None), Event(asked, None, times=3)]
    done = shell("follow", "--host", shell.fake.url, *words)
    assert done.code == 0 and "the run goes on, trying to reach it again" in done.err


def test_pauses_grow_up_to_a_minute_however_long_the_server_is_away() -> None:
    assert [pause_s(10, lost) for lost in range(4)] == [10, 20, 40, 60]
    assert pause_s(10, 100_000) == 60
    assert pause_s(300, 100_000) == 300


def test_following_ends_in_time_with_the_command_that_goes_on(shell: Shell, tmp_path: Path) -> None:
    shell.fake.events = [Event("GET /apis/v2beta1/runs/run-0", None, times=1000)]
    summary = tmp_path / "summary.json"
    done = shell.submit("--wait", "--timeout", 0.2, "--summary", summary)
    assert done.code == 3
    assert "not followed any longer after 0.2 s" in done.err
    assert f"follow it: python pipeline.py follow --host {shell.fake.url} --run run-0" in done.err
    assert json.loads(summary.read_text())["decision"] == "open"


def test_an_interruption_leaves_the_run_as_it_is(shell: Shell, tmp_path: Path) -> None:
    interrupt = Event("GET /apis/v2beta1/runs/run-0", lambda: os.kill(os.getpid(), signal.SIGINT))
    shell.fake.events = [interrupt]
    summary = tmp_path / "summary.json"
    done = shell.submit("--wait", "--summary", summary)
    assert done.code == 130
    assert json.loads(summary.read_text())["decision"] == "open"
    assert "The run goes on" in done.err and "--run run-0" in done.err and "Terminate" in done.err
    assert shell.fake.count("terminate") == 0


def test_a_token_that_was_renewed_in_its_file_is_read_again(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    shell.fake.token = "old"

    def expire() -> None:
        shell.fake.token = "new"

    def renew() -> None:
        file.write_text("new\n")

    asked = "GET /apis/v2beta1/runs/run-0"
    # The first request after the expiry is refused; the file is new when it is repeated.
    shell.fake.events = [Event(asked, print), Event(asked, lambda: (expire(), renew()))]
    done = shell.submit("--wait", "--token-file", file)
    assert done.code == 0
    assert shell.fake.count("") == shell.fake.count("apis")


def test_a_token_that_expires_for_good_ends_following_but_not_the_run(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    shell.fake.token = "old"
    asked = "GET /apis/v2beta1/runs/run-0"
    shell.fake.events = [Event(asked, print), Event(asked, lambda: setattr(shell.fake, "token", "new"))]
    done = shell.submit("--wait", "--token-file", file)
    assert done.code == 3
    assert f"the token of {file} is wrong or has expired" in done.err
    assert "--run run-0" in done.err and str(file) in done.err


def test_without_the_right_token_nothing_starts(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.fake.token = "right"
    done = shell.submit()
    assert done.code == 2 and "give a token: --token-file or $KF_PIPELINES_TOKEN" in done.err

    monkeypatch.setenv("KF_PIPELINES_TOKEN", "wrong")
    done = shell.submit()
    assert done.code == 2 and "the token of $KF_PIPELINES_TOKEN is wrong or has expired" in done.err

    for content in ("", "two words"):
        (tmp_path / "token").write_text(content)
        assert shell.submit("--token-file", tmp_path / "token").code == 2
    done = shell.submit("--token-file", tmp_path / "nowhere")
    assert done.code == 2 and "nowhere: No such file" in done.err
    assert not shell.fake.runs and not shell.fake.pipelines

    monkeypatch.setenv("KF_PIPELINES_TOKEN", "right")
    assert shell.submit().code == 0


def test_a_sign_in_page_or_another_site_is_no_answer(shell: Shell) -> None:
    shell.fake.events = [Event("GET", "https://sign-in.example.com/")]
    done = shell.submit()
    assert done.code == 2 and "it sends on to another page, as to sign in: give a token" in done.err
    shell.fake.events = [Event("GET", "<!DOCTYPE html>Welcome")]
    done = shell.submit()
    assert done.code == 2 and "answered something else than JSON" in done.err
    assert shell.fake.count("POST") == 0


def test_the_summary_of_an_earlier_run_does_not_pass_for_one_that_was_not_started(shell: Shell, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    assert shell.submit("--wait", "--summary", summary).code == 0
    assert shell.submit("--again", "--summary", summary, revision="nowhere").code == 2
    assert not summary.exists()


def test_the_same_submission_is_one_run(shell: Shell) -> None:
    assert shell.submit().code == 0
    done = shell.submit("--wait")  # it is running
    assert done.code == 0 and "found shoplens" in done.out and "--again" in done.out
    done = shell.submit()  # it has succeeded
    assert done.code == 0 and "found shoplens" in done.out and "promoted" in done.out
    assert len(shell.fake.runs) == len(shell.fake.versions) == len(shell.fake.pipelines) == 1

    assert shell.submit("--param", "share=0.25").code == 0  # other arguments
    commit(shell.source, "2")
    assert shell.submit().code == 0  # other data
    assert len({run.display_name for run in shell.fake.runs}) == 3
    assert len(shell.fake.versions) == len(shell.fake.experiments) == 1
    for _ in range(2):
        assert shell.submit("--again", "--experiment", "50% + more").code == 0
    assert len(shell.fake.experiments) == 2
    shell.fake.runs = shell.fake.runs[:3]
    shell.graph = lambda *_: other
    assert shell.submit().code == 0  # another graph
    assert len(shell.fake.runs) == 4 and len(shell.fake.versions) == 2 and len(shell.fake.pipelines) == 1


def test_a_refusal_is_a_result_and_a_failure_is_none(shell: Shell) -> None:
    shell.fake.endings = ["refused", "failed", "promoted"]
    assert shell.submit("--wait").code == 1
    done = shell.submit("--wait")
    assert done.code == 1 and "refused" in done.out and len(shell.fake.runs) == 1

    commit(shell.source, "2")
    assert shell.submit("--wait").code == 1
    assert shell.submit("--wait").code == 0
    assert len(shell.fake.runs) == 3


def test_a_run_that_is_being_stopped_does_not_count(shell: Shell) -> None:
    shell.submit()
    client.terminate_run(connect(shell.fake.url, None, None), "run-0")
    done = shell.submit("--wait")
    assert done.code == 0 and "started" in done.out and len(shell.fake.runs) == 2


def test_again_starts_another_run_under_the_next_number(shell: Shell) -> None:
    shell.submit("--wait")
    assert shell.submit("--again", "--wait").code == 0
    first, second = (run.display_name for run in shell.fake.runs)
    assert second == f"{first} #2"
    assert shell.submit("--again").code == 0
    assert shell.fake.runs[2].display_name == f"{first} #3"
    assert "found" in shell.submit("--wait").out and len(shell.fake.runs) == 3


def test_of_two_submissions_at_once_one_goes_on(shell: Shell) -> None:
    together = threading.Barrier(2)
    shell.fake.events = [Event("POST /apis/v2beta1/runs$", together.wait, times=2)]
    server = connect(shell.fake.url, None, None)
    package = compiled(toy)
    made = submission.Submission(
        "shoplens", "", package, {}, submission.Source("repository", "a" * 40, "b" * 32), "shoplens", None
    )
    assert submission.find_pipeline(server, "shoplens") is None
    pipeline = client.create_pipeline(server, "shoplens", "")
    client.upload_version(server, pipeline, made.version, package)
    client.create_experiment(server, "shoplens")
    found: list[tuple[Any, bool]] = []
    one = threading.Thread(target=lambda: found.append(submission.submit(server, made)))
    two = threading.Thread(target=lambda: found.append(submission.submit(connect(shell.fake.url, None, None), made)))
    one.start(), two.start(), one.join(), two.join()

    assert {run.run_id for run, _ in found} == {"run-0"}
    assert sorted(started for _, started in found) == [False, True]
    assert [shell.fake.run(run.run_id, False).state for run in shell.fake.runs] == ["PENDING", "CANCELING"]


@pytest.mark.parametrize(
    ("request_", "do", "answered"),
    [
        ("pipelines$", None, True),
        ("upload_version", None, True),
        ("experiments$", 500, False),
        ("runs$", 500, False),
        ("runs$", None, False),
        ("runs$", None, True),
    ],
)
def test_a_failure_that_passes_makes_nothing_twice(shell: Shell, request_: str, do: int | None, answered: bool) -> None:
    shell.fake.events = [Event(f"POST /apis/v2beta1/.*{request_}", do, answered=answered)]
    done = shell.submit("--wait")
    assert done.code == 0
    assert "trying again" in done.err
    fake = shell.fake
    assert [len(made) for made in (fake.pipelines, fake.versions, fake.experiments, fake.runs)] == [1, 1, 1, 1]


def test_lists_are_read_to_their_last_page(shell: Shell) -> None:
    shell.fake.page = 1
    for _ in range(3):
        shell.submit("--again", "--wait")
    names = [run.display_name for run in shell.fake.runs]
    assert names[1:] == [f"{names[0]} #2", f"{names[0]} #3"]
    assert "found" in shell.submit().out and len(shell.fake.runs) == 3


def test_a_server_that_is_not_there_is_said(shell: Shell) -> None:
    done = shell.submit(host="http://127.0.0.1:9")
    assert done.code == 2
    assert "http://127.0.0.1:9 does not answer" in done.err and "Connection refused" in done.err
    assert "given up after 3 attempts: is --host right, and the server up?" in done.err
    done = shell.submit(host="localhost:8888")
    assert done.code == 2 and "is no address" in done.err
    done = shell("submit", "--source", shell.source, "--revision", "main", "--image", IMAGE)
    assert done.code == 2 and "no server: give --host, or set KF_PIPELINES_ENDPOINT" in done.err


def test_what_is_wrong_with_the_command_is_said_before_any_request(shell: Shell) -> None:
    for words, message in (
        (("--param", "gpu=1"), "--param gpu: unknown parameter; did you mean 'gpus'?"),
        (("--param", "gpus=two"), "--param gpus=two: must be a whole number"),
        (("--param", "share=much"), "--param share=much: must be a number"),
        (("--param", "careful=1"), "--param careful=1: must be true or false"),
        (("--param", "gpus"), "give name=value"),
        (("--param", "gpus=1", "--param", "gpus=2"), "given twice"),
        (("--param", "source=elsewhere"), "--param source: no --param sets it"),
        (("--param", "image=shoplens:latest"), "--param image: no --param sets it"),
        (("--param", "train_params={"), "not JSON"),
        (("--param", 'train_params={"max_epoch": 2}'), "did you mean 'max_epochs'?"),
        (("--cluster", "nowhere.yaml"), "nowhere.yaml is missing"),
        (("--ca", "nowhere.pem"), "nowhere.pem is missing"),
    ):
        done = shell.submit(*words)
        assert done.code == 2 and message in done.err, done.err
    for image in ("registry.example.com/shoplens", "registry.example.com/shoplens:latest"):
        done = shell.submit(image=image)
        assert done.code == 2 and "is not named by its digest" in done.err
    done = shell.submit("--source", "https://robot:secret@git.example.com/shop")
    assert done.code == 2 and "source holds a name or a token" in done.err and "secret@" not in done.err
    done = shell.submit(revision="nowhere")
    assert done.code == 2 and f"{shell.source} has no 'nowhere', or it cannot be reached" in done.err
    shell.git("rm", "-q", "data.dvc")
    shell.git("commit", "-qm", "no data")
    done = shell.submit()
    assert done.code == 2 and "has no data.dvc" in done.err
    assert shell.fake.asked == []


def test_a_branch_a_tag_and_its_commit_are_the_same_source(shell: Shell) -> None:
    shell.git("tag", "v1")
    for revision in ("main", "v1", shell.git("rev-parse", "HEAD")):
        assert shell.submit("--wait", revision=revision).code == 0
    assert len(shell.fake.runs) == 1


def test_a_server_for_several_users_needs_a_namespace_that_exists(shell: Shell) -> None:
    shell.fake.namespaces = frozenset({"shop"})
    done = shell.submit()
    assert done.code == 2 and "a server for several users needs --namespace" in done.err
    done = shell.submit("--namespace", "ship")
    assert done.code == 2
    assert "the account may not do this, or there is no such namespace (now: namespace 'ship')" in done.err
    done = shell.submit("--namespace", "shop", "--wait")
    assert done.code == 0
    assert shell.fake.experiments[0].namespace == shell.fake.pipelines[0].namespace == "shop"


def test_a_run_that_is_not_there_is_not_followed(shell: Shell) -> None:
    done = shell("follow", "--host", shell.fake.url, "--run", "run-9")
    assert done.code == 3 and "404" in done.err
    shell.submit()
    shell.fake.events = [Event("GET /apis/v2beta1/pipelines/.*/versions/", 404)]
    done = shell("follow", "--host", shell.fake.url, "--run", "run-0")
    assert done.code == 3 and "the graph of run run-0 was deleted: look at it in the UI" in done.err


def test_a_run_that_was_started_without_a_version_is_followed_by_its_own_graph(shell: Shell) -> None:
    shell.submit()
    run = shell.fake.runs[0]
    run.pipeline_version_reference, run.pipeline_spec = None, shell.fake.versions[0].pipeline_spec
    done = shell("follow", "--host", shell.fake.url, "--run", "run-0", "--poll", 0.01)
    assert done.code == 0 and "Deploy: succeeded" in done.err


def test_an_own_authority_is_trusted_when_it_is_named(shell: Shell, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificate())
    with fake_kfp(pem) as fake:
        done = shell.submit(host=fake.url)
        assert done.code == 2 and "name your own authority's certificates by --ca" in done.err
        assert shell.submit("--ca", pem, host=fake.url).code == 0


def certificate() -> bytes:
    """A certificate for 127.0.0.1 with its key, as PEM."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + made.public_bytes(serialization.Encoding.PEM)


def test_the_fake_is_one_that_kfp_itself_can_talk_to(shell: Shell) -> None:
    shell.submit("--wait")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from kfp import Client

        kfp = Client(host=shell.fake.url, namespace="shop")
    run = kfp.get_run("run-0")
    assert run.state == "SUCCEEDED" and run.run_details.task_details[0].start_time
    assert kfp.get_pipeline_id("shoplens") == "pipeline-0"
    assert kfp.get_experiment(experiment_name="shoplens").experiment_id == "experiment-0"
    assert [run.run_id for run in kfp.list_runs(page_size=1).runs] == ["run-0"]
