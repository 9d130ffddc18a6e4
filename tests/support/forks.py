"""Processes that begin with everything imported: forks of a server, which imports it once in a test session.

Importing takes two seconds of a processor, a fork a few hundredths of a second.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess

IMPORTED = ("matplotlib.figure", "launched_training", "sync_batch_norm_part", "faults.nursery")


def start(
    work: Callable[..., int | None],
    *arguments: Any,
    output: Path | str = os.devnull,
    environment: Mapping[str, str] | None = None,
) -> "ForkServerProcess":
    """Start a process that calls a function of one of the modules IMPORTED and ends with its exit code.

    Args:
        work: the function.
        arguments: its arguments.
        output: file for standard output and standard error.
        environment: environment variables, in addition to those of the test session at the first call.
    """
    process = _context().Process(target=_run, args=(work, arguments, str(output), dict(environment or {})), daemon=True)
    process.start()
    return process


@cache
def _context() -> "ForkServerContext":
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    from multiprocessing import forkserver

    forkserver.set_forkserver_preload(list(IMPORTED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("GLOG_minloglevel", "2")  # read by Paddle's compiled code at import
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


def _run(work: Callable[..., int | None], arguments: tuple[Any, ...], output: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.exit(work(*arguments))
