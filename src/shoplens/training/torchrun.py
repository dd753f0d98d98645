"""Several processes that train one model: the one command that starts them, on this machine or on each node of several.

Whoever starts them lays the run out in a folder as `shoplens train` knows it, and afterwards collects what it wrote.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from shoplens.artifacts import read_artifact
from shoplens.errors import ShoplensError
from shoplens.files import locked, replacing_folder, write_text
from shoplens.home import home
from shoplens.params import TrainParams

LAUNCHER = ("-m", "torch.distributed.run")
ONE_MACHINE = ("--standalone",)
"""Processes of one machine meet on a free port of it. Those of several are told where by the environment (PET_*)."""


def arguments(folder: Path, processes: int) -> list[str]:
    """What torchrun is told on every machine: how many processes, and to train in a folder that was laid out.

    Args:
        folder: the same on all machines.
        processes: on each machine, one a GPU.
    """
    where = ["--data", f"{folder}/data", "--artifacts", f"{folder}/artifacts", "--params", f"{folder}/params.yaml"]
    return ["--nproc-per-node", str(processes), "-m", "shoplens.cli", "train", *where]


def place_of(folder: Path, name: str) -> Path:
    """Where an input of stage train lies in a folder, or the stage's own output, by name."""
    return folder / name if name == "data" else folder / "artifacts" / name


def lay_out(folder: Path, inputs: Mapping[str, Path], params: TrainParams) -> None:
    """Make a folder in which `shoplens train` finds its inputs, as links, and its parameters.

    Args:
        folder: may exist, with inputs that were copied, or with links of an earlier try.
        inputs: those of stage train, by name.
        params: the stage's.
    """
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    write_text(folder / "params.yaml", yaml.safe_dump({"train": params.model_dump(mode="json")}))
    for name, path in inputs.items():
        place = place_of(folder, name)
        if place.is_symlink() and not place.exists():
            place.unlink()  # what an earlier try was given has gone, as a pod's folder does
        if not place.exists():
            place.symlink_to(path.resolve())


def collect(folder: Path, inputs: Mapping[str, Path], out: Path) -> None:
    """Copy what the processes wrote to where the stage's output belongs.

    Raises:
        ShoplensError: if it is not there, not whole, or was made from other inputs.
    """
    made = place_of(folder, "train")
    read_artifact(made, "train", inputs)
    with locked(out.parent / f".{out.name}.lock", f"stage train's output {out}"), replacing_folder(out) as copy:
        shutil.copytree(made, copy, dirs_exist_ok=True)


def train_in_processes(inputs: Mapping[str, Path], out: Path, params: TrainParams, processes: int) -> None:
    """Run stage train in several processes of this machine, one a GPU; batches and rate grow with their number.

    Args:
        inputs: those of stage train, by name.
        out: the folder to write.
        params: the stage's.
        processes: how many.

    Raises:
        ShoplensError: if one of them fails; its message is on standard error.
    """
    with TemporaryDirectory(dir=home(), prefix="processes-") as name:
        folder = Path(name)
        lay_out(folder, inputs, params)
        command = [sys.executable, *LAUNCHER, *ONE_MACHINE, *arguments(folder, processes)]
        with subprocess.Popen(command) as running:
            try:
                code = running.wait()
            except BaseException:
                running.terminate()  # it ends its processes; a killed one would leave them behind
                raise
        if code:
            raise ShoplensError(f"training in {processes} processes failed: the reason stands above")
        collect(folder, inputs, out)
