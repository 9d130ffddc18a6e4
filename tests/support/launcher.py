"""Jobs that Paddle's launcher starts, and lists whose last batch leaves processes without an image."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from chexnet.data.lists import format_list

TIMEOUT = 600
"""Seconds after which a job counts as hanging; far more than it needs on a busy machine."""

SCRIPT = "tests/support/launched_training.py"


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/, and lists of 150 training and 43 validation images with random labels."""
    root = tmp_path_factory.mktemp("lists")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 150), ("val", 43)):
        names, labels = [f"{split}{index}.png" for index in range(count)], rng.integers(0, 2, (count, 14))
        for name, positive in zip(names, labels[:, 0], strict=True):
            pixels = rng.integers(0, 156, (44, 44), dtype=np.uint8) + np.uint8(99 * positive)
            Image.fromarray(pixels).save(root / "images" / name)
        (root / f"{split}.txt").write_text(format_list(names, labels))
    return root


def flags(lists: Path, save_dir: Path, *others: object) -> list[str]:
    """Return the flags of a run of three epochs of seven steps; the last batch has 6 of 24 images."""
    values = [
        *("--data_dir", lists / "images", "--train_list", lists / "train.txt", "--val_list", lists / "val.txt"),
        *("--save_dir", save_dir, "--batch_size", 24, "--epoch", 3, "--decay_epochs", 2, "--init", "random"),
        *("--optimizer", "sgd", "--learning_rate", 0.02, "--resize", 40, "--crop", 32, "--num_workers", 1),
        *("--device", "cpu", *others),
    ]
    return list(map(str, values))


class Job:
    """A script that runs in several processes, or in one without the launcher.

    Args:
        folder: folder for its output and the launcher's logs; created.
        processes: number of processes on each node.
        arguments: arguments of the script.
        launcher: further flags of the launcher.
        script: the script.
        environment: further environment variables.
    """

    def __init__(
        self,
        folder: Path,
        processes: int,
        arguments: Sequence[str],
        launcher: Sequence[str] = (),
        script: str = SCRIPT,
        **environment: str,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        launch = ["-m", "paddle.distributed.launch", "--log_level", "ERROR", "--nproc_per_node", str(processes)]
        launch += ["--log_dir", str(folder / "logs"), *launcher]
        command = [sys.executable, *(launch if processes > 1 or launcher else []), script, *arguments]
        with (folder / "output").open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """Output that the user of the launcher sees."""
        return (self.folder / "output").read_text()

    def log(self, rank: int) -> str:
        """Return the output of one process."""
        return (self.folder / "logs" / f"workerlog.{rank}").read_text()

    def wait_for(self, text: str) -> None:
        """Wait until process 0 has printed a text."""
        deadline = time.monotonic() + TIMEOUT
        log = self.folder / "logs" / "workerlog.0"
        while not log.exists() or text not in log.read_text():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def send(self, number: signal.Signals, rank: int) -> None:
        """Send a signal to one process."""
        for entry in Path("/proc").glob("[0-9]*"):
            variables = _read(entry / "environ").split("\0")
            if f"PADDLE_TRAINER_ID={rank}" in variables and f"PADDLE_LOG_DIR={self.folder / 'logs'}" in variables:
                os.kill(int(entry.name), number)
                return
        raise AssertionError(f"no process {rank}")

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(timeout=TIMEOUT)

    def succeed(self) -> "Job":
        """Wait for the end, which must be a success."""
        assert self.end() == 0, self.output
        return self


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
