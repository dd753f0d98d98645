"""data/ as data.dvc pins it: pulled from the team's remote, or, for the demo, rendered here and compared.

The comparison happens before `dvc repro`, which would take whatever is in data/ and rewrite data.dvc without a word.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shoplens.errors import ShoplensError
from shoplens.params import read_params
from shoplens.progress import say
from shoplens.strict import read_yaml


def _dvc(root: Path, *arguments: str, quiet: bool = True) -> str:
    """Run the dvc that belongs to this Python in `root`; its standard output ("" if it goes to the terminal).

    Raises:
        ShoplensError: with dvc's own words if it fails.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=quiet, text=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout or "see above").strip()
        raise ShoplensError(f"dvc {' '.join(arguments)} failed: {words}")
    return done.stdout or ""


class Out(BaseModel):
    """The part of data.dvc's `outs` that is read here."""

    md5: str


class Pin(BaseModel):
    """The part of data.dvc that is read here; `meta.demo` is the hash of the demo marketplace as we rendered it."""

    outs: tuple[Out]
    meta: dict[str, Any] = {}

    @property
    def is_demo(self) -> bool:
        """Is the pinned folder the demo? `dvc add` of other data keeps `meta`, so the hashes must agree."""
        return self.meta.get("demo") == self.outs[0].md5


def workspace_hash(root: Path) -> str:
    """DVC's hash of data/ as it lies there.

    `dvc status` cannot tell: without a cache (a fresh clone) it reports "not in cache" whatever data/ holds.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        (out,) = repo.find_outs_by_path(str(root / "data"))
        return str(out.get_hash().value)


def _pull(root: Path, wanted: str, remotes: str) -> None:
    try:
        _dvc(root, "pull", "data.dvc", quiet=False)
    except ShoplensError:
        raise ShoplensError(
            f"data/ ({wanted}) could not be pulled from {remotes}; dvc's reason stands above. If the files are not "
            "there, run `dvc push data.dvc` where data/ still is; if the remote is not reached, check its address "
            "(`dvc remote modify`) and its keys (of S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
        ) from None


def get_pinned_data(root: Path) -> None:
    """Make data/ what data.dvc pins.

    There already: left alone, and a difference is said. A remote is configured: `dvc pull`. Else, if data.dvc pins
    the demo marketplace, it is rendered with params.yaml's section `world` and compared.

    Raises:
        ShoplensError: if data.dvc is missing, a pull fails, or data/ is absent and there is nowhere to get it from.
    """
    path = root / "data.dvc"
    if not path.is_file():
        raise ShoplensError(f"{path} is missing: put your contract folder at data/ and run `dvc add data`")
    pin = read_yaml(Pin, path)
    wanted = pin.outs[0].md5
    data = root / "data"
    if data.is_dir():
        found = workspace_hash(root)
        if found != wanted:
            say(
                f"data/ ({found}) differs from data.dvc ({wanted}); "
                "the run uses data/ as it is, and `dvc repro` pins it"
            )
        return
    remotes = ", ".join(" ".join(line.split()) for line in _dvc(root, "remote", "list").splitlines())
    if remotes:
        say("Pulling data/ from the DVC remote")
        _pull(root, wanted, remotes)
        return
    if not pin.is_demo:
        raise ShoplensError(
            "data/ is absent, no DVC remote is configured and data.dvc is not the demo: add the team's remote "
            "(`dvc remote add -d NAME URL`) or put the contract folder at data/"
        )
    from shoplens.world.render import render_world

    render_world(data, read_params(root / "params.yaml").world)
    found = workspace_hash(root)
    if found == wanted:
        say(f"The rendered marketplace is byte for byte the pinned one ({wanted})")
        _dvc(root, "commit", "-q", "-f", "data.dvc")
        return
    say(
        f"This platform renders other bytes ({found}) than data.dvc pins ({wanted}): another Pillow, numpy or "
        "processor, or changed parameters. Results will differ from those in docs/. The run goes on with data/ as it "
        "is; `dvc repro` writes its own hash to data.dvc, and the registered model's lineage names it."
    )
