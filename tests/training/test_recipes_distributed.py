"""Flags of recipes in several processes: the numbers of one process, and exact resuming."""

import numpy as np
import pytest
from faults.nursery import assert_same_outcome
from launcher import flags, training

from chexnet.model import checkpoint
from chexnet.training import run_state

SAME_STATISTICS = {
    "average": (
        *("--ema", 0.8, "--loss", "weighted_bce", "--schedule", "plateau", "--patience", 0, "--select", "loss"),
        *("--warmup_epochs", 1, "--clip_grad_norm", 0.05),
    ),
    "frozen": ("--freeze_backbone", 1, "--loss", "focal", "--accumulate", 2, "--augment", "resized_crop"),
}
"""Runs with the same statistics of batch normalization in one and in two processes."""

OWN_STATISTICS = ("--ema", 0.8, "--freeze_backbone", 1, "--optimizer", "adamw", "--augment", "affine", "--loss", "asl")
EVERY_STEPS = ("--save_every_steps", 4, "--keep_states", 99)


@pytest.fixture(scope="module")
def jobs(lists, tmp_path_factory):
    """Runs that do not depend on each other, name and number of processes -> job; they are started together."""
    root = tmp_path_factory.mktemp("jobs")

    def start(name, processes, *others):
        folder = root / f"{name}-{processes}"
        return training(folder, processes, flags(lists, folder / "save", *EVERY_STEPS, *others))

    started = {
        (name, processes): start(name, processes, *others, *(["--sync_bn"] if processes > 1 else []))
        for name, others in SAME_STATISTICS.items()
        for processes in (1, 2)
    }
    return started | {("own", 2): start("own", 2, *OWN_STATISTICS)}


@pytest.fixture(scope="module")
def folder(jobs):
    return lambda name, processes: jobs[name, processes].succeed().folder / "save"


@pytest.mark.parametrize("name", SAME_STATISTICS)
def test_two_processes_train_the_weights_of_one(folder, name):
    ours, theirs = (run_state.load(run_state.paths(folder(name, processes))[-1]) for processes in (2, 1))
    for part in ("weights", "average"):
        assert getattr(ours, part).keys() == getattr(theirs, part).keys()
        for key, value in getattr(theirs, part).items():
            np.testing.assert_allclose(getattr(ours, part)[key], value, rtol=1e-5, atol=2e-6, err_msg=key)
    assert ours.progress.best_epoch == theirs.progress.best_epoch
    for our_row, their_row in zip(ours.progress.rows, theirs.progress.rows, strict=True):
        for key in ("learning_rate", "train_loss", "val_loss"):
            assert our_row[key] == pytest.approx(their_row[key], rel=1e-5)
    metadata = [checkpoint.read_metadata_file(folder(name, n) / "final.pdparams") for n in (1, 2)]
    assert metadata[0].get("class_weights") == metadata[1].get("class_weights")


@pytest.mark.parametrize("name", [*SAME_STATISTICS, "own"])
def test_two_processes_resume_to_the_same_bytes(folder, tmp_path, name):
    """States of the first epoch, in which the backbone is frozen and the rate rises, and of the second."""
    jobs = []
    for state in ("after_epoch_00_step_000004.state", "after_epoch_01_step_000004.state"):
        arguments = ["--resume", str(folder(name, 2) / state), "--save_dir", str(tmp_path / state / "save")]
        jobs.append(training(tmp_path / state, 2, arguments))
    for job in jobs:
        assert_same_outcome(job.succeed().folder / "save", folder(name, 2))
