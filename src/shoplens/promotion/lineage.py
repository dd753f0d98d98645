"""Where a model comes from: code, data, dependencies, policy. Recorded as tags of its version."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from shoplens.artifacts import Artifact
from shoplens.files import digest_file, read_json
from shoplens.promotion.gate_stage import Evidence

UNKNOWN = "unknown"


def lineage(evidence: Evidence, prepare: Artifact, repository: Path) -> dict[str, str]:
    """Tags that say what a version was made from; `unknown` where there is no git repository or file.

    Args:
        evidence: what was judged.
        prepare: the prepare artifact, whose passport holds the digest of the data.
        repository: the project's folder (git, data.dvc, requirements.lock).
    """
    sha = _git(repository, "rev-parse", "HEAD")
    split = read_json(evidence.prepare / "split.json")
    return {
        "shoplens.git_sha": sha or UNKNOWN,
        "shoplens.git_dirty": UNKNOWN if sha is None else str(is_dirty(repository)).lower(),
        "shoplens.data": prepare.inputs.get("data", UNKNOWN),
        "shoplens.data_dvc": _data_dvc(repository / "data.dvc"),
        "shoplens.requirements": _digest(repository / "requirements.lock"),
        "shoplens.policy": digest_file(evidence.policy),
        "shoplens.dataset": split["dataset"],
        "shoplens.split": str(split["hash"]),
    }


def is_dirty(repository: Path) -> bool:
    """Whether the working tree differs from its commit, apart from what a run itself writes: dvc.lock and the outputs
    and metrics of the stages in dvc.yaml."""
    below = Path(_git(repository, "rev-parse", "--show-prefix") or "")  # git names paths from its own top folder
    written = {below / path for path in (Path("dvc.lock"), *_stage_outputs(repository / "dvc.yaml"))}
    status = _git(repository, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", ".") or ""
    changed = [Path(entry[3:]) for entry in status.split("\0") if entry]
    return any(not written & {path, *path.parents} for path in changed)


def _stage_outputs(dvc_yaml: Path) -> set[Path]:
    if not dvc_yaml.is_file():
        return set()
    stages: dict[str, Any] = (yaml.safe_load(dvc_yaml.read_text()) or {}).get("stages", {})
    entries = [
        entry for stage in stages.values() for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])
    ]
    return {Path(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries}


def _data_dvc(path: Path) -> str:
    if not path.is_file():
        return UNKNOWN
    outs = yaml.safe_load(path.read_text()).get("outs", [])
    return str(outs[0].get("md5", UNKNOWN)) if outs else UNKNOWN


def _digest(path: Path) -> str:
    return digest_file(path) if path.is_file() else UNKNOWN


def _git(repository: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(repository), *command], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip("\n") if done.returncode == 0 else None
