"""A disk that fills up while a run writes to it, for which a limit on the size of files stands."""

import numpy as np

from chexnet.training import state
from faults.conftest import how_many
from faults.nursery import assert_same_outcome, config


def test_a_full_disk_ends_the_run_in_one_line_with_the_last_state_intact(
    small_data, nursery, reference, tmp_path, tally
):
    largest = max(path.stat().st_size for path in reference.folder.iterdir())
    rng = np.random.default_rng(4)
    tried = how_many(ci=8, full=100)
    for number in range(tried):
        folder = tmp_path / f"run{number}" / "save"
        folder.parent.mkdir()
        said = folder.parent / "said.txt"
        limit = int(rng.integers(600, largest))  # room for what is said
        assert nursery.run(config(small_data, folder), file_limit=limit, out=str(said)) == 2
        message = said.read_text().splitlines()[-2]
        assert message.startswith(str(folder))
        assert ": cannot be written: File too large" in message
        for path in state.paths(folder):
            state.load(path)
        assert not list(folder.glob(".*.tmp-*"))
        assert nursery.run(config(small_data, folder)) == 0
        assert_same_outcome(folder, reference.folder)
    tally("disk full during a save", tried, tried, "nothing that was saved")
