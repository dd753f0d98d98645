"""The table of events: what happens on a push, a schedule and a click, decided from real git histories."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ci.repository import Checkout, new_checkout, pin

from shoplens.ci.plan import Plan, plan
from shoplens.ci.record import RECORD, Record, read_record, write_record
from shoplens.ci.state import CODE, state_of
from shoplens.cli import main
from shoplens.errors import ShoplensError

ZEROS = "0" * 40


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return new_checkout(tmp_path_factory.mktemp("original"))


@pytest.fixture
def checkout(original: Checkout, tmp_path: Path) -> Checkout:
    return Checkout(shutil.copytree(original.root, tmp_path / "checkout"))


def finished(checkout: Checkout, commit: str) -> Record:
    """The record of a run on a commit."""
    state = state_of(checkout.root, commit)
    return Record(commit=commit, code=state.code, data=state.data, decision="promoted")


def pushed(checkout: Checkout, base: str, last: Record | None = None) -> Plan:
    return plan(checkout.root, "push", base, checkout.head, last)


CHANGES = [
    ("code", {"src__model_py": "width = 2\n"}, "changed code or settings (src/model.py)"),
    ("a new module", {"src__deep__er_py": ""}, "changed code or settings (src/deep/er.py)"),
    ("parameters", {"params_yaml": "epochs: 2\n"}, "changed code or settings (params.yaml)"),
    ("the policy", {"gate_yaml": "version: 2\n"}, "changed code or settings (gate.yaml)"),
    ("the lock of packages", {"requirements_lock": "torch==9\n"}, "changed code or settings (requirements.lock)"),
    ("data", {"data_dvc": pin("b" * 32)}, f"new data ({'b' * 32}.dir)"),
    ("a new description of the data", {"data_dvc": pin("a" * 32, desc="new words")}, None),
    ("documents", {"README_md": "read me twice\n", "docs__a_md": "a\n"}, None),
    ("tests", {"tests__test_model_py": "def test(): ...\n"}, None),
    ("the lock of a run", {"dvc_lock": "schema: '3'\n", "retrained_json": "{}"}, None),
    ("workflows", {"_github__workflows__ci_yml": "name: ci\n"}, None),
    ("nothing", {}, None),
    ("documents and code", {"README_md": "x\n", "src__model_py": "width = 3\n"}, "(src/model.py)"),
]


@pytest.mark.parametrize(("files", "reason"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
@pytest.mark.parametrize("on_record", [False, True])
def test_a_push_retrains_where_a_model_would_be_made_from_something_else(
    checkout: Checkout, files: dict[str, str], reason: str | None, on_record: bool
) -> None:
    base = checkout.head
    last = finished(checkout, base) if on_record else None
    checkout.commit(**files)
    found = pushed(checkout, base, last)
    assert found.head == checkout.head
    assert found.retrain is (reason is not None)
    assert (reason or "nothing" * (not on_record) or "those of the last finished run") in found.reason


def test_a_schedule_without_new_data_or_code_does_nothing(checkout: Checkout) -> None:
    last = finished(checkout, checkout.head)
    checkout.commit(README_md="read me twice\n")
    found = plan(checkout.root, "schedule", "", "HEAD", last)
    assert not found.retrain
    assert f"the last finished run ({last.commit[:7]}, promoted)" in found.reason
    checkout.commit(data_dvc=pin("c" * 32))
    assert plan(checkout.root, "schedule", "", "HEAD", last).retrain


def test_the_first_schedule_retrains(checkout: Checkout) -> None:
    assert plan(checkout.root, "schedule", "", "HEAD", None) == Plan(
        True, "no finished run is on record", checkout.head
    )


def test_a_click_always_retrains(checkout: Checkout) -> None:
    assert plan(checkout.root, "manual", "", "HEAD", finished(checkout, checkout.head)).retrain


def dropped(checkout: Checkout) -> str:
    """A commit that a force push takes out of the history."""
    gone = checkout.commit(src__model_py="width = 9\n")
    checkout.git("reset", "-q", "--hard", "HEAD~1")
    return gone


BASES: dict[str, Callable[[Checkout], str]] = {
    "a dropped commit that is here still": dropped,
    "a commit that is not here": lambda _: "ab" * 20,
    "a new branch": lambda _: ZEROS,
    "nothing": lambda _: "",
    "an option": lambda _: "--all",
}


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_a_force_push_retrains_unless_it_leaves_what_was_trained(
    checkout: Checkout, base: Callable[[Checkout], str]
) -> None:
    before = base(checkout)
    last = finished(checkout, checkout.head)
    checkout.commit(README_md="another history\n")
    found = pushed(checkout, before)
    assert found.retrain
    assert "a new branch or a force push" in found.reason
    assert not pushed(checkout, before, last).retrain


def test_a_force_push_back_to_an_older_state_retrains(checkout: Checkout) -> None:
    """What is in production then belongs to the newer one."""
    newer = checkout.commit(src__model_py="width = 2\n")
    last = finished(checkout, newer)
    checkout.git("reset", "-q", "--hard", "HEAD~1")
    found = pushed(checkout, newer, last)
    assert found.retrain
    assert found.reason.endswith("changed code or settings (src/model.py)")


def test_of_two_merges_at_once_the_second_run_finds_what_the_first_left(checkout: Checkout) -> None:
    """One run at a time: the second waits, and plans from the newest commit once the first is on record."""
    start = checkout.head
    first = checkout.commit(src__model_py="width = 2\n")
    second = checkout.commit(params_yaml="epochs: 5\n")
    # The first run started after both merges, so it trained both: the second has nothing to do.
    assert plan(checkout.root, "push", start, "HEAD", None) == Plan(
        True, "the push brings changed code or settings (params.yaml, src/model.py)", second
    )
    assert not pushed(checkout, first, finished(checkout, second)).retrain
    # It started before the second merge: the second run trains the rest.
    assert "(params.yaml)" in pushed(checkout, first, finished(checkout, first)).reason


def test_a_merge_whose_run_was_replaced_or_broke_off_is_not_forgotten(checkout: Checkout) -> None:
    """GitHub keeps only the newest of the waiting runs, and the last push may bring documents only."""
    last = finished(checkout, checkout.head)
    before = checkout.commit(src__model_py="width = 2\n")
    checkout.commit(README_md="read me twice\n")
    assert pushed(checkout, before, last).reason.endswith("changed code or settings (src/model.py)")


def test_a_refused_state_is_not_tried_again(checkout: Checkout) -> None:
    last = finished(checkout, checkout.head).model_copy(update={"decision": "refused"})
    found = plan(checkout.root, "schedule", "", "HEAD", last)
    assert (found.retrain, "refused" in found.reason) == (False, True)


def test_long_lists_and_odd_names_stay_one_short_line(checkout: Checkout) -> None:
    base = checkout.head
    for number in range(6):
        (checkout.root / "src" / f"new\nline {number}.py").write_text("")
    checkout.commit()
    reason = pushed(checkout, base).reason
    assert reason.endswith("(src/new line 0.py, src/new line 1.py, src/new line 2.py and 3 more)")


def test_a_moved_file_is_a_change(checkout: Checkout) -> None:
    base = checkout.head
    checkout.git("mv", "src/model.py", "src/encoder.py")
    checkout.commit()
    assert pushed(checkout, base).reason.endswith("(src/encoder.py, src/model.py)")


def test_what_counts_is_there_in_this_repository() -> None:
    root = Path(__file__).parents[2]
    assert [name for name in CODE if not (root / name).exists()] == []


def test_what_is_missing_is_named(checkout: Checkout) -> None:
    with pytest.raises(ShoplensError, match="has no commit nowhere: fetch the whole history"):
        plan(checkout.root, "push", "", "nowhere", None)
    (checkout.root / "data.dvc").write_text("outs: [")
    checkout.commit()
    with pytest.raises(ShoplensError, match=r"data\.dvc of commit .*: not valid YAML"):
        pushed(checkout, "")
    (checkout.root / "data.dvc").unlink()
    checkout.commit()
    with pytest.raises(ShoplensError, match=r"has no data\.dvc: run `dvc add data`"):
        pushed(checkout, "")


def test_a_record_is_read_as_written_and_a_broken_one_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    last = finished(checkout, checkout.head)
    write_record(tmp_path / RECORD, last)
    assert read_record(tmp_path / RECORD) == last
    assert read_record(tmp_path / "none.json") is None
    for text in ("{", '{"commit": "a"}', "[]"):
        (tmp_path / RECORD).write_text(text)
        with pytest.raises(ShoplensError, match=r"retrained\.json[\s\S]*the next plan asks for a run"):
            read_record(tmp_path / RECORD)


def test_the_command_prints_the_reason_and_writes_a_steps_outputs(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = checkout.head
    checkout.commit(src__model_py="width = 2\n")
    (tmp_path / "output").write_text("earlier=1\n")
    monkeypatch.chdir(checkout.root)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    with pytest.raises(SystemExit) as ended:
        main(["ci", "plan", "--event", "push", "--base", base])
    assert ended.value.code == 0
    reason = "the push brings changed code or settings (src/model.py)"
    assert capsys.readouterr().out == f"Retrain {checkout.head[:7]}: {reason}\n"
    outputs = f"earlier=1\nretrain=true\nreason={reason}\nhead={checkout.head}\n"
    assert (tmp_path / "output").read_text() == outputs
