"""Stage runs that a killed measurement does not lose: one runs again only if its inputs, parameters or code changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.dvc_file import CODE
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, digest_json, read_json, write_json
from shoplens.params import Params
from shoplens.progress import say
from shoplens.stages import BY_NAME, run_stage

ROOT = Path(__file__).parents[1]
RULES = tuple(f"src/shoplens/world/{name}.py" for name in ("facts", "listing", "tables", "places", "cues", "look"))
SEARCH_RULES = tuple(
    f"src/shoplens/world/{name}.py"
    for name in ("words", "demand", "queries", "search", "search_log", "shopper", "traffic")
)
PRODUCT_RULES = tuple(
    f"src/shoplens/world/{name}.py"
    for name in (
        "products",
        "product_sprites",
        "product_photos",
        "product_sheet",
        "image_sets",
        "engagement",
        "image_sources",
    )
)


def git(*arguments: str) -> str:
    """What git says about this checkout.

    Raises:
        ShoplensError: if git fails.
    """
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ShoplensError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}; results need a git checkout")
    return done.stdout.strip()


def rules_commit(rules: Sequence[str] = RULES) -> str:
    """The commit that last touched the demo world's rules.

    Raises:
        ShoplensError: if the rules have changes that are not committed: the seeds follow from the commit.
    """
    changed = git("status", "--porcelain", "--", *rules)
    if changed:
        raise ShoplensError(f"the world's rules have changes that are not committed:\n{changed}\ncommit them first")
    return git("log", "-1", "--format=%H", "--", *rules)


def world_seed(commit: str, number: int, trial: bool = False) -> int:
    """The seed of world `number` (1, 2, ...): sha256 of the rules' commit hash and the number, modulo 2^31.

    A trial of the measurement itself gets other seeds: a smaller world of the same seed holds the same first listings,
    and nobody should have seen results on those of the page.
    """
    text = f"{commit}{'trial' if trial else ''}{number}"
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2**31


def rules_history(rules: Sequence[str] = RULES) -> list[str]:
    """The commits that touched the rules, the latest first: short hash, time, subject."""
    return git("log", "--format=%h, %cI: %s", "--", *rules).splitlines()


def code_of(paths: Iterable[str]) -> str:
    """Digest of the Python files at or below paths relative to src/shoplens."""
    source = ROOT / "src" / "shoplens"
    files = [
        file for path in paths for file in ([source / path] if path.endswith(".py") else (source / path).rglob("*.py"))
    ]
    return digest_json(sorted([file.relative_to(source).as_posix(), digest_file(file)] for file in files))


def record_seconds(work: Path, step: str, seconds: float) -> None:
    """Note how long a step took; a step that runs again replaces its old time."""
    path = work / "seconds.json"
    known = read_json(path) if path.is_file() else {}
    write_json(path, known | {step: round(seconds, 1)})


@dataclass(frozen=True)
class Run:
    """The stages of one training run.

    Attributes:
        work: folder of the whole measurement; stage outputs lie below it.
        data: contract folder.
        folder: holds the stages' folders.
        params: of the run.
        shared: a run whose validate and prepare this one uses, or None.
        baseline: the train folder of the model to compare with, or None.
    """

    work: Path
    data: Path
    folder: Path
    params: Params
    shared: Run | None = None
    baseline: Path | None = None

    def path(self, name: str) -> Path:
        """The path of an input or a stage's output."""
        if name in ("data", "policy"):
            return {"data": self.data, "policy": ROOT / "gate.yaml"}[name]
        return (self.shared.folder if self.shared and name in ("validate", "prepare") else self.folder) / name

    def ensure(self, *names: str) -> None:
        """Run the stages, in the order given, that are not up to date."""
        for name in names:
            if name == "champion":
                self._hand_over()
                continue
            code = code_of(CODE[name])
            if not self._done(name, code):
                say(f"{self.folder.relative_to(self.work)}: stage {name}")
                start = time.perf_counter()
                run_stage(name, self._inputs(name), self.path(name), self.params)
                record_seconds(self.work, f"{self.folder.relative_to(self.work)}/{name}", time.perf_counter() - start)
                write_json(self._code_file(name), code)

    def _inputs(self, name: str) -> Mapping[str, Path]:
        return {key: self.path(key) for key in BY_NAME[name].inputs}

    def _code_file(self, name: str) -> Path:
        out = self.path(name)
        return out.parent / f"{name}.code.json"

    def _done(self, name: str, code: str) -> bool:
        if not self._code_file(name).is_file() or read_json(self._code_file(name)) != code:
            return False
        try:
            found = read_artifact(self.path(name), name, self._inputs(name))
        except ShoplensError:
            return False
        section = BY_NAME[name].section
        wanted = self.params.section(section).model_dump(mode="json") if section else {}
        return json.dumps(dict(found.params), sort_keys=True) == json.dumps(wanted, sort_keys=True)

    def _hand_over(self) -> None:
        """The champion's folder as stage champion writes it, from `baseline`: nothing is registered here."""
        inputs = {"train": self.path("train")}
        bundle = self.baseline / "encoder" if self.baseline else None
        digest = read_json(bundle / "encoder.json")["weights_digest"] if bundle else None
        wanted = {"version": "1" if bundle else None, "weights_digest": digest}
        out = self.path("champion")
        try:
            read_artifact(out, "champion", inputs)
            if read_json(out / "champion.json") == wanted:
                return
        except ShoplensError:
            pass
        with write_artifact(out, "champion", inputs, {}) as folder:
            write_json(folder / "champion.json", wanted)
            if bundle:
                shutil.copytree(bundle, folder / "encoder")
