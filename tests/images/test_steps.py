"""The steps of the images of tasks and of MLflow, run in a bare folder: what COPY brings and RUN makes of it.

There is no engine: what takes root is left out (apt-get, useradd), and setup's uv and Python stand for the base's.
MLflow's packages are installed; those of tasks, several gigabytes, are this environment's, and the serving environment
is only imported.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
from images.dockerfile import let_in, steps

from shoplens.kubeflow.settings import RECIPES

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "images" / "train.Dockerfile"
MLFLOW = ROOT / "images" / "mlflow.Dockerfile"
LEFT_OUT = ("pip install --no-cache-dir uv==", "apt-get ", "rm -rf /var/lib/apt", "useradd ")
IMAGE = "registry.example.com/shoplens@sha256:" + 64 * "a"


def tracked(*under: str) -> list[str]:
    """Files of the repository, new ones as well."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *under]
    listed = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in filter(None, listed.split("\0")) if (ROOT / name).is_file())


def copy(sources: list[Path], target: Path) -> None:
    """Docker's COPY: of a folder its content, and into a folder if there is more than one source."""
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        elif len(sources) > 1 or target.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / source.name)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


class Build:
    """A build in folders: what stands for / of the stage at hand, the finished stages, and the context."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.context = folder / "context"
        self.done: dict[str, Path] = {}
        self.stage = ""
        self.at = "/"

    def place(self, path: str) -> Path:
        """Where an absolute path of the image, or one of its working folder, lies."""
        return self.root / os.path.join(self.at, path).lstrip("/")  # noqa: PTH118  an absolute path wins

    def step(self, name: str, text: str) -> None:
        if name == "FROM":
            if self.stage:
                self.done[self.stage] = self.root.with_name(self.stage)
                self.root.rename(self.done[self.stage])  # a later stage has only what it copies, at the same paths
            self.stage, self.at = text.rpartition(" AS ")[2], "/"
            self.root.mkdir()
        elif name == "WORKDIR":
            self.at = text
            self.place(text).mkdir(parents=True)
        elif name == "COPY":
            stage = re.match(r"--from=(\S+) ", text)
            *sources, target = text.split()[1:] if stage else text.split()
            base = self.done[stage[1]] if stage else self.context
            copy([base / source.lstrip("/") for source in sources], self.place(target))
        elif name == "RUN":
            for command in text.split(" && "):
                if not command.strip().startswith(LEFT_OUT):
                    self.run(command.strip())

    def run(self, command: str) -> None:
        if command.startswith("uv pip sync --python /opt/shoplens "):
            assert self.place("requirements.lock").is_file()
            [packages] = self.place("/opt/shoplens/lib").glob("python3.*/site-packages")
            (packages / "here.pth").write_text(f"{site.getsitepackages()[0]}\n")
            return
        if "serving_python()" in command:
            command = command.replace("; serving_python()", "")  # the import alone
            self.place("/opt/serving").mkdir()
        script = re.sub(r"(?<=[ =])/(opt|build)/", rf"{self.root}/\1/", command)
        self.call(["sh", "-ec", script], f"{Path(sys.executable).parent}:{ROOT / '.uv' / 'bin'}:{os.environ['PATH']}")

    def call(self, command: list[str], path: str) -> str:
        kept = {name: os.environ[name] for name in os.environ if name.startswith(("UV_", "PIP_", "SSL_", "HOME"))}
        variables = {**kept, "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=self.place(self.at), env=variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def built(dockerfile: Path, folder: Path) -> Build:
    build = Build(folder)
    for name in let_in(Path(f"{dockerfile}.dockerignore"), tracked()):
        copy([ROOT / name], build.context / name)
    for name, text in steps(dockerfile):
        build.step(name, text)
    return build


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The tasks' image."""
    return built(DOCKERFILE, tmp_path_factory.mktemp("build"))


def inside(image: Build, *command: str) -> str:
    """What a command says that runs in the image as a task does."""
    return image.call(list(command), f"{image.place('/opt/shoplens/bin')}:/usr/bin:/bin")


@pytest.mark.slow
def test_the_package_in_the_image_is_whole(image: Build) -> None:
    where = inside(image, "python", "-c", "import shoplens; print(shoplens.__path__[0])").strip()
    assert where.startswith(str(image.place("/opt/shoplens")))
    # requirements.in is only what the lock beside it was made from
    parts = [name.removeprefix("src/") for name in tracked("src/shoplens") if not name.endswith(".in")]
    assert [part for part in parts if not (Path(where).parent / part).is_file()] == []


@pytest.mark.slow
def test_the_commands_of_tasks_start_in_the_image(image: Build) -> None:
    assert "usage: shoplens" in inside(image, "shoplens", "--help")
    inside(image, "python", "-c", "import shoplens.kubeflow.component, shoplens.stages")


@pytest.mark.slow
def test_the_image_compiles_its_own_pipeline(image: Build) -> None:
    script = str(image.place("/opt/pipeline/pipeline.py"))
    inside(image, "python", script, "compile", "--image", IMAGE, "--out", "pipeline.yaml")
    assert IMAGE in image.place("pipeline.yaml").read_text()


@pytest.mark.slow
def test_every_recipe_is_in_the_image(image: Build) -> None:
    [variables] = [text for name, text in steps(DOCKERFILE)[-5:] if name == "ENV"]
    [folder] = re.findall(rf"{RECIPES}=(\S+)", variables)
    here = [Path(name).name for name in tracked("recipes")]
    assert sorted(path.name for path in image.place(folder).iterdir()) == here


@pytest.mark.slow
def test_the_image_of_mlflow_has_its_server_its_database_s_driver_and_its_storage_s(tmp_path: Path) -> None:
    image = built(MLFLOW, tmp_path)
    python = str(image.place("/opt/mlflow/bin/python"))
    versions = image.call([python, "-c", "import boto3, mlflow, psycopg2; print(mlflow.__version__)"], "/usr/bin:/bin")
    [pinned] = re.findall(r"^mlflow==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert versions.split() == [pinned]
