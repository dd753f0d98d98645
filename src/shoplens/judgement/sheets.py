"""CSV files that people write: read as text, with errors that name file, row and column."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoplens.errors import ShoplensError

VERDICTS: Mapping[str, bool] = {"yes": True, "no": False}


@dataclass(frozen=True)
class Sheet:
    """Columns of a CSV file as stripped text; `rows` are numbered as a spreadsheet shows them, the header being 1."""

    path: Path
    rows: Sequence[int]
    columns: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        """Rows below the header."""
        return len(self.rows)

    def place(self, at: int, column: str) -> str:
        """File, row and column of a cell, to begin a message with."""
        return f"{self.path}, row {self.rows[at]}, column {column}"

    def verdict(self, at: int) -> bool:
        """The cell of column `answer`: whether it says yes.

        Raises:
            ShoplensError: if it says neither yes nor no.
        """
        text = self.columns["answer"][at]
        if text.lower() not in VERDICTS:
            raise ShoplensError(f"{self.place(at, 'answer')}: {text!r} is neither yes nor no; correct it")
        return VERDICTS[text.lower()]


def read_sheet(path: Path, required: Sequence[str], optional: Mapping[str, str] | None = None) -> Sheet:
    """Read a CSV file with a header (UTF-8, commas); other columns and empty lines are ignored.

    Args:
        path: the file.
        required: columns that must be there and filled in every row.
        optional: column -> what stands for it where it is absent or empty.

    Raises:
        ShoplensError: if the file is no such CSV, a column is missing or twice, a row is longer than the
            header, a cell is empty, or there is no row.
    """
    defaults = dict(optional or {})
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ShoplensError(f"{path} is no CSV file in UTF-8 ({error}): export it again") from None
    for name in (*required, *defaults):
        if header.count(name) > 1 or (name in required and name not in header):
            found = ", ".join(header) or "nothing"
            raise ShoplensError(
                f"{path}, row 1: column {name} must stand there once, separated by commas; found: {found}"
            )
    for row, cells in lines:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise ShoplensError(
                f"{path}, row {row}: {len(cells)} cells under {len(header)} columns; put values that hold a comma "
                'between "quotes", such as unit ids with a box'
            )
    if not lines:
        raise ShoplensError(f"{path} has no rows below its header: fill it, or leave it out")
    places = {name: header.index(name) for name in (*required, *defaults) if name in header}
    texts = {name: [cells[at].strip() if at < len(cells) else "" for _, cells in lines] for name, at in places.items()}
    columns = {name: [text or defaults.get(name, "") for text in column] for name, column in texts.items()}
    columns |= {name: [value] * len(lines) for name, value in defaults.items() if name not in columns}
    sheet = Sheet(path, [row for row, _ in lines], columns)
    for name in required:
        if "" in columns[name]:
            raise ShoplensError(f"{sheet.place(columns[name].index(''), name)}: the cell is empty; fill it")
    return sheet
