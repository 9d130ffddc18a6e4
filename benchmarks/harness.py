"""Measurements of this library and of baselines, taken alternately, and their comparison."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Comparison:
    """This library compared with one reference.

    Attributes:
        case: name of the benchmark case.
        ours: description of what was measured.
        reference: description of what it is compared with.
        unit: unit of the values; more is better for `images/s`, less for `s` and `MB`.
        our_values: one value per repetition; empty if it could not be measured.
        reference_values: one value per repetition; empty if it could not be measured.
        precision: floating-point precision of this library, where it matters.
        note: remark for the reader, such as why nothing could be measured.
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
        """Our median divided by the reference's; None if one of them could not be measured."""
        if not self.our_values or not self.reference_values:
            return None
        return median(self.our_values) / median(self.reference_values)

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes, medians and ratio as values for JSON."""
        medians = {
            f"{name}_median": median(values) if values else None
            for name, values in (("our", self.our_values), ("reference", self.reference_values))
        }
        return {**vars(self), **medians, "ratio": self.ratio}

    def __str__(self) -> str:
        if self.ratio is None:
            return f"  {self.ours}: not available: {self.note}"
        ours, reference = median(self.our_values), median(self.reference_values)
        line = f"  {self.ours} {ours:.4g} {self.unit}; {self.reference} {reference:.4g}; ratio {self.ratio:.3g}"
        return f"{line} ({self.note})" if self.note else line


def interleaved(candidates: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, tuple[float, ...]]:
    """Measure every candidate once, then again, so that other work on the machine affects all of them.

    Args:
        candidates: functions that measure once and return the value.
        repetitions: number of rounds.

    Returns:
        The values of each candidate in the order of the rounds.
    """
    rounds = [{name: candidate() for name, candidate in candidates.items()} for _ in range(repetitions)]
    return {name: tuple(values[name] for values in rounds) for name in candidates}


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """Return a candidate that measures the duration of `work` in seconds."""

    def candidate() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return candidate


def rate(work: Callable[[], object], count: int) -> Callable[[], float]:
    """Return a candidate that measures the rate of `work`, which processes `count` items: items per second."""
    measure = seconds(work)
    return lambda: count / measure()


def in_subprocess(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of a module in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def process_with_threads(threads: int) -> Iterator[Callable[..., Any]]:
    """Yield a function that calls a function of a module, with its arguments, in one process with OMP_NUM_THREADS set.

    Libraries read the variable when they are loaded, so the process of the benchmarks cannot change its own.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        try:
            pool.submit(os.getpid).result()
        finally:
            del os.environ["OMP_NUM_THREADS"]
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before
        yield lambda *call: pool.submit(*call).result()


def on_one_core(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of a module in a new process that may use one core only."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_pin) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _pin() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
