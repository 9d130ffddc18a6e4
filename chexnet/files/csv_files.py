"""CSV files as spreadsheets and statistics programs write them: separated by commas, semicolons or tabs."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.text_files import read_text, shorten, shorten_all

MAX_COLUMNS = 1_000_000

_DELIMITERS = (",", ";", "\t", "|")
_EXCELS_FIRST_LINE = re.compile(r"sep=(.)")


class CsvFile:
    """A CSV file, its header read, its rows to be.

    The separator is the one of _DELIMITERS that divides the header into most columns, or what a first line such as
    `sep=;` says, as Excel writes it. White space around the names of columns does not count. Columns without a name, as
    Excel's and pandas' row numbers have, are left alone.

    Args:
        path: the file, as it is or as .csv.gz, with a header.
        what: it is expected to be, for messages.

    Attributes:
        path: the file.
        header: the names of its columns.

    Raises:
        InputError: it cannot be read as text (`text_files.read_text`), or its header is torn.
    """

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        self.path = Path(path)
        self._name = str(path)
        text = read_text(path, what)
        first, _, rest = text.partition("\n")
        said = _EXCELS_FIRST_LINE.fullmatch(first.strip('" '))
        self._lines_before = 1 if said else 0
        text = rest if said else text
        header = text.partition("\n")[0]
        delimiter = said[1] if said else max(_DELIMITERS, key=lambda one: _columns(header[:MAX_COLUMNS], one))
        if header.count(delimiter) >= MAX_COLUMNS:
            raise InputError(f"{path}: more than {MAX_COLUMNS:,} columns, expected a {what}")
        self._reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=True)
        self.header = [column.strip() for column in self._next() or []]
        while self.header and not self.header[-1]:  # as NIH's release of 2017 has one, and Excel's trailing commas
            self.header.pop()
        self._times = Counter(self.header)
        self._index = {name: index for index, name in enumerate(self.header)}

    def find(self, column: str) -> int:
        """Where a column stands, counted from 0; upper and lower case and doubled spaces do not count.

        Raises:
            InputError: it is there not at all or more than once.
        """
        if self._times[column] == 1:
            return self._index[column]
        alike = [index for index, name in enumerate(self.header) if _plain(name) == _plain(column)]
        if len(alike) == 1:
            return alike[0]
        raise InputError(
            f"{self.where(1 + self._lines_before)}: {len(alike)} columns {shorten(column)}, expected one; there are "
            f"{shorten_all(self.header)}"
        )

    def where(self, line: int) -> str:
        """For the beginning of a message."""
        return f"{self._name}:{line}"

    def rows(self, columns: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, and its cells of some columns without white space around them.

        Rows without any text are left out.

        Raises:
            InputError: a row has other numbers of columns than the header, or is torn.
        """
        width = len(self.header)
        line = self._line + 1
        while (row := self._next()) is not None:
            if any(row):
                if len(row) != width and (len(row) < width or any(row[width:])):
                    raise InputError(f"{self.where(line)}: {len(row)} columns, expected {width} as in the header")
                yield line, [row[column].strip() for column in columns]
            line = self._line + 1

    @property
    def _line(self) -> int:
        return self._reader.line_num + self._lines_before

    def _next(self) -> list[str] | None:
        """The next row, None at the end."""
        try:
            return next(self._reader, None)
        except csv.Error as error:
            reason = f"a cell of more than {csv.field_size_limit():,} characters" if "limit" in str(error) else error
            raise InputError(f"{self.where(self._line)}: not a CSV file: {reason}") from error


def _columns(header: str, delimiter: str) -> int:
    """How many columns a delimiter makes of a header; 0 if it makes none that can be."""
    try:
        return len(next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), []))
    except csv.Error:
        return 0


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
