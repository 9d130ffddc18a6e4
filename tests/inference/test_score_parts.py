"""tools/score_parts.py against one run of predict.py."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import paddle
import pytest
from conftest import ROOT, load_script, run_script, write_png

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference.scoring_parts import ImageParts
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint

COUNT, SIZE = 100, 8


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint with thresholds, 100 images, three of which cannot be read, and their list."""
    root = tmp_path_factory.mktemp("job")
    paddle.seed(3)
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), root / "m.pdparams")
    checkpoint.write_metadata_file(
        root / "m.pdparams", {"backbone": "lenet", "resize": 40, "crop": 32, "classes": CLASS_NAMES}
    )
    point = {"threshold": 0.5, "sensitivity": 0.8, "specificity": 0.7}
    points = {"schema": 1, "chosen": "by hand", "thresholds": dict.fromkeys(CLASS_NAMES, point)}
    points["ckpt_sha256"] = sha256(root / "m.pdparams")
    points["calibration"] = {
        **{"list": "val.txt", "images": 50, "sha256": None, "temperature": None, "left_out": ["Hernia"]},
        "platt": {name: {"slope": 0.7, "offset": -1.1} for name in CLASS_NAMES[:-1]},
    }
    (root / "m.thresholds.json").write_text(json.dumps(points))
    names = [f"images/{index:03d}.png" for index in range(COUNT)]
    for index, name in enumerate(names):
        write_png(root / name, (40, 44 + index % 3), seed=index)
    (root / names[5]).write_bytes(b"no image")
    (root / names[41]).unlink()
    names.insert(60, 'images/some, "odd" name.png')
    (root / "names.txt").write_text("\n".join(names) + "\n\n")
    return root


