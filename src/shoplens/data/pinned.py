"""data/ as data.dvc pins it: pulled from the team's remote, or, for the demo, rendered here and compared.

The comparison happens before `dvc repro`, which would take whatever is in data/ and rewrite data.dvc without a word.
"""

from __future__ import annotations

import json
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


def is_pinned(root: Path) -> bool:
    """Does data/ hold the bytes that data.dvc names?"""
    return not json.loads(_dvc(root, "status", "--json", "data.dvc"))


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
        if not is_pinned(root):
            say(f"data/ differs from data.dvc ({wanted}); the run uses data/ as it is. `dvc add data` pins it.")
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
    if is_pinned(root):
        say(f"The rendered marketplace is byte for byte the pinned one ({wanted})")
        _dvc(root, "commit", "-q", "-f", "data.dvc")
        return
    say(
        f"This platform renders other bytes than data.dvc pins ({wanted}): another Pillow, numpy or processor. Results "
        "will differ in the last digits from those in docs/. The run goes on with data/ as it is; `dvc repro` records "
        "this folder's own hash in data.dvc, and the registered model's lineage names it."
    )
