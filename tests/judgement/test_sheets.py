"""CSV files as people and their programs write them: what is meant is read, what is wrong is named."""

from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.judgement.sheets import read_sheet


def test_a_sheet_is_read_by_column_names_and_rows_are_numbered_as_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes('\ufeff answer , worker,extra\r\nyes, Ann ,1\r\n\r\n no,"Bo,\r\nb"\r\nyes,Cy,,\r\n'.encode())
    sheet = read_sheet(file, ("worker", "answer"), {"job": "1", "extra": "none"})
    assert sheet.columns == {
        "worker": ["Ann", "Bo,\r\nb", "Cy"],
        "answer": ["yes", "no", "yes"],
        "job": ["1", "1", "1"],
        "extra": ["1", "none", "none"],
    }
    assert list(sheet.rows) == [2, 5, 6]
    assert sheet.place(2, "worker") == f"{file}, row 6, column worker"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "row 1: column worker must stand there once, separated by commas; found: nothing"),
        (b"worker;answer\nAnn;yes\n", "found: worker;answer"),
        (b"worker,answer,worker\nAnn,yes,Bo\n", "row 1: column worker must stand there once"),
        (b"worker,answer,job,job\nAnn,yes,1,2\n", "row 1: column job must stand there once"),
        (b"worker,answer\n\n", "has no rows below its header"),
        (b"worker,answer\nAnn\n", "row 2, column answer: the cell is empty"),
        (b"worker,answer\nAnn,yes,no\n", "row 2: 3 cells under 2 columns"),
        (b"worker,answer\n\xff,yes\n", "is no CSV file in UTF-8"),
    ],
)
def test_what_is_no_such_sheet_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(ShoplensError) as error:
        read_sheet(file, ("worker", "answer"), {"job": "1"})
    assert str(error.value).startswith(str(file))
    assert said in str(error.value)