@pytest.fixture(autouse=True)
def in_job(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(job)


def flags(folder: Path) -> list[str]:
    common = ["--ckpt", "m.pdparams", "--device", "cpu", "--crops", "1", "--num_workers", "1", "--calibrated"]
    return ["names.txt", "--output_dir", str(folder), "--part_size", str(SIZE), *common]


def score(folder: Path, *more: str) -> int:
    return run_script("tools/score_parts.py", *flags(folder), *more)


@pytest.fixture(scope="module")
def whole(job: Path) -> tuple[bytes, list[str]]:
    """Return the CSV that predict.py writes for the whole list, and its errors."""
    common = ["--ckpt", "m.pdparams", "--device", "cpu", "--crops", "1", "--num_workers", "1", "--calibrated"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as text:
        patch.chdir(job)
        patch.setattr(sys, "stdin", io.StringIO((job / "names.txt").read_text()))
        assert run_script("predict.py", "-", "--quiet", "--output_csv", "whole.csv", *common) == 2
    lines = text.getvalue().splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (job / "whole.csv").read_bytes(), errors[:-1]


@pytest.fixture(scope="module")
def scored(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all parts."""
    folder = tmp_path_factory.mktemp("scored") / "parts"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(job)
        assert score(folder) == 0
    return folder


@pytest.fixture
def copied(scored: Path, tmp_path: Path) -> Path:
    """A copy of the folder with all parts, to change."""
    return Path(shutil.copytree(scored, tmp_path / "parts"))


def test_merged_parts_are_byte_for_byte_one_run(
    scored: Path, whole: tuple[bytes, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(scored, "--merge", str(tmp_path / "all.csv")) == 0
    assert (tmp_path / "all.csv").read_bytes() == whole[0]
    assert (tmp_path / "all.failures.txt").read_text().splitlines() == whole[1]
    assert len(whole[1]) == 3
    assert f"98 of {COUNT + 1} images" in capsys.readouterr().out


KILLED = """
import json, os, runpy, signal, sys
from chexnet.inference import scoring_parts as module
import paddle  # once, before the children start

def killing(original, countdown):
    def function(*arguments):
        nonlocal countdown
        countdown -= 1
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    return function

script, kills, folder, *flags = sys.argv[1:]
codes = []
for name, countdown in json.loads(kills):
    if not (process := os.fork()):
        owner = module.CsvWriter if name == "add" else module
        setattr(owner, name, killing(getattr(owner, name), countdown))
        sys.argv = [script, *flags, "--output_dir", f"{folder}/{name}-{countdown}"]
        runpy.run_path(script, run_name="__main__")
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
print(json.dumps(codes))
"""
"""Program whose children kill themselves when they call a function of chexnet.inference.scoring_parts for the n-th
time."""

KILLS = [("add", 1), ("add", 20), ("write_text", 1), ("write_text", 3)]


@pytest.fixture(scope="module")
def killed(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the parts of each of KILLS."""
    folder = tmp_path_factory.mktemp("killed")
    script = str(ROOT / "tools/score_parts.py")
    command = [sys.executable, "-c", KILLED, script, json.dumps(KILLS), str(folder), *flags(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=job, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [-signal.SIGKILL] * len(KILLS)
    return folder


@pytest.mark.parametrize(("function", "call"), KILLS)
def test_a_kill_leaves_whole_parts_and_the_next_run_completes_them(
    function: str, call: int, whole: tuple[bytes, list[str]], scored: Path, killed: Path, tmp_path: Path
) -> None:
    """It happens in the middle of a CSV file, or between the two files of a part."""
    shutil.copytree(killed / f"{function}-{call}", tmp_path / "parts")
    finished = sorted((tmp_path / "parts").glob("*.json"))
    assert len(finished) == (2 if call > 1 else 0)
    for path in (tmp_path / "parts").glob("part-*.csv"):
        assert path.read_bytes() == (scored / path.name).read_bytes()
    stamps = [path.stat().st_mtime_ns for path in finished]
    assert score(tmp_path / "parts") == 0
    assert [path.stat().st_mtime_ns for path in finished] == stamps
    assert score(tmp_path / "parts", "--merge", str(tmp_path / "all.csv")) == 0
    assert (tmp_path / "all.csv").read_bytes() == whole[0]


def test_one_part_has_its_lines_of_the_list(scored: Path, tmp_path: Path) -> None:
    assert score(tmp_path / "parts", "--part", "5") == 0
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"part-00005.csv", "part-00005.json"}
    assert (tmp_path / "parts/part-00005.csv").read_bytes() == (scored / "part-00005.csv").read_bytes()
    failures = json.loads((tmp_path / "parts/part-00005.json").read_text())["failures"]
    assert [failure.partition(":")[0] for failure in failures] == ["images/041.png"]


def remove(folder: Path) -> None:
    (folder / "part-00003.json").unlink()


def damage(folder: Path) -> None:
    path = folder / "part-00003.csv"
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))


def truncate(folder: Path) -> None:
    (folder / "part-00003.json").write_text("{}")


def mix(folder: Path) -> None:
    content = json.loads((folder / "part-00003.json").read_text())
    content["settings"]["crops"] = 10
    (folder / "part-00003.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [(remove, "not finished: 3;"), (damage, "damaged"), (truncate, "damaged"), (mix, "(crops)")],
)
def test_parts_that_do_not_belong_together_are_not_merged(
    change: Callable[[Path], None],
    message: str,
    copied: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(copied)
    assert score(copied, "--merge", str(tmp_path / "all.csv")) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("all.*"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--crops", "10"], "(crops)"),
        (["--part_size", "16"], "--part_size 8, expected 16"),
        (["--part_size", "12"], "multiple of 8"),
        (["--part", "13"], "0 to 12"),
        (["--merge", "names.txt"], "ends in .csv"),
    ],
)
def test_a_finished_part_is_not_mixed_with_other_settings(
    more: list[str], message: str, scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in scored.iterdir()}
    assert score(scored, *more) == 2
    assert message in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in scored.iterdir()} == before


def test_another_list_is_refused(scored: Path, job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = (job / "names.txt").read_text().splitlines()
    (tmp_path / "names.txt").write_text("\n".join(names[1:]))
    arguments = flags(scored)
    arguments[0] = str(tmp_path / "names.txt")
    for more in ([], ["--merge", str(tmp_path / "all.csv")]):
        assert run_script("tools/score_parts.py", *arguments, *more) == 2
        assert "other images" in capsys.readouterr().err


def test_parts_cover_the_list_once(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(20)]
    for count in (1, 8, 9, 16, 20):
        (tmp_path / "n.txt").write_text("\n\n".join(names[:count]))
        parts = ImageParts(str(tmp_path / "n.txt"), str(tmp_path), 8)
        by_number = [parts.names(part) for part in range(parts.count())]
        assert [name for names_of_part in by_number for name in names_of_part] == names[:count]
        assert list(parts.all_names()) == by_number
    (tmp_path / "n.txt").write_text("\n")
    with pytest.raises(InputError, match="no line"):
        parts.names(0)


def test_the_default_part_size_is_that_of_the_library() -> None:
    defaults = load_script("tools/score_parts.py").build_parser().parse_args(["n.txt", "--output_dir", "parts"])
    assert ImageParts("n.txt", "parts").size == defaults.part_size
