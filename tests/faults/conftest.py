"""The number of repetitions per fault, and the table of their outcomes."""

import os
from collections.abc import Callable

import pytest

FULL = os.environ.get("CHEXNET_FAULTS") == "full"
"""True in the long run on demand (`make faults`), False in the quick run for every change."""

Tally = Callable[[str, int, int, str], None]

_COLUMNS = ("fault", "tried", "survived", "lost")
_COUNTS = pytest.StashKey[dict[tuple[str, str], tuple[int, int]]]()
"""(fault, lost) -> (tried, survived)."""


def how_many(ci: int, full: int) -> int:
    """Return the number of repetitions of a fault: `ci` in the quick run, `full` on demand."""
    return full if FULL else ci


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    """`tally(fault, tried, survived, lost)` adds to the row of a fault; `lost` describes what was lost."""
    counts = pytestconfig.stash.setdefault(_COUNTS, {})

    def add(fault: str, tried: int, survived: int, lost: str) -> None:
        before = counts.get((fault, lost), (0, 0))
        counts[fault, lost] = (before[0] + tried, before[1] + survived)

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(_COUNTS, {})
    if not counts:
        return
    rows = [(fault, f"{tried:,}", f"{survived:,}", lost) for (fault, lost), (tried, survived) in counts.items()]
    terminalreporter.section("faults")
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for fault, tried, survived, lost in (_COLUMNS, *rows):
        line = f"{fault:{widths[0]}}  {tried:>{widths[1]}}  {survived:>{widths[2]}}  {lost}"
        terminalreporter.write_line(line.rstrip())
