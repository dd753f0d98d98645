"""A git repository whose data and outputs are kept by the real DVC at a remote: a folder, or a bucket of S3."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WHO = ("-c", "user.name=test", "-c", "user.email=test@example.org")
COPY = {"cmd": "cp -r data copy", "deps": ["data"], "outs": ["copy"]}


@dataclass(frozen=True)
class Remote:
    """Where a project's DVC pushes to; S3 that is not Amazon's has an endpoint."""

    url: str
    endpoint: str | None = None

    def config(self) -> str:
        """What `dvc remote add` and `dvc remote modify` write."""
        endpoint = "" if self.endpoint is None else f"    endpointurl = {self.endpoint}\n"
        return f"['remote \"team\"']\n    url = {self.url}\n{endpoint}[core]\n    remote = team\n"


def dvc(project: Path, *words: str) -> str:
    """Run dvc; its standard output."""
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(project: Path, *words: str) -> None:
    subprocess.run(["git", *WHO, *words], cwd=project, check=True, capture_output=True)


def publish(project: Path, remote: Remote) -> None:
    """Two commits, tagged `first` and `second` like their data, with all that belongs to them at the remote."""
    (project / ".dvc").mkdir(parents=True)
    for name in (".dvc/.gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, project / name)
    (project / ".dvc" / "config").write_text(remote.config() + "    analytics = false\n    check_update = false\n")
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"copy": COPY}}))
    git(project, "init", "-q", "-b", "main")
    for version, command in (("first", ("add", "-q", "data")), ("second", ("repro", "-q"))):
        for photo in ("1.jpg", "2.jpg"):
            (project / "data" / "photos").mkdir(parents=True, exist_ok=True)
            (project / "data" / "photos" / photo).write_text(f"{version} {photo}")
        dvc(project, *command)
        git(project, "add", "-A")
        git(project, "commit", "-qm", version)
        git(project, "tag", version)
    dvc(project, "push", "-q", "--all-tags")


def clone(project: Path, folder: Path) -> Path:
    """What a colleague or a job has: the commits, no data, no cache."""
    subprocess.run(["git", "clone", "-q", str(project), str(folder)], check=True)
    return folder
