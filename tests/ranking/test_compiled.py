"""Compiled loops run also where nothing may be written."""

import shutil
import subprocess
import sys
from pathlib import Path

import shoplens.ranking.compiled

MODULE = """
from compiled import compiled, reassociating

@compiled
def double(value):
    return 2 * value

@reassociating
def total(values):
    sum = 0.0
    for value in values:
        sum += value
    return sum
"""


def test_without_a_place_to_keep_machine_code_it_is_compiled_each_time(tmp_path: Path) -> None:
    shutil.copy(shoplens.ranking.compiled.__file__, tmp_path / "compiled.py")
    (tmp_path / "loops.py").write_text(MODULE)
    # files where numba would make folders: not even the super-user can
    (tmp_path / "__pycache__").touch()
    (tmp_path / "home").touch()
    script = "import numpy, loops; print(loops.double(4), loops.total(numpy.ones(3)))"
    environment = {"HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1", "IPYTHONDIR": str(tmp_path / "home")}
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert said.stdout == "8 3.0\n", said.stderr
