"""The commands of README.md and of docs/ run one after another in a fresh clone; README_zh.md has the same content."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import paddle
import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
"""Their blocks of `sh` use what the commands of README.md have made."""

CHINESE = (ROOT / "README_zh.md").read_text(encoding="utf-8")
SMALL = "DEMO_IMAGES=40 DEMO_EPOCHS=1"
"""Variables for make that shorten the demo to seconds."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the repository without ignored files, with the virtual environment of the tests."""
    if not (Path(sys.prefix) / "bin" / "activate").exists():
        pytest.skip("the tests do not run in a virtual environment with bin/activate")
    target = tmp_path / "clone"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith(".installed"):
            (target / ".venv" / path.name).symlink_to(path)
    (target / ".venv/.installed").touch()
    return target


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="README.md installs the newest Paddle")
@pytest.mark.skipif(not all(map(shutil.which, ("bash", "git", "make"))), reason="needs bash, git and make")
def test_all_commands_run_one_after_another_in_a_fresh_clone(clone):
    script = "set -e\n" + "\n".join(block for page in (README, *DOCUMENTS) for block in blocks(page, "sh"))
    cache = {"CHEXNET_GRAPH_CACHE": str(clone.parent / "graphs")}
    environment = {**os.environ, **cache, "MAKEFLAGS": SMALL, "PYTHONPATH": str(clone)}
    command = ["bash", "-c", script]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    for output in (
        "save/demo/report/report.html",
        "pictures/pneumothorax_Pneumothorax.png",
        "dataset/example/classes.txt",
        "save/demo/converted.pdparams",
    ):
        assert (clone / output).is_file()
    ignored = subprocess.run(
        ["git", "check-ignore", "save/demo", "pictures/a.png", "exported/a", "cache/demo"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert len(ignored.stdout.split()) == 4


def test_the_python_of_the_page_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})


def outside_of_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```\n", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("language", ["sh", "python", "text"])
def test_both_languages_have_the_same_blocks_except_for_comments(language):
    english, chinese = (
        [re.sub(r"\s+# .*", "", block) for block in blocks(text, language)] for text in (README, CHINESE)
    )
    assert english == chinese


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"^(#+) ", id="levels of headings"),
        pytest.param(r"!\[[^]]*\]\(([^)]+)\)", id="pictures"),
        pytest.param(r"`(python [^`]+)`", id="commands in tables and sentences"),
        pytest.param(r"\d\.\d{3,}", id="results"),
    ],
)
def test_both_languages_have_the_same(pattern):
    english, chinese = (re.findall(pattern, outside_of_blocks(text), flags=re.MULTILINE) for text in (README, CHINESE))
    assert english
    assert english == chinese


def test_no_block_is_without_a_language():
    """Only blocks of `sh` are commands that run in a fresh clone."""
    fences = re.findall(r"^```(.*)$", README, flags=re.MULTILINE)
    assert all(fences[::2])
    assert not any(fences[1::2])
