"""Jobs with and without Paddle's launcher, and lists whose last batch leaves processes without an image."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import forks
import launched_training
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from chexnet.data.lists import format_list

TIMEOUT = 600
"""Seconds after which a job counts as hanging; far more than it needs on a busy machine."""

EVERY_STEP = ("--save_every_steps", 1, "--keep_states", 99)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def two_processes(lists: Path, tmp_path_factory: pytest.TempPathFactory) -> "Job":
    """A job of two processes that saves a state after every step and is not interrupted."""
    root = tmp_path_factory.mktemp("two_processes")
    return training(root, 2, flags(lists, root / "save", "--sync_bn", *EVERY_STEP))


@pytest.fixture(scope="session")
def slow_save(lists: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Job"]:
    """A job of two processes whose first state takes 32 seconds to save. Other tests run while it waits."""
    root = tmp_path_factory.mktemp("slow_save")
    job = training(root, 2, flags(lists, root / "save", "--epoch", 1), CHEXNET_TEST_SLOW_SAVE="32")
    yield job
    job.kill()


def flags(lists: Path, save_dir: Path, *others: object) -> list[str]:
    """Return the flags of a run of three epochs of seven steps; the last batch has 6 of 24 images."""
    values = [
        *("--data_dir", lists / "images", "--train_list", lists / "train.txt", "--val_list", lists / "val.txt"),
        *("--save_dir", save_dir, "--batch_size", 24, "--epoch", 3, "--decay_epochs", 2, "--init", "random"),
        *("--optimizer", "sgd", "--learning_rate", 0.02, "--resize", 40, "--crop", 32, "--num_workers", 1),
        *("--device", "cpu", *others),
    ]
    return list(map(str, values))


def job_environment(processes: int) -> list[dict[str, str]]:
    """Return the environment variables that Paddle's launcher gives to each process of a job on CPUs."""
    if processes == 1:
        return [{}]
    master, *endpoints = free_endpoints(1 + processes)
    return [
        {
            "PADDLE_MASTER": master,
            "PADDLE_GLOBAL_SIZE": str(processes),
            "PADDLE_LOCAL_SIZE": str(processes),
            "PADDLE_GLOBAL_RANK": str(rank),
            "PADDLE_LOCAL_RANK": str(rank),
            "PADDLE_NNODES": "1",
            "PADDLE_CURRENT_ENDPOINT": endpoints[rank],
            "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints),
            "PADDLE_TRAINER_ID": str(rank),
            "PADDLE_TRAINERS_NUM": str(processes),
            "PADDLE_RANK_IN_NODE": str(rank),
            "PADDLE_DISTRI_BACKEND": "gloo",
        }
        for rank in range(processes)
    ]


def free_endpoints(count: int) -> list[str]:
    """Return addresses of this machine with ports that nobody uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{free.getsockname()[1]}" for free in sockets]


class Job:
    """One or several processes without the launcher.

    Args:
        folder: folder for the logs; created.
        work: function that every process calls, see `forks.start`.
        arguments: its argument in each process.
        environment: further environment variables.
    """

    def __init__(self, folder: Path, work: Callable[[Any], int | None], *arguments: Any, **environment: str) -> None:
        self.folder = folder
        (folder / "logs").mkdir(parents=True)
        self.processes = []
        for rank, variables in enumerate(job_environment(len(arguments))):
            log = folder / "logs" / f"workerlog.{rank}"
            self.processes.append(forks.start(work, arguments[rank], output=log, environment=variables | environment))

    @property
    def output(self) -> str:
        """Output of the first process."""
        return self.log(0)

    def log(self, rank: int) -> str:
        """Return the output of one process."""
        return (self.folder / "logs" / f"workerlog.{rank}").read_text()

    def wait_for(self, text: str) -> None:
        """Wait until process 0 has printed a text."""
        deadline = time.monotonic() + TIMEOUT
        log = self.folder / "logs" / "workerlog.0"
        while not log.exists() or text not in log.read_text():
            assert self.is_running(), self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def is_running(self) -> bool:
        """Return whether the first process, or the launcher, has not ended."""
        return self.processes[0].is_alive()

    def send(self, number: signal.Signals, rank: int) -> None:
        """Send a signal to one process."""
        os.kill(self.processes[rank].pid, number)

    def kill(self) -> None:
        """Kill the processes, or the launcher."""
        for process in self.processes:
            if process.is_alive():
                process.kill()

    def end(self) -> int:
        """Wait for the end and return the exit code, which must be the same in all processes."""
        deadline = time.monotonic() + TIMEOUT
        for process in self.processes:
            process.join(max(0, deadline - time.monotonic()))
        (code,) = {process.exitcode for process in self.processes}
        assert code is not None, self.output
        return code

    def succeed(self) -> "Job":
        """Wait for the end, which must be a success."""
        assert self.end() == 0, self.output
        return self


def training(folder: Path, processes: int, arguments: Sequence[str], **environment: str) -> Job:
    """Start train.py in one or several processes without the launcher; the arguments are those of the script."""
    return Job(folder, launched_training.main, *[arguments] * processes, **environment)


class LaunchedJob(Job):
    """Training that Paddle's launcher starts.

    Args:
        folder: folder for the output and the launcher's logs; created.
        processes: number of processes on each node.
        arguments: arguments of train.py.
        launcher: further flags of the launcher.
        environment: further environment variables.
    """

    def __init__(
        self,
        folder: Path,
        processes: int,
        arguments: Sequence[str],
        launcher: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        launch = ["-m", "paddle.distributed.launch", "--log_level", "ERROR", "--nproc_per_node", str(processes)]
        launch += ["--log_dir", str(folder / "logs"), *launcher]
        with (folder / "output").open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *launch, "tests/support/launched_training.py", *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "GLOG_minloglevel": "2", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """Output that the user of the launcher sees."""
        return (self.folder / "output").read_text()

    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()

    def send(self, number: signal.Signals, rank: int) -> None:
        for entry in Path("/proc").glob("[0-9]*"):
            variables = _read(entry / "environ").split("\0")
            if f"PADDLE_TRAINER_ID={rank}" in variables and f"PADDLE_LOG_DIR={self.folder / 'logs'}" in variables:
                os.kill(int(entry.name), number)
                return
        raise AssertionError(f"no process {rank}")

    def end(self) -> int:
        return self.process.wait(timeout=TIMEOUT)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
