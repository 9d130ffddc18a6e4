"""Signals to the scripts, and two runs in one folder."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

from chexnet.model import CheXNet, checkpoint

if os.name == "nt":
    pytest.skip("Windows ends a process at once instead of sending it a signal", allow_module_level=True)

TIMEOUT = 600
"""Seconds after which a process counts as hanging; far more than it needs on a busy machine."""


class Training:
    """train.py in a separate process; its output goes to a file, like on a cluster.

    Drawing the curves after an epoch takes most of the time, so that a signal arrives before the last epoch ends.
    """

    def __init__(self, root: Path, save_dir: Path, *flags: str, log: str = "log") -> None:
        self.log = save_dir.parent / log
        self.flags = [
            *("--data_dir", root / "images", "--train_list", root / "train.txt", "--val_list", root / "val.txt"),
            *("--save_dir", save_dir, "--batch_size", 2, "--epoch", 6, "--decay_epochs", 1, "--init", "random"),
            *("--resize", 40, "--crop", 32, "--device", "cpu", "--num_workers", 1, "--backbone", "lenet", *flags),
        ]
        self.begin(self.flags)

    def begin(self, flags) -> None:
        command = [sys.executable, "-u", ROOT / "train.py", *flags]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def end(self) -> int:
        return self.process.wait(timeout=TIMEOUT)


@pytest.fixture(scope="module")
def reference(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "save"
    training = Training(small_data, folder)
    assert training.end() == 0, training.log.read_text()
    return folder


@pytest.mark.parametrize(
    ("number", "code", "moment"),
    [(signal.SIGTERM, 143, "Epoch 2/6"), (signal.SIGINT, 130, "Eval begin"), (signal.SIGTERM, 143, "Epoch 1/6")],
)
def test_a_signal_ends_the_run_after_the_step_with_a_saved_state_and_the_command_to_resume(
    small_data, reference, tmp_path, number, code, moment
):
    training = Training(small_data, tmp_path / "save")
    training.wait_for(moment)
    training.process.send_signal(number)
    assert training.end() == code
    output = training.log.read_text()
    assert f"=> {number.name}: " in output
    last = output.splitlines()[-1]
    assert last.startswith(f"{number.name}: stopped at ")
    command = last.split(": python ")[1].split()
    assert command == ["train.py", "--resume", "--save_dir", str(tmp_path / "save")]
    assert "Traceback" not in output

    training.begin(command[1:])
    assert training.end() == 0, training.log.read_text()
    assert "=> resuming from " in training.log.read_text()
    for name in ("final.pdparams", "best_model.pdparams"):
        assert (tmp_path / "save" / name).read_bytes() == (reference / name).read_bytes()


def test_a_second_ctrl_c_quits_immediately_and_keeps_the_saved_states(small_data, tmp_path):
    """A step of the real network, and saving it, take long enough for the second signal."""
    training = Training(small_data, tmp_path / "save", "--backbone", "densenet121")
    training.wait_for("Epoch 1/6")
    # While it is stopped, the process cannot finish its step between the two signals.
    training.process.send_signal(signal.SIGSTOP)
    training.process.send_signal(signal.SIGTERM)
    training.process.send_signal(signal.SIGCONT)
    training.wait_for("=> SIGTERM")
    training.process.send_signal(signal.SIGINT)
    assert training.end() == 130
    for path in (tmp_path / "save").glob("*.state"):
        checkpoint.load(path)


def test_two_runs_never_share_a_folder(small_data, tmp_path):
    first = Training(small_data, tmp_path / "save")
    first.wait_for("Epoch 1/6")
    first.process.send_signal(signal.SIGSTOP)
    second = Training(small_data, tmp_path / "save", "--resume", log="second")
    assert second.end() == 2
    assert str(tmp_path / "save") in second.log.read_text().splitlines()[-1]
    first.process.send_signal(signal.SIGKILL)  # a lock ends with its process
    first.end()
    second.begin(second.flags)
    assert second.end() == 0, second.log.read_text()
    assert (tmp_path / "save" / "final.pdparams").exists()


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    """Checkpoint of a small network with random weights."""
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save(CheXNet(backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 36, "crop": 32})
    return path


def begin(tmp_path: Path, *command: object) -> subprocess.Popen:
    """Start a script with the temporary folder `tmp_path/temporary`."""
    (tmp_path / "temporary").mkdir()
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_clean(process: subprocess.Popen, tmp_path: Path, number: int) -> None:
    output = process.communicate(timeout=TIMEOUT)[1]
    assert (process.returncode, output) == (128 + number, f"ended by {signal.Signals(number).name}\n")
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_server_ends_cleanly_during_requests(small_data, ckpt, tmp_path, number):
    """No crash report of Paddle is printed, and no image remains in the temporary folder."""
    process = begin(tmp_path, "tools/serve.py", "--ckpt", ckpt, "--port", 0, "--device", "cpu")
    while not (address := re.search(r"=> open (\S+)", process.stdout.readline())):
        assert process.poll() is None
    content = next((small_data / "images").iterdir()).read_bytes()

    def post_image(_):
        request = urllib.request.Request(f"{address[1]}v1/predict", content, {"Content-Type": "image/png"})
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT).read()
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(8) as visitors:
        answers = visitors.map(post_image, range(400))
        assert next(answers)
        process.send_signal(number)
        assert_clean(process, tmp_path, number)
        assert not all(answers)


def test_predict_ends_cleanly(small_data, ckpt, tmp_path):
    """The script has compiled its engine and waits for a name on standard input."""
    flags = ("--ckpt", ckpt, "--device", "cpu", "--engine", "paddle", "--num_workers", 0)
    process = begin(tmp_path, "predict.py", "-", *flags)
    image = next((small_data / "images").iterdir())
    process.stdin.write(f"{image}\n" * 3)
    process.stdin.flush()
    while image.name not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert_clean(process, tmp_path, signal.SIGTERM)
