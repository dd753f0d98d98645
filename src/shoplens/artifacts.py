"""Stage artifacts: a folder with a passport that says what it was made from, checked by every reader.

A stage writes one folder. `artifact.json` in it holds the stage's name, its parameters, the digests of its inputs
and of its own files; the digest of that passport identifies the artifact. So an output that a skipped or killed
stage left behind cannot be taken for a new one: its recorded inputs differ from the ones at hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.files import digest_file, digest_folder, locked, read_json, replacing_folder, write_json

PASSPORT = "artifact.json"


@dataclass(frozen=True)
class Artifact:
    """A verified stage output: its folder, stage name, parameters and the digests of its inputs."""

    path: Path
    stage: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    digest: str


def digest_of(path: Path) -> str:
    """The digest that identifies an input: an artifact's passport, a plain file, or a folder of files.

    Raises:
        ShoplensError: if nothing is there.
    """
    if (path / PASSPORT).is_file():
        return digest_file(path / PASSPORT)
    if path.is_file():
        return digest_file(path)
    if path.is_dir():
        return digest_folder(path)
    raise ShoplensError(f"{path} is missing: run the stage that writes it first")


@contextlib.contextmanager
def write_artifact(out: Path, stage: str, inputs: Mapping[str, Path], params: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it becomes `out`, with its passport, in one rename.

    Args:
        out: the artifact's folder.
        stage: the stage's name.
        inputs: input name -> path (artifact, file or folder); their digests go into the passport.
        params: the stage's parameters, as JSON values.

    Raises:
        ShoplensError: if another process is writing the same artifact.
    """
    with locked(out.parent / f".{out.name}.lock", f"stage {stage}'s output {out}"):
        digests = {name: digest_of(path) for name, path in inputs.items()}
        with replacing_folder(out) as folder:
            yield folder
            files = {p.relative_to(folder).as_posix(): digest_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
            passport = {"stage": stage, "params": dict(params), "inputs": digests, "files": files}
            write_json(folder / PASSPORT, passport)


def read_artifact(path: Path, stage: str, inputs: Mapping[str, Path] | None = None) -> Artifact:
    """Open a stage's output and check that it is whole and made from the inputs at hand.

    Args:
        path: the artifact's folder.
        stage: the stage that must have written it.
        inputs: input name -> path as they are now; each one named here must match the passport.

    Raises:
        ShoplensError: if the folder is missing, belongs to another stage, a file of it is missing or changed, or an
            input is not the one that it was made from.
    """
    passport = read_json(path / PASSPORT)
    if not isinstance(passport, dict) or not {"stage", "params", "inputs", "files"} <= passport.keys():
        raise ShoplensError(f"{path / PASSPORT} is not what a stage writes: run stage {stage} again")
    if passport["stage"] != stage:
        raise ShoplensError(f"{path} was written by stage {passport['stage']}, not {stage}")
    for name, digest in passport["files"].items():
        if not (path / name).is_file():
            raise ShoplensError(f"{path / name} is missing: run stage {stage} again")
        if digest_file(path / name) != digest:
            raise ShoplensError(f"{path / name} is not what stage {stage} wrote: run the stage again")
    for name, source in (inputs or {}).items():
        if passport["inputs"].get(name) != digest_of(source):
            raise ShoplensError(
                f"{path} was made from another {name} than {source}: its stage was skipped or failed; run {stage} again"
            )
    return Artifact(path, stage, passport["params"], passport["inputs"], digest_file(path / PASSPORT))
