"""The command line says in one message what the user has to mend, and does not destroy what is not its own."""

from pathlib import Path

import pytest

from shoplens.cli import main


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The message of a command that must end with exit code 1."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 1
    return capsys.readouterr().err


def test_what_the_system_refuses_names_the_file_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    said = refused(capsys, "data", "demo", "--listings", 20, "--out", tmp_path / "file" / "data")
    assert (
        said == f"shoplens: {tmp_path / 'file'}: File exists; correct the path, or who may use it, and run it again\n"
    )


def test_outside_of_a_project_the_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPLENS_HOME", raising=False)
    for command in ("train", "rollback"):
        assert "params.yaml is missing: name another one, or run this in the folder" in refused(capsys, command)
    assert "nothing is deployed" in refused(capsys, "serve")
