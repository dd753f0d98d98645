"""A reader refuses an artifact that is incomplete, changed, foreign, or made from other inputs."""

from pathlib import Path

import pytest

from shoplens.artifacts import digest_of, read_artifact, write_artifact
from shoplens.errors import ShoplensError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    return tmp_path / "data"


@pytest.fixture
def artifact(tmp_path: Path, source: Path) -> Path:
    with write_artifact(tmp_path / "train", "train", {"data": source}, {"seed": 1}) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "weights").write_bytes(b"weights")
    return tmp_path / "train"


def test_a_whole_artifact_opens_with_its_parameters(artifact: Path, source: Path) -> None:
    opened = read_artifact(artifact, "train", {"data": source})
    assert opened.params == {"seed": 1}
    assert opened.inputs == {"data": digest_of(source)}
    assert opened.digest == digest_of(artifact)


def test_the_same_inputs_give_the_same_digest(artifact: Path, source: Path, tmp_path: Path) -> None:
    with write_artifact(tmp_path / "elsewhere", "train", {"data": source}, {"seed": 1}) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "weights").write_bytes(b"weights")
    assert digest_of(tmp_path / "elsewhere") == digest_of(artifact)


def test_changed_inputs_are_noticed(artifact: Path, source: Path) -> None:
    (source / "a.txt").write_text("b")
    with pytest.raises(ShoplensError, match="made from another data"):
        read_artifact(artifact, "train", {"data": source})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda a: (a / "sub" / "weights").write_bytes(b"changed"), "is not what stage train wrote"),
        (lambda a: (a / "sub" / "weights").unlink(), "is missing"),
        (lambda a: (a / "artifact.json").unlink(), "is missing"),
        (lambda a: (a / "artifact.json").write_text("{"), "not valid JSON"),
        (lambda a: (a / "artifact.json").write_text("[]"), "is not what a stage writes: run stage train again"),
        (lambda a: (a / "artifact.json").write_text('{"stage": "train"}'), "is not what a stage writes"),
    ],
)
def test_damage_is_refused(artifact: Path, damage: object, message: str) -> None:
    damage(artifact)  # type: ignore[operator]
    with pytest.raises(ShoplensError, match=message):
        read_artifact(artifact, "train")


def test_another_stages_folder_is_refused(artifact: Path) -> None:
    with pytest.raises(ShoplensError, match="was written by stage train, not embed"):
        read_artifact(artifact, "embed")


def test_a_failing_stage_leaves_the_old_artifact(artifact: Path, source: Path) -> None:
    before = digest_of(artifact)
    with pytest.raises(RuntimeError), write_artifact(artifact, "train", {"data": source}, {}) as folder:
        (folder / "new").write_text("new")
        raise RuntimeError
    assert digest_of(artifact) == before
    read_artifact(artifact, "train", {"data": source})


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ShoplensError, match="prepare is missing: run the stage"),
        write_artifact(tmp_path / "out", "train", {"prepare": tmp_path / "prepare"}, {}),
    ):
        pass
