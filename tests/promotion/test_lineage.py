"""The dirty flag: source that differs from its commit counts, what a run writes by itself does not."""

import subprocess

import pytest

from shoplens.promotion.lineage import is_dirty

DVC = "stages:\n  train:\n    outs: [out/train]\n    metrics:\n      - metrics/stars.json: {cache: false}\n"


@pytest.fixture(params=[".", "in/a/monorepo"])
def project(tmp_path, request):
    project = tmp_path / request.param
    for name, text in {"dvc.yaml": DVC, "dvc.lock": "a", "metrics/stars.json": "{}", "code.py": "x = 1"}.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return project


@pytest.mark.parametrize(
    ("path", "dirty"),
    [
        ("dvc.lock", False),
        ("metrics/stars.json", False),
        ("out/train/encoder.json", False),
        ("code.py", True),
        ("new module.py", True),
        ("dvc.yaml", True),
    ],
)
def test_only_what_people_write_counts(project, path, dirty):
    assert not is_dirty(project)
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(DVC + "# changed" if path == "dvc.yaml" else "changed")
    assert is_dirty(project) is dirty
