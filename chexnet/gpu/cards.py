"""Find NVIDIA cards and their driver, through `nvidia-smi` and Linux's list of PCI devices."""

import csv
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chexnet.gpu.child import run_limited

TIMEOUT = 15.0
"""Seconds to wait for `nvidia-smi`, which loads the driver if no program uses it."""

PCI_DEVICES = Path("/sys/bus/pci/devices")

_FIELDS = ("index", "name", "memory.free", "memory.total", "driver_version")

Capability = tuple[int, int]
"""Compute capability, major and minor."""


@dataclass(frozen=True)
class Card:
    """A card as `nvidia-smi` describes it.

    Attributes:
        index: its number in `nvidia-smi`.
        name: its product name.
        capability: compute capability; None if the driver is too old to report it.
        memory: free and total memory in MiB; None if it is not reported, as on cards that are partitioned.
    """

    index: str
    name: str
    capability: Capability | None
    memory: tuple[int, int] | None

    def __str__(self) -> str:
        capability = f"compute capability {self.capability[0]}.{self.capability[1]}" if self.capability else ""
        memory = f"{self.memory[0] / 1024:.1f} of {self.memory[1] / 1024:.1f} GiB free" if self.memory else ""
        return ", ".join(filter(None, (f"{self.index}: {self.name}", capability, memory)))


@dataclass(frozen=True)
class Cards:
    """The cards of this machine.

    Attributes:
        driver: version of the driver; empty if it does not answer.
        cards: the cards in the order of `nvidia-smi`.
        problem: reason why there are none; empty if there are.
        plugged_in: number of NVIDIA display controllers on the PCI bus, with or without a driver.
    """

    driver: str
    cards: tuple[Card, ...]
    problem: str
    plugged_in: int

    @property
    def driver_major(self) -> int | None:
        """First number of the driver's version, which determines the versions of CUDA that it runs."""
        found = re.match(r"\d+", self.driver)
        return int(found.group()) if found else None


def find_cards(timeout: float = TIMEOUT) -> Cards:
    """Return the cards and the driver. It raises nothing: `problem` describes any failure."""
    plugged_in = _plugged_in()
    try:
        try:
            rows = _query((*_FIELDS, "compute_cap"), timeout)
        except _FieldError:  # drivers before 510
            rows = [[*row, ""] for row in _query(_FIELDS, timeout)]
    except FileNotFoundError:
        return Cards("", (), "nvidia-smi is not installed or not on PATH", plugged_in)
    except subprocess.TimeoutExpired:
        return Cards("", (), f"nvidia-smi did not answer within {timeout:g} s", plugged_in)
    except (OSError, ValueError) as error:
        return Cards("", (), f"nvidia-smi: {error}", plugged_in)
    return Cards(rows[0][4] if rows else "", tuple(map(_card, rows)), "" if rows else "nvidia-smi: none", plugged_in)


class _FieldError(ValueError):
    """`nvidia-smi` does not know one of the fields."""


def _query(fields: Iterable[str], timeout: float) -> list[list[str]]:
    """Return one row of texts per card. Raises ValueError with the first line of an output that is not a table."""
    fields = tuple(fields)
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    done = run_limited(command, timeout)
    output = done.stdout.decode(errors="replace")
    first = (output.strip() or done.stderr.decode(errors="replace").strip() or "no output").splitlines()[0][:120]
    if "not a valid field" in first:
        raise _FieldError(first)
    if done.returncode:
        raise ValueError(first)
    try:
        rows = [[text.strip() for text in row] for row in csv.reader(output.splitlines()) if row]
    except csv.Error:  # a null byte, before Python 3.11
        rows = [[first]]
    if any(len(row) != len(fields) or not row[0].isdecimal() for row in rows):
        raise ValueError(f"expected {len(fields)} values per card, found {first!r}")
    return rows


def _card(row: list[str]) -> Card:
    index, name, free, total, _, capability = row
    found = re.fullmatch(r"(\d+)\.(\d+)", capability)
    memory = (int(free), int(total)) if free.isdecimal() and total.isdecimal() else None
    return Card(index, name, (int(found[1]), int(found[2])) if found else None, memory)


def _plugged_in() -> int:
    count = 0
    with suppress(OSError):
        for device in PCI_DEVICES.iterdir():
            with suppress(OSError):
                vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
                count += vendor == "0x10de" and kind.startswith("0x03")
    return count
