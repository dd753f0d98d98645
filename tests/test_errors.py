"""What the operating system refuses is told with a remedy."""

import subprocess
import sys

import pytest

from shoplens.errors import system_error

FILL = """
import resource, sys
import numpy as np
from shoplens.errors import system_error
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    {write}
except OSError as error:
    print(system_error(error))
"""


@pytest.mark.parametrize(
    "write",
    [
        "np.save(sys.argv[1], np.zeros(100_000))",
        "open(sys.argv[1], 'wb').write(bytes(100_000))",
    ],
    ids=["an array", "bytes"],
)
def test_a_full_disk_asks_for_room(tmp_path, write: str) -> None:
    words = [sys.executable, "-c", FILL.format(write=write), str(tmp_path / "file.npy")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "make room and run it again" in said


def test_a_path_that_cannot_be_used_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "gone").read_bytes()
    assert str(tmp_path / "gone") in str(system_error(caught.value))


def test_an_error_without_a_path_is_not_the_user_s() -> None:
    assert system_error(OSError("broken")) is None
