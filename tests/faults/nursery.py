"""Training runs in processes that tests kill.

They are forks of one process, so that hundreds of runs take minutes. They train a miniature network. It has dropout, so
that its weights depend on Paddle's random generator.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
from miniature import Miniature, small_config

from chexnet.training import run_state

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.truncate")
"""Audit events that the interpreter raises before it touches a file."""


def run(changes: Mapping[str, Any], kill_after: float | None = None, **options: Any) -> int:
    """Call `resume(None, changes)` in a new process, which is killed after `kill_after` seconds; return the exit code.

    Args:
        changes: fields of the TrainConfig.
        kill_after: None lets it end by itself.
        options: further arguments of `_train`.

    Returns:
        The exit code; if negative, the number of the signal that ended it.
    """
    process = forks.start(partial(_train, changes, **options))
    process.join(kill_after)
    process.kill()
    process.join()
    return process.exitcode


def config(root: Path, save_dir: Path) -> dict[str, Any]:
    """Return fields of a TrainConfig for three epochs of six steps, on the lists and images of `small_data`."""
    return {**vars(small_config(root, save_dir)), "epoch": 3, "decay_epochs": [1, 2], "save_every_steps": 2}


@dataclass
class Reference:
    """A run without interruption.

    Attributes:
        folder: its save_dir.
        seconds: duration.
        file_events: number of its FILE_EVENTS.
    """

    folder: Path
    seconds: float
    file_events: int


@pytest.fixture(scope="session")
def reference(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference") / "save"
    log = folder.parent / "logged.txt"
    forks.start(int).join()  # the imports of the first process are not part of the duration
    started = time.monotonic()
    assert run(config(small_data, folder), out=str(log)) == 0, log.read_text()
    return Reference(folder, time.monotonic() - started, int(log.read_text().splitlines()[-1]))


def assert_same_outcome(folder: Path, reference: Path) -> None:
    """Assert that weights, optimizer and history equal the reference bit for bit, and no temporary file remains."""
    for name in ("final.pdparams", "best_model.pdparams", "best_model.json", "final.json"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    ours, theirs = (run_state.load(run_state.paths(run)[-1]) for run in (folder, reference))
    _assert_equal(ours.optimizer, theirs.optimizer)
    assert len(ours.progress.rows) == len(theirs.progress.rows)
    for our_row, their_row in zip(ours.progress.rows, theirs.progress.rows, strict=True):
        _assert_equal({**our_row, "seconds": 0}, {**their_row, "seconds": 0})
    assert not list(folder.glob(".*.tmp-*"))
    assert not list(folder.glob("*.damaged"))


def _assert_equal(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            _assert_equal(ours[name], value)
    else:
        np.testing.assert_array_equal(ours, theirs)


def _train(
    changes: dict[str, Any],
    out: str | None = None,
    counter: str | None = None,
    die_at_event: int | None = None,
    file_limit: int | None = None,
    force: bool = False,
) -> int:
    """Run to the end and return the exit code.

    Args:
        changes: fields of the TrainConfig.
        out: file for the logged lines and, on its last line, the number of file events.
        counter: file for the number of finished training steps, updated after each step.
        die_at_event: kill this process just before this FILE_EVENT, counted from 1.
        file_limit: maximum file size in bytes; writing more fails like on a full disk.
        force: see `resume`.
    """
    from chexnet.errors import InputError, Interrupted
    from chexnet.files import write_text
    from chexnet.model.backbones import BACKBONES
    from chexnet.training import checkpoint_callback, resume, training_callbacks

    # Drawing would take most of the time. The file is written nevertheless.
    checkpoint_callback.draw_curves = lambda rows, path: write_text(path, str(len(rows)))  # type: ignore[attr-defined]
    if counter:
        _count_steps(training_callbacks.StepCallback, counter)
    BACKBONES["densenet121"] = Miniature
    events = 0

    def count(event: str, _: object) -> None:
        nonlocal events
        if event in FILE_EVENTS:
            events += 1
            if events == die_at_event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    if file_limit:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    logged = []
    try:
        resume(None, {**changes, "decay_epochs": tuple(changes["decay_epochs"])}, force, logged.append)
        code = 0
    except InputError as error:
        logged.append(str(error))
        code = 2
    except Interrupted as stop:
        logged.append(str(stop))
        code = 128 + stop.signal
    if out:
        Path(out).write_text("\n".join([*logged, str(events)]), encoding="utf-8")
    return code


def _count_steps(steps: Any, counter: str) -> None:
    uncounted = steps.on_train_batch_end
    file = os.open(counter, os.O_WRONLY | os.O_CREAT)

    def counted(self: Any, *args: Any) -> None:
        uncounted(self, *args)
        os.pwrite(file, b"%3d" % (6 * self.progress.epoch + self.progress.step), 0)

    steps.on_train_batch_end = counted
