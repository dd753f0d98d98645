"""dvc.lock as a commit that triggers nothing, on a main that moves, at a real origin."""

from pathlib import Path

import pytest
from ci.repository import Checkout, clone_of, new_checkout

from shoplens.ci.commit_lock import commit_lock
from shoplens.ci.record import RECORD, Record, write_record
from shoplens.ci.state import state_of
from shoplens.errors import ShoplensError


@pytest.fixture
def main(tmp_path: Path) -> Checkout:
    return new_checkout(tmp_path)


def after_run(main: Checkout, folder: Path, decision: str = "promoted", lock: str = "trained: 1\n") -> Checkout:
    """A job's clone in which a run has ended."""
    job = clone_of(main, folder)
    state = state_of(job.root, "HEAD")
    write_record(
        job.root / RECORD,
        Record.model_validate({"commit": job.head, "code": state.code, "data": state.data, "decision": decision}),
    )
    job.write(dvc_lock=lock)
    return job


def pulled(main: Checkout) -> Checkout:
    main.git("pull", "-q", "--rebase", "origin", "main")
    return main


@pytest.mark.parametrize("decision", ["promoted", "refused"])
def test_lock_and_record_become_one_commit_that_no_workflow_starts_on(
    main: Checkout, tmp_path: Path, decision: str
) -> None:
    trained = main.head
    job = after_run(main, tmp_path / "job", decision)
    commit = commit_lock(job.root, "main", 3)
    assert pulled(main).head == commit
    assert main.git("log", "-1", "--format=%s") == f"Retrained {trained[:7]}: {decision} [skip ci]"
    assert main.git("rev-parse", "HEAD~1") == trained
    assert main.git("diff", "--name-only", "HEAD~1").split() == ["dvc.lock", "retrained.json"]
    assert (main.root / "dvc.lock").read_text() == "trained: 1\n"
    assert job.head == trained


def test_a_second_call_finds_it_done(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    assert commit_lock(job.root, "main", 3)
    assert commit_lock(job.root, "main", 3) is None


def test_other_changes_are_refused(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    job.write(src__model_py="width = 7\n", new_txt="x\n", artifacts__ignored_json="{}")
    with pytest.raises(ShoplensError, match=r"other files have changed too \(new\.txt, src/model\.py\)"):
        commit_lock(job.root, "main", 3)


def test_the_commit_goes_on_top_of_a_main_that_moved(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    moved = main.commit(src__model_py="width = 2\n")
    main.git("push", "-q", "origin", "main")
    before = job.git("status", "--porcelain")
    commit = commit_lock(job.root, "main", 3)
    assert job.git("status", "--porcelain") == before
    assert pulled(main).head == commit
    assert main.git("rev-parse", "HEAD~1") == moved
    assert (main.root / "src" / "model.py").read_text() == "width = 2\n"


def test_what_a_force_push_dropped_stays_dropped(main: Checkout, tmp_path: Path) -> None:
    start = main.head
    main.commit(src__model_py="secret = 1\n")
    main.git("push", "-q", "origin", "main")
    job = after_run(main, tmp_path / "job")
    main.git("reset", "-q", "--hard", start)
    main.git("push", "-q", "--force", "origin", "main")
    commit = commit_lock(job.root, "main", 3)
    assert commit
    assert pulled(main).git("rev-list", "HEAD").split() == [commit, start]
    assert (main.root / "src" / "model.py").read_text() == "width = 1\n"


def hook(main: Checkout, name: str, script: str) -> None:
    """A script that the origin runs when it is pushed to."""
    path = main.root.parent / "origin.git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# The origin takes a commit of somebody else in the moment of the push, and refuses the push as being late.
LATE = """unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
echo x >> count
test $(wc -l < count) -gt {times} && exit 0
export GIT_AUTHOR_NAME=o GIT_AUTHOR_EMAIL=o@example.org GIT_COMMITTER_NAME=o GIT_COMMITTER_EMAIL=o@example.org
new=$(git commit-tree -p main -m "somebody else's $(wc -l < count)" 'main^{{tree}}')
git update-ref refs/heads/main $new
echo late >&2
exit 1"""


def test_a_main_that_moves_during_the_push_is_tried_again(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    hook(main, "pre-receive", LATE.format(times=2))
    assert commit_lock(job.root, "main", 3)
    subjects = pulled(main).git("log", "-3", "--format=%s").split("\n")
    assert subjects[0].startswith("Retrained")
    assert subjects[1:] == ["somebody else's 2", "somebody else's 1"]


def test_a_main_that_moves_all_the_time_is_given_up(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    hook(main, "pre-receive", LATE.format(times=9))
    with pytest.raises(ShoplensError, match="main moved before each of 2 attempts: run this again"):
        commit_lock(job.root, "main", 2)


def test_a_protected_main_is_named_after_one_attempt(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    hook(main, "pre-receive", "echo protected branch >&2; echo x >> count; exit 1")
    with pytest.raises(
        ShoplensError, match=r"was refused: [\s\S]*protected branch[\s\S]*`permissions: contents: write`"
    ):
        commit_lock(job.root, "main", 5)
    assert (main.root.parent / "origin.git" / "count").read_text() == "x\n"


def test_another_lock_on_main_stands(main: Checkout, tmp_path: Path) -> None:
    job = after_run(main, tmp_path / "job")
    other = main.commit(dvc_lock="trained: by somebody else\n")
    main.git("push", "-q", "origin", "main")
    with pytest.raises(ShoplensError, match=r"main has another dvc\.lock or retrained\.json by now"):
        commit_lock(job.root, "main", 3)
    assert pulled(main).head == other


def test_without_a_record_of_this_commit_nothing_is_committed(main: Checkout, tmp_path: Path) -> None:
    job = clone_of(main, tmp_path / "job")
    with pytest.raises(ShoplensError, match="not about what is checked out"):
        commit_lock(job.root, "main", 3)
    job = after_run(main, tmp_path / "other")
    job.commit()
    with pytest.raises(ShoplensError, match="not about what is checked out"):
        commit_lock(job.root, "main", 3)
