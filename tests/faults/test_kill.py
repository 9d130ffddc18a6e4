"""Runs that are killed at any instant and gone on with end with the same bytes as one that was not."""

from itertools import count
from pathlib import Path

import numpy as np

from chexnet.training import state
from faults.conftest import how_many
from faults.nursery import assert_same_outcome, config


def steps_saved(folder: Path) -> int:
    """Finished steps of the newest state; every state of the folder must be whole."""
    progresses = [state.load(path).progress for path in state.paths(folder)]
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
