"""examples/mnist.py on small files in MNIST's format."""

import gzip
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT / "examples"))

import mnist
import mnist_data
import tutorial_networks

SCRIPT = ROOT / "examples" / "mnist.py"


def idx(array: np.ndarray) -> bytes:
    """Return the IDX file of an array of unsigned bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise with a bright bar whose position depends on the class, uint8 [N, 28, 28], and the classes [N]."""
    labels = np.arange(count, dtype=np.uint8) % 10
    pixels = np.random.default_rng(seed).integers(0, 40, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 + 2 * label : 6 + 2 * label, 4:24] += 180
    return pixels, labels


def write(folder: Path, train: int = 200, tests: int = 40, suffix: str = "") -> Path:
    """Write the four files of MNIST and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", train, 0), ("t10k", tests, 1)):
        pixels, labels = digits(count, seed)
        for name, array in ((f"{split}-images-idx3-ubyte", pixels), (f"{split}-labels-idx1-ubyte", labels)):
            packed = gzip.compress(idx(array)) if suffix == ".gz" else idx(array)
            (folder / f"{name}{suffix}").write_bytes(packed)
    return folder


def test_the_script_prints_shapes_epochs_and_accuracies_in_any_folder(tmp_path):
    write(tmp_path / "mnist", suffix=".gz")
    command = [sys.executable, str(SCRIPT), "--data_dir", "mnist", "--epoch", "2", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "=> 200 images to train on, 40 to test on"
    shapes = [line.split(maxsplit=1)[1].split("]")[0] + "]" for line in lines[2:9]]
    assert shapes == [
        *("[1, 6, 24, 24]", "[1, 6, 12, 12]", "[1, 16, 8, 8]", "[1, 16, 4, 4]", "[1, 120, 1, 1]", "[1, 64]", "[1, 10]")
    ]
    assert lines[9] == "41,806 parameters"
    assert [line.split(":")[0] for line in lines[10:12]] == [f"epoch {epoch}/2 learning rate 0.001" for epoch in (1, 2)]
    assert lines[12] == "Accuracy on 40 test images, with 95 % intervals:"
    folder = tmp_path / "save" / "mnist"
    with Image.open(folder / "samples.png") as picture:
        assert picture.size == (876, 1196)
    assert not list(folder.glob("*.state"))


def test_lenet_learns_and_a_second_run_is_refused(tmp_path, capsys):
    data = write(tmp_path / "mnist")
    args = ["--data_dir", str(data), "--save_dir", str(tmp_path / "run"), "--device", "cpu"]
    fast = ["--activation", "relu", "--learning_rate", "0.01", "--epoch", "5"]
    assert mnist.main([*args, *fast]) == 0
    assert float(re.search(r"all +([\d.]+) %", capsys.readouterr().out)[1]) > 60  # 10 by chance
    assert mnist.main(args) == 2
    assert "network.pdparams: exists already" in capsys.readouterr().err


def test_the_defaults_are_the_tutorials():
    flags = mnist.build_parser().parse_args(["--data_dir", "a"])
    assert (flags.epoch, flags.batch_size, flags.learning_rate, flags.activation) == (5, 10, 0.001, "sigmoid")


def test_images_equal_those_of_paddles_own_reader(tmp_path):
    data = write(tmp_path / "mnist", tests=100, suffix=".gz")  # Paddle's reader requires a multiple of 100
    for part, images in zip(("train", "t10k"), mnist_data.read_folder(data), strict=True):
        files = [str(data / f"{part}-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1")]
        mode = "train" if part == "train" else "test"
        paddles = paddle.vision.datasets.MNIST(*files, mode=mode, download=False, backend="cv2")
        assert len(paddles) == len(images)
        for index, (pixels, label) in enumerate(paddles):
            np.testing.assert_array_equal(images.pixels[index, 0], pixels.reshape(28, 28))
            assert images.labels[index] == int(label[0])


def test_names_with_a_dot_are_found(tmp_path):
    data = write(tmp_path / "mnist")
    for path in list(data.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert [len(images) for images in mnist_data.read_folder(data)] == [200, 40]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t10k-images-idx3-ubyte", None, "no t10k-images-idx3-ubyte and no t10k-images-idx3-ubyte.gz"),
        ("train-images-idx3-ubyte", b"", "begins with b'', expected an IDX file"),
        ("train-images-idx3-ubyte", idx(np.zeros(5)), "begins with b'\\x00\\x00\\x08\\x01', expected an IDX file"),
        ("train-images-idx3-ubyte", idx(np.zeros((2, 27, 28))), "images of 27 x 28, expected 28 x 28"),
        ("train-images-idx3-ubyte", idx(digits(4, 0)[0])[:-1], "3,135 bytes after the header, which announces 3,136"),
        ("train-images-idx3-ubyte", idx(digits(4, 0)[0]) + b"x", "more bytes after the header, which announces 3,136"),
        ("train-images-idx3-ubyte", idx(np.zeros((0, 28, 28))), "200 labels, expected one for each of the 0"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 0x803, 2**32 - 1, 28, 28), "announces 4,294,967,295 items"),
        ("t10k-labels-idx1-ubyte", idx(np.arange(40)), "label 11 is 10, expected a digit"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(39)), "39 labels, expected one for each of the 40"),
    ],
)
def test_invalid_files_are_one_error_line_and_nothing_is_written(tmp_path, capsys, name, content, message):
    data = write(tmp_path / "mnist")
    if content is None:
        (data / name).unlink()
    else:
        (data / name).write_bytes(content)
    assert mnist.main(["--data_dir", str(data), "--save_dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*.pdparams"))


def test_a_damaged_gz_file_is_one_error_line(tmp_path, capsys):
    data = write(tmp_path / "mnist", suffix=".gz")
    path = data / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    assert mnist.main(["--data_dir", str(data), "--save_dir", str(tmp_path / "run")]) == 2
    assert f"error: {path}: " in capsys.readouterr().err


def test_the_printed_shapes_equal_those_of_a_forward_pass():
    network = tutorial_networks.LeNet(3, channels=3, side=32)
    lines = tutorial_networks.shapes(network, (2, 3, 32, 32))
    assert "[2, 120, 2, 2]" in "".join(lines)
    assert lines[-1] == f"{sum(int(weight.size) for weight in network.parameters()):,} parameters"
    assert network.classify(network.features(paddle.zeros((2, 3, 32, 32)))).shape == [2, 3]
