"""Values of ours and of references, taken in turn, and what becomes of them."""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Comparison:
    """Ours against one reference.

    Attributes:
        case: name of the case that measured it.
        ours: what was measured, in words.
        reference: what it is compared with, in words.
        unit: of the values; of `images/s` more is better, of `s` and `MB` less.
        our_values, reference_values: one for each repetition; empty if it could not be measured.
        precision: of our arithmetic, where it matters.
        note: what a reader should know, such as why nothing could be measured.
    """

    case: str
    ours: str
    reference: str
    unit: str
    our_values: tuple[float, ...]
    reference_values: tuple[float, ...]
    precision: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median divided by the reference's; None if something could not be measured."""
        if not self.our_values or not self.reference_values:
            return None
        return median(self.our_values) / median(self.reference_values)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON takes it, medians and ratio included."""
        medians = {
            f"{side}_median": median(values) if values else None
            for side, values in (("our", self.our_values), ("reference", self.reference_values))
        }
        return {**vars(self), **medians, "ratio": self.ratio}

    def __str__(self) -> str:
        if self.ratio is None:
            return f"  {self.ours}: not available: {self.note}"
        ours, reference = median(self.our_values), median(self.reference_values)
        line = f"  {self.ours} {ours:.4g} {self.unit}; {self.reference} {reference:.4g}; ratio {self.ratio:.3g}"
        return f"{line} ({self.note})" if self.note else line


def interleaved(sides: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, tuple[float, ...]]:
    """Asks every side for a value, then every side again: what disturbs the machine disturbs them all.

    Args:
        sides: each measures itself once and returns the value.
        repetitions: rounds.

    Returns:
        The values of each side in the order of the rounds.
    """
    rounds = [{name: side() for name, side in sides.items()} for _ in range(repetitions)]
    return {name: tuple(values[name] for values in rounds) for name in sides}


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """A side whose value is how long `work` takes."""

    def side() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return side


def rate(work: Callable[[], object], count: int) -> Callable[[], float]:
    """A side whose value is how many of the `count` things that `work` does it does in a second."""
    measure = seconds(work)
    return lambda: count / measure()


def in_child(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a function of a module in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def on_one_core(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a function of a module in a new process that may use one core only."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_pin) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _pin() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
