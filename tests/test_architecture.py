"""Imports run downwards, and what must start fast imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "shoplens"
FLOOR = ("errors", "files", "artifacts", "home", "strict", "progress", "params")
# each package may import those before it
ORDER = (
    "contract",
    "world",
    "importers",
    "data",
    "models",
    "training",
    "ranking",
    "retrieval",
    "evaluation",
    "judgement",
    "promotion",
    "serving",
    "report",
    "ci",
    "drift",
)
HEAVY = ("torch", "mlflow", "great_expectations", "kfp", "matplotlib", "pandas", "sklearn", "tritonclient", "pyarrow")


def imports_of(path: Path) -> set[str]:
    """Packages and modules of shoplens that a file imports, at module level or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("shoplens.")}
    return found


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    below = {*FLOOR, *ORDER[: ORDER.index(package) + 1]}
    for path in (SOURCE / package).rglob("*.py"):
        assert imports_of(path) <= below, path


@pytest.mark.parametrize("package", ["contract", "world"])
def test_contract_and_world_know_nobody(package: str) -> None:
    for path in (SOURCE / package).rglob("*.py"):
        # The contact sheet draws photos for docs/world.md as a reader of the contract sees them; nothing imports it.
        allowed = {"contract"} if path.name == "sheet.py" else set()
        assert imports_of(path) <= {*FLOOR, package, *allowed}, path


def test_the_floor_knows_nobody() -> None:
    for name in FLOOR:
        assert imports_of(SOURCE / f"{name}.py") <= set(FLOOR), name


def test_nobody_imports_the_command_line() -> None:
    for path in SOURCE.rglob("*.py"):
        assert "cli" not in imports_of(path), path


def test_the_gate_knows_only_numbers() -> None:
    assert imports_of(SOURCE / "promotion" / "gate.py") <= {"promotion", "evaluation", *FLOOR}


@pytest.mark.parametrize("module", ["shoplens.cli", "shoplens.stages", "shoplens.promotion.policy"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}} & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
