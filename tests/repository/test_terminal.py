"""The output of training on a terminal."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(command: list[str], columns: int = 100) -> list[str]:
    """Run a command on a pseudo-terminal and return the lines on the screen at the end."""
    import pty

    main, other = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, cwd=ROOT, env=environment) as process:
        os.close(other)
        output = b""
        while True:
            try:
                block = os.read(main, 65536)
            except OSError:  # Linux reports the closed other side like this
                break
            if not block:
                break
            output += block
        os.close(main)
    assert process.returncode == 0, output.decode(errors="replace")
    return [on_screen(line) for line in output.decode(errors="replace").split("\n")]


def on_screen(line: str) -> str:
    """Return the visible text of a line in which carriage returns overwrite earlier text."""
    screen = ""
    for part in ESCAPE.sub("", line).split("\r"):
        screen = part + screen[len(part) :]
    return screen.rstrip()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_lines_are_not_mixed_with_the_progress_bar_and_fit_into_a_terminal(small_data, tmp_path):
    flags = ["--data_dir", small_data / "images", "--train_list", small_data / "train.txt", "--device", "cpu"]
    flags += ["--val_list", small_data / "val.txt", "--save_dir", tmp_path / "run", "--init", "random"]
    flags += ["--backbone", "lenet", "--resize", "40", "--crop", "32", "--epoch", "1", "--batch_size", "1"]
    lines = on_terminal([sys.executable, str(ROOT / "train.py"), *map(str, flags)])
    steps = [line for line in lines if "loss:" in line]
    assert len(steps) == 3  # step 10, the last one (12), and the validation
    for line in steps:
        assert re.match(r"step +\d+/\d+ - loss: [\d.e-]+ - AUROC_", line)
        assert line.count("step") == 2  # the number of the step, and the time per step
    assert len(steps[0]) < 100
    assert "AUROC_avg" in steps[0]
    assert steps[1].count("AUROC_") == steps[2].count("AUROC_") == 15
