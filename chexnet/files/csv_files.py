"""CSV files as spreadsheets and statistics programs write them: separated by commas, semicolons or tabs."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.text_files import read_text, shorten, shorten_all

MAX_COLUMNS = 1_000_000

_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"sep=(.)")


class CsvFile:
    """A CSV file with a header; the constructor reads the header, `rows` the rest.

    The separator is the one of _DELIMITERS that divides the header into the most columns, unless the first line is one
    of Excel's such as `sep=;`, which gives it. White space around column names is ignored. Columns without a name, such
    as the row numbers of Excel and pandas, cannot be found by name.

    Args:
        path: CSV file, plain or compressed (.csv.gz).
        what: kind of file that is expected, for messages.

    Attributes:
        path: path of the file.
        header: column names.

    Raises:
        InputError: the file cannot be read as text (`text_files.read_text`), or its header is malformed.
    """

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        self.path = Path(path)
        self._name = str(path)
        text = read_text(path, what)
        first, _, rest = text.partition("\n")
        separator = _SEPARATOR_LINE.fullmatch(first.strip('" '))
        self._lines_before = 1 if separator else 0
        text = rest if separator else text
        header = text.partition("\n")[0]
        delimiter = separator[1] if separator else max(_DELIMITERS, key=partial(_count_columns, header[:MAX_COLUMNS]))
        if header.count(delimiter) >= MAX_COLUMNS:
            raise InputError(f"{path}: more than {MAX_COLUMNS:,} columns, expected a {what}")
        self._reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=True)
        self.header = [column.strip() for column in self._next() or []]
        while self.header and not self.header[-1]:  # NIH's release of 2017 and Excel have trailing commas
            self.header.pop()
        self._counts = Counter(self.header)
        self._index = {name: index for index, name in enumerate(self.header)}

    def find(self, column: str) -> int:
        """Return the index of a column; case and repeated spaces are ignored if no name matches exactly.

        Raises:
            InputError: there is no such column, or more than one.
        """
        if self._counts[column] == 1:
            return self._index[column]
        matches = [index for index, name in enumerate(self.header) if _plain(name) == _plain(column)]
        if len(matches) == 1:
            return matches[0]
        raise InputError(
            f"{self.where(1 + self._lines_before)}: {len(matches)} columns {shorten(column)}, expected one; there are "
            f"{shorten_all(self.header)}"
        )

    def where(self, line: int) -> str:
        """Return `path:line`, the beginning of a message."""
        return f"{self._name}:{line}"

    def rows(self, columns: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line number of each row and its cells in the given columns, stripped of white space.

        Empty rows are skipped.

        Raises:
            InputError: a row has another number of columns than the header, or is malformed.
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
        """Return the next row, or None at the end."""
        try:
            return next(self._reader, None)
        except csv.Error as error:
            reason = f"a cell of more than {csv.field_size_limit():,} characters" if "limit" in str(error) else error
            raise InputError(f"{self.where(self._line)}: not a CSV file: {reason}") from error


def _count_columns(header: str, delimiter: str) -> int:
    """Return the number of columns that a delimiter divides a header into; 0 if the result is malformed."""
    try:
        return len(next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), []))
    except csv.Error:
        return 0


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
