"""Call a function in a new process that may crash or hang, and collect its results so far."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chexnet.files import temporary_folder

_ROOT = Path(__file__).parent.parent.parent

_CALL = """
import importlib, json, sys
module, name, argument, path = sys.argv[1:]
with open(path, "w") as results:
    for values in getattr(importlib.import_module(module), name)(*json.loads(argument)):
        results.write(json.dumps(values) + "\\n")
        results.flush()
"""


@dataclass(frozen=True)
class ChildResult:
    """The outcome of a call.

    Attributes:
        values: all results that the function yielded, in one dictionary.
        failure: reason why it did not finish, in one line; empty if it did.
    """

    values: dict[str, Any]
    failure: str


def call_in_child(function: str, *arguments: Any, timeout: float) -> ChildResult:
    """Call a generator function that yields dictionaries for JSON, in a new Python process.

    Args:
        function: `module:name` of the function.
        arguments: its arguments, values for JSON.
        timeout: seconds after which the process is killed.
    """
    module, _, name = function.partition(":")
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    variables = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    with temporary_folder() as folder:
        results = folder / "results"
        command = [sys.executable, "-c", _CALL, module, name, json.dumps(arguments), str(results)]
        try:
            failure = _failure(run_limited(command, timeout, variables))
        except subprocess.TimeoutExpired:
            failure = f"no answer within {timeout:g} s"
        return ChildResult(_values(results), failure)


def run_limited(
    command: Sequence[str], timeout: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program with a time limit and return its exit code and output.

    Unlike `subprocess.run`, it does not wait for the end of a program that it killed: one that hangs in a driver cannot
    be killed.

    Raises:
        OSError: the program cannot be started.
        subprocess.TimeoutExpired: it takes longer than `timeout` seconds.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        if sys.platform != "win32":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the programs that it started
        else:
            process.kill()
        raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _values(results: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else ():
        try:
            values |= json.loads(line)
        except ValueError:  # cut off when the process was killed
            break
    return values


def _failure(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode >= 0:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        return (lines[-1] if lines else f"exit code {done.returncode}")[:300] if done.returncode else ""
    try:
        return f"crashed with {signal.Signals(-done.returncode).name}"
    except ValueError:
        return f"crashed with signal {-done.returncode}"
