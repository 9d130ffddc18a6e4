"""Runs killed at any instant: resumed, they end with the same bytes as an uninterrupted run."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from chexnet.training import run_state
from faults import nursery
from faults.conftest import how_many
from faults.nursery import assert_same_outcome, config


def steps_saved(folder: Path) -> int:
    """Return the number of finished steps in the newest state; loads every state of the folder."""
    progresses = [run_state.load(path).progress for path in run_state.paths(folder)]
    return max((6 * progress.epoch + progress.step for progress in progresses), default=0)


def test_a_run_killed_at_any_instant_and_resumed_ends_with_the_same_bytes(small_data, reference, tmp_path, tally):
    rng = np.random.default_rng(20261121)
    lost: list[int] = []
    n_kills = how_many(ci=50, full=500)
    runs = count()
    while len(lost) < n_kills:
        folder = tmp_path / f"run{next(runs)}" / "save"
        folder.parent.mkdir()
        counter = folder.parent / "steps"
        code = -9
        while code == -9:
            if len(lost) == n_kills:
                instant = {}
            elif rng.random() < 0.5:
                instant = {"die_at_event": int(rng.integers(1, reference.file_events // 2))}
            else:
                instant = {"kill_after": rng.uniform(0, reference.seconds / 2)}
            code = nursery.run(config(small_data, folder), counter=str(counter), **instant)
            if code == -9:
                saved = steps_saved(folder)
                lost.append(max(int(counter.read_text() or 0) - saved, 0) if counter.exists() else 0)
        assert code == 0, folder
        assert_same_outcome(folder, reference.folder)
    # A state is saved every two steps; a kill between a step and its state loses at most two.
    assert max(lost) <= 2
    tally("SIGKILL at a random instant", len(lost), len(lost), f"at most {max(lost)} steps, saved every 2")


KILLED_REPLACEMENT = """
import ctypes, os, signal, sys
from pathlib import Path
from chexnet.files import atomic_directory, atomic_folders

root, way, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
exchange = atomic_folders._exchange
atomic_folders._exchange = lambda *paths: way == "exchange" and exchange(*paths)
OLD, NEW = {"a": "old", "b": "old"}, {"b": "new", "c": "new"}

def write(files):
    with atomic_directory(root / "r", ("a", "b", "c")) as new:
        for name, text in files.items():
            (new / name).write_text(text)

def found(folder):
    return {path.name: path.read_text() for path in folder.glob("[a-z]")}

def die_at(event_number):
    events = 0
    def count(event, _):
        nonlocal events
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "ctypes.dlopen", "ctypes.dlsym"):
            events += 1
            if events == event_number:
                if how == "SIGKILL":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
    sys.addaudithook(count)

number = 0
code = -1
while code != 0:
    number += 1
    write(OLD)
    child = os.fork()
    if child == 0:
        die_at(number)
        try:
            write(NEW)
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    files, hidden = found(root / "r"), [found(folder) for folder in root.rglob(".r.tmp-*/*")]
    if files in (OLD, NEW):
        print("complete")
    elif files.items() <= OLD.items() or files.items() <= NEW.items():
        kept = {(name, text) for part in [files, *hidden] for name, text in part.items()}
        complete = kept >= OLD.items() | NEW.items()
        print("incomplete, the rest in a hidden folder" if complete else f"lost: {files} {hidden}")
    else:
        print(f"mixed: {files}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can exchange folders in one step")
@pytest.mark.parametrize(
    ("way", "how", "outcomes"),
    [
        ("exchange", "SIGKILL", {"complete"}),
        ("exchange", "KeyboardInterrupt", {"complete"}),
        ("one by one", "KeyboardInterrupt", {"complete"}),
        ("one by one", "SIGKILL", {"complete", "incomplete, the rest in a hidden folder"}),
    ],
)
def test_a_replaced_folder_is_the_old_or_the_new_one_whenever_the_process_ends(tmp_path, tally, way, how, outcomes):
    """The process ends before each of its file operations, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_REPLACEMENT, str(tmp_path), way, how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()
    assert len(found) > 15
    assert set(found) == outcomes
    lost = (
        "nothing; files are hidden for an instant where folders cannot be exchanged" if way != "exchange" else "nothing"
    )
    tally(f"{how} while a report or export is replaced", len(found), len(found), lost)
