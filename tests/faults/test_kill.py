"""Runs that are killed at any instant and gone on with end with the same bytes as one that was not."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from chexnet.training import run_state
from faults.conftest import how_many
from faults.nursery import assert_same_outcome, config


def steps_saved(folder: Path) -> int:
    """Finished steps of the newest state; every state of the folder must be whole."""
    progresses = [run_state.load(path).progress for path in run_state.paths(folder)]
    return max((6 * one.epoch + one.step for one in progresses), default=0)


def test_killed_at_any_instant_and_gone_on_with_a_run_ends_with_the_same_bytes(
    small_data, nursery, reference, tmp_path, tally
):
    rng = np.random.default_rng(20261121)
    lost: list[int] = []
    wanted = how_many(ci=50, full=500)
    runs = count()
    while len(lost) < wanted:
        folder = tmp_path / f"run{next(runs)}" / "save"
        folder.parent.mkdir()
        counter = folder.parent / "steps"
        code = -9
        while code == -9:
            if rng.random() < 0.5:
                instant = {"die_at_event": int(rng.integers(1, reference.file_events // 2))}
            else:
                instant = {"kill_after": rng.uniform(0, reference.seconds / 2)}
            code = nursery.run(config(small_data, folder), counter=str(counter), **instant)
            if code == -9:
                saved = steps_saved(folder)
                lost.append(max(int(counter.read_text() or 0) - saved, 0) if counter.exists() else 0)
        assert code == 0, folder
        assert_same_outcome(folder, reference.folder)
    # Two steps between two states, and one more that may have been finished before the next was written.
    assert max(lost) <= 2
    tally("SIGKILL at a random instant", len(lost), len(lost), f"at most {max(lost)} steps, saved every 2")


DIES = """
import ctypes, os, signal, sys
from pathlib import Path
from chexnet.files import replacing_folder
from chexnet.files import atomic_folders

root, way, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
exchange = folders._exchange
folders._exchange = lambda *paths: way == "exchange" and exchange(*paths)
OLD, NEW = {"a": "old", "b": "old"}, {"b": "new", "c": "new"}

def write(files):
    with replacing_folder(root / "r", ("a", "b", "c")) as new:
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
        print("whole")
    elif files.items() <= OLD.items() or files.items() <= NEW.items():
        kept = {(name, text) for part in [files, *hidden] for name, text in part.items()}
        print("a part, the rest beside it" if kept >= OLD.items() | NEW.items() else f"lost: {files} {hidden}")
    else:
        print(f"mixed: {files}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="folders change places in one step on Linux only")
@pytest.mark.parametrize(
    ("way", "how", "outcomes"),
    [
        ("exchange", "SIGKILL", {"whole"}),
        ("exchange", "KeyboardInterrupt", {"whole"}),
        ("one by one", "KeyboardInterrupt", {"whole"}),
        ("one by one", "SIGKILL", {"whole", "a part, the rest beside it"}),
    ],
)
def test_a_folder_that_is_replaced_is_the_old_or_the_new_whenever_it_ends(tmp_path, tally, way, how, outcomes):
    """Ended before each thing that it does to a file, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path), way, how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()
    assert len(found) > 15
    assert set(found) == outcomes
    lost = "nothing; out of sight for an instant where folders cannot change places" if way != "exchange" else "nothing"
    tally(f"{how} while a report or export is replaced", len(found), len(found), lost)
