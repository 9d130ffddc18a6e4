"""The prose check finds phrases in prose and ignores code."""

import subprocess
import sys

import pytest
from conftest import ROOT

MARKDOWN = """A run goes
on, and `likewise` and [a page](beside.md) are no prose.

```sh
python likewise.py  # beside
```

    beside it

10 images a second; the center.
"""
PYTHON = '''"""Module."""

likewise = beside = centre = 1
"""What it is."""
print("saved beside", f"{1:.2f} stands there")  # and so
# it goes
# on
'''


def check(path) -> tuple[int, list[str]]:
    """Return the exit code, and the line and phrase of each finding."""
    command = [sys.executable, ROOT / ".ci/check_prose.py", path]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert not done.stderr
    return done.returncode, [line.removeprefix(f"{path}:").split(" -> ")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        pytest.param("page.md", MARKDOWN, ["1: goes on", "10: images a second"], id="Markdown"),
        pytest.param("module.py", PYTHON, ['4: """What', "5: beside", "5: stands there", "6: goes on"], id="Python"),
        pytest.param("clean.md", "Weights are stored next to it, in color, 10 images per second.\n", [], id="clean"),
    ],
)
def test_phrases_are_found_where_they_are(tmp_path, name, text, found):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert check(path) == (int(bool(found)), found)
    if name.endswith(".py"):
        assert check(tmp_path)[0] == 1
