"""The example for Ray Data. Ray runs in a new process, where only this test's images are scored."""

import importlib.util
from pathlib import Path

import paddle
import pytest
from conftest import run_python, run_script, write_png

from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (ray[data])")


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """Flags for 20 images, one of which cannot be read, in three parts."""
    paddle.seed(3)
    ckpt = tmp_path / "m.pdparams"
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), ckpt)
    checkpoint.write_metadata_file(ckpt, {"backbone": "lenet", "resize": 40, "crop": 32, "classes": CLASS_NAMES})
    names = [tmp_path / "images" / f"{index}.png" for index in range(20)]
    for index, name in enumerate(names[1:]):
        write_png(name, seed=index)
    (tmp_path / "names.txt").write_text("\n".join(map(str, names)))
    common = ["--ckpt", str(ckpt), "--device", "cpu", "--num_workers", "1", "--crops", "1", "--part_size", "8"]
    return [str(tmp_path / "names.txt"), *common]


@needs_ray
def test_parts_by_ray_are_those_of_the_script(flags: list[str], tmp_path: Path) -> None:
    actors = ["--actors", "2", "--cpus_per_actor", "1"]
    assert run_script("tools/score_parts.py", *flags, "--output_dir", str(tmp_path / "expected"), "--part", "1") == 0
    (tmp_path / "expected").rename(tmp_path / "parts")  # one part is finished
    done = run_python("examples/score_with_ray.py", *flags, "--output_dir", str(tmp_path / "parts"), *actors)
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode()
    assert printed.count(": finished") == 2
    assert printed.count(": already finished") == 1
    assert run_script("tools/score_parts.py", *flags, "--output_dir", str(tmp_path / "expected")) == 0
    for path in (tmp_path / "expected").glob("*.csv"):
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()
    other = [*flags[:-1], "16"]
    refused = run_python("examples/score_with_ray.py", *other, "--output_dir", str(tmp_path / "parts"), *actors)
    assert refused.returncode == 2
    assert b"--part_size 8, expected 16" in refused.stderr.splitlines()[-1]


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_without_ray_one_line_names_the_package(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script("examples/score_with_ray.py", *flags, "--output_dir", str(tmp_path / "parts")) == 2
    assert "ray[data]" in capsys.readouterr().err
    assert not (tmp_path / "parts").exists()
