"""`python pipeline.py run`: it starts only on valid files, and says what went wrong."""

import builtins
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from shoplens.errors import ShoplensError
from shoplens.kubeflow.local_run import Failure, first_failure, run_graph
from shoplens.kubeflow.settings import RECIPES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pipeline.py's main; the file stands beside src, not in it."""
    monkeypatch.syspath_prepend(str(ROOT))
    import pipeline

    return pipeline.main


component = dsl.component(packages_to_install=[], install_kfp_package=False, base_image="python")


@component
def train(out: dsl.Output[dsl.Model]) -> None:
    from pathlib import Path

    Path(out.path).mkdir()
    (Path(out.path) / "weights").write_text("w")
    print('{"shoplens-gate":{}}')


@component
def package(train: dsl.Input[dsl.Model], fail: bool, out: dsl.Output[dsl.Model]) -> None:
    from pathlib import Path

    from shoplens.errors import ShoplensError

    assert (Path(train.path) / "weights").is_file()
    if fail:
        try:
            raise ValueError("the cause")
        except ValueError as error:
            raise ShoplensError("photos.parquet: row 3: it's empty\n  remedy: mend it\n\nsee docs/data.md") from error
    Path(out.path).mkdir()


@component
def finish(status: dsl.PipelineTaskFinalStatus) -> None:
    print(f"the end: {status.state}")


@dsl.pipeline(name="toy")
def toy(fail: bool) -> None:
    with dsl.ExitHandler(finish()):
        package(train=train().output, fail=fail)


def test_nothing_starts_when_a_file_is_wrong(
    tmp_path: Path, tiny_data: Path, main: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RECIPES, "")
    broken = tmp_path / "broken.yaml"
    broken.write_text("train:\n  sed: 3\n")
    for wrong, message in (
        (("--data", tmp_path / "nowhere"), "dataset.yaml is missing"),
        (("--data", broken), "dataset.yaml is missing"),
        (("--data", tiny_data, "--params", tmp_path), "Is a directory; correct the path"),
        (("--data", tiny_data, "--params", broken), "train.sed: unknown key; did you mean 'seed'?"),
        (("--data", tiny_data, "--policy", broken), "broken.yaml"),
        (("--data", tiny_data, "--policy", tmp_path / "no.yaml"), "no.yaml is missing"),
        (("--data", tiny_data, "--param", "embed_shard=2"), "unknown parameter; did you mean 'embed_shards'?"),
        (("--data", tiny_data, "--param", "embed_shards=two"), "must be a whole number"),
        (("--data", tiny_data, "--param", f"source={tmp_path}"), "no --param sets it"),
        (("--data", tiny_data, "--param", "recipe=boking"), "no recipe 'boking' in"),
        (("--data", tiny_data, "--param", "recipe=boking"), "known: booking, etsy, pinterest"),
        (("--data", tiny_data, "--param", "nodes=2"), "--param nodes: more than 1 train on a cluster only"),
    ):
        assert main(["run", *map(str, wrong), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "artifacts/train").mkdir(parents=True)
    with pytest.raises(ShoplensError, match="choose another --out"):
        run_graph(toy, {"fail": False}, tmp_path)
    assert (tmp_path / "artifacts/train").is_dir()


def test_a_local_run_links_the_stage_folders_and_tells_the_first_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_graph(toy, {"fail": False}, tmp_path) is None
    assert {link.name for link in (tmp_path / "artifacts").iterdir()} == {"train", "package"}
    assert (tmp_path / "artifacts/train/weights").read_text() == "w"

    failure = run_graph(toy, {"fail": True}, tmp_path)
    message = "photos.parquet: row 3: it's empty\n  remedy: mend it\n\nsee docs/data.md"
    assert failure == Failure("package", message)
    # A folder of the run before is no longer there to be taken for this one's.
    assert {link.name for link in (tmp_path / "artifacts").iterdir()} == {"train"}

    shown = capsys.readouterr().out
    assert "--- package" in shown and "the end: FAILED" in shown
    for part in ("executor_input", "shoplens-gate"):
        assert part not in shown
        assert part in (tmp_path / "run.log").read_text()


def test_a_task_that_was_killed_is_named_with_its_last_words() -> None:
    log = (
        "10:00:00.000 - INFO - Executing task 'prepare'\n    Traceback (most recent call last):\n    harmless\n"
        "10:00:01.000 - INFO - Task 'prepare' finished with status SUCCESS\n"
        "10:00:02.000 - INFO - Executing task 'train'\n    epoch 1\n    epoch 2\n    \n\n"
        "10:00:03.000 - ERROR - Task 'train' finished with status FAILURE\n"
    )
    failure = first_failure(log)
    assert failure is not None and failure.task == "train" and failure.message.endswith("epoch 2")
    assert first_failure(log.replace("FAILURE", "SUCCESS")) is None


def test_what_a_task_said_is_found_however_deep_a_loop_before_it_made_kfp_indent() -> None:
    log = (
        "10:00:00.000 - INFO - Executing task 'train'\n            Traceback (most recent call last):\n"
        '              File "x.py", line 1, in <module>\n            ValueError: photos.parquet: row 3\n'
        "              remedy: mend it\n10:00:03.000 - ERROR - Task 'train' finished with status FAILURE\n"
    )
    assert first_failure(log) == Failure("train", "ValueError: photos.parquet: row 3\n  remedy: mend it")


def test_a_run_leaves_printing_and_logging_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, printing = logging.getLogger(), builtins.print
    level, handlers = root.level, root.handlers[:]

    def looping() -> None:
        """What remains of kfp's own changes when two tasks of a loop end in the order in which they began."""
        builtins.print = partial(printing, "    ", end="")
        root.handlers[:] = [logging.StreamHandler(sys.stdout)]
        root.setLevel(logging.INFO)
        for indent in ("    ", " " * 12):
            sys.stdout.write("10:00:00.000 - INFO - Executing task 'train'\n")
            for line in ("Got executor_input:", "{", '    "inputs": {', "    }", "}", "epoch 1"):
                sys.stdout.write(indent + line + "\n")
        root.handlers[:] = []

    assert run_graph(looping, {}, tmp_path) is None
    assert (builtins.print, root.level, root.handlers) == (printing, level, handlers)
    assert capsys.readouterr().out == 2 * "--- train\n    epoch 1\n"
