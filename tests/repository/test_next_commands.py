"""Every command that a script prints runs as it is printed."""

import re
import shlex
from pathlib import Path

import paddle  # noqa: F401  not inside a test: its progress bar keeps the standard output of the import
import pytest
from conftest import run_script

from chexnet import cli

QUICK = ["--init", "random", "--backbone", "lenet", "--epoch", "1", "--batch_size", "4", "--device", "cpu"]


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, whose name needs quotes in a shell."""
    folder = tmp_path / "my radiographs; (1) $HOME"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def printed_command(text: str) -> list[str]:
    """Return the words of the command after the last `Next: `."""
    line = re.findall(r"Next: (.+)", text)[-1]
    program, *words = shlex.split(line)
    assert program == "python"
    return words


def test_from_a_phantom_to_training_and_evaluation(workdir, capsys):
    out = workdir / "a phantom"
    flags = ["--output_dir", str(out), "--images", "12", "--size", "32", "--min_prevalence", "0.2"]
    assert run_script("tools/make_phantom.py", *flags) == 0
    train, *words = printed_command(capsys.readouterr().out)
    run = str(workdir / "a run")
    assert run_script(train, *words, *QUICK, "--resize", "36", "--crop", "32", "--save_dir", run) == 0
    evaluate, *words = printed_command(capsys.readouterr().out)
    assert str(out / "labels" / "test_list.txt") in words
    assert run_script(evaluate, *words) == 0
    assert "The average AUROC is" in capsys.readouterr().out


def test_from_a_cache_to_training_and_evaluation_on_the_validation_list(workdir, folder, capsys):
    images, train_list = folder(6, name="train.txt")
    _, val_list = folder(4, name="validation.txt")
    flags = ["--data_dir", str(images), "--lists", str(val_list), str(train_list), "--resize", "32"]
    assert run_script("tools/build_cache.py", *flags, "--output_dir", "a cache") == 0
    train, *words = printed_command(capsys.readouterr().out)
    assert run_script(train, *words, *QUICK, "--save_dir", "a run") == 0
    evaluate, *words = printed_command(capsys.readouterr().out)
    assert words[words.index("--test_list") + 1] == str(val_list)
    assert run_script(evaluate, *words) == 0


def test_a_cache_of_lists_with_other_classes_trains_on_them(workdir, folder, capsys):
    images, _ = folder(6)
    Path("classes.txt").write_text("Edema\nFracture\n", encoding="utf-8")
    for name in ("train_list.txt", "val_list.txt"):
        Path(name).write_text(
            "".join(f"list_{row:03d}.png {row % 2} {row // 3}\n" for row in range(6)), encoding="utf-8"
        )
    flags = ["--data_dir", str(images), "--lists", "train_list.txt", "val_list.txt", "--resize", "32"]
    assert run_script("tools/build_cache.py", *flags, "--output_dir", "cache") == 2
    assert "--classes_file FILE" in capsys.readouterr().err
    assert run_script("tools/build_cache.py", *flags, "--output_dir", "cache", "--classes_file", "classes.txt") == 0
    train, *words = printed_command(capsys.readouterr().out)
    assert run_script(train, *words, *QUICK) == 0
    evaluate, *words = printed_command(capsys.readouterr().out)
    assert run_script(evaluate, *words) == 0
    assert "The AUROC of Fracture is" in capsys.readouterr().out


def test_a_shell_splits_a_command_line_into_its_words():
    words = ["python", "a b", "it's", "$HOME", "*", "", "\\", '"', "plain"]
    assert shlex.split(cli.command_line(*words)) == words
    assert cli.command_line("python", Path("a b")) == "python 'a b'"


def test_a_command_line_on_windows_has_windows_quotes(monkeypatch):
    monkeypatch.setattr(cli.os, "name", "nt")
    assert cli.command_line("python", "C:\\my folder\\a.txt") == 'python "C:\\my folder\\a.txt"'
