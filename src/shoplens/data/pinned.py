"""data/ as data.dvc pins it: pulled from the team's remote, or, for the demo, rendered here and compared.

The comparison happens before `dvc repro`, which would take whatever is in data/ and rewrite data.dvc without a word.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from shoplens.errors import ShoplensError
from shoplens.params import read_params
from shoplens.progress import say


def _dvc(root: Path, *arguments: str) -> str:
    """Run the dvc that belongs to this Python in `root`; its standard output.

    Raises:
        ShoplensError: with dvc's own words if it fails.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ShoplensError(f"dvc {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _pin(root: Path) -> dict[str, Any]:
    path = root / "data.dvc"
    if not path.is_file():
        raise ShoplensError(f"{path} is missing: put your contract folder at data/ and run `dvc add data`")
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def workspace_hash(root: Path) -> str:
    """DVC's hash of data/ as it lies there.

    `dvc status` cannot tell: without a cache (a fresh clone) it reports "not in cache" whatever data/ holds.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        (out,) = repo.find_outs_by_path(str(root / "data"))
        return str(out.get_hash().value)


def get_pinned_data(root: Path) -> None:
    """Make data/ what data.dvc pins.

    There already: left alone, and a difference is said. A remote is configured: `dvc pull`. Else, if data.dvc names
    the demo marketplace (`meta: {shoplens: demo}`), it is rendered with params.yaml's section `world` and compared.

    Raises:
        ShoplensError: if data.dvc is missing, a pull fails, or data/ is absent and there is nowhere to get it from.
    """
    pin = _pin(root)
    wanted = pin["outs"][0].get("md5", "?")
    data = root / "data"
    if data.is_dir():
        found = workspace_hash(root)
        if found != wanted:
            say(
                f"data/ ({found}) differs from data.dvc ({wanted}); "
                "the run uses data/ as it is, and `dvc repro` pins it"
            )
        return
    if _dvc(root, "remote", "list").strip():
        say("Pulling data/ from the DVC remote")
        _dvc(root, "pull", "data.dvc")
        return
    if (pin.get("meta") or {}).get("shoplens") != "demo":
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
