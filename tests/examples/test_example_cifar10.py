"""examples/cifar10.py on small archives in CIFAR-10's format; test_example_cifar10_archive.py tests reading."""

import csv
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import paddle
import pytest
from cifar_archives import pack, small_files, some_images
from conftest import ROOT
from miniature import Miniature
from PIL import Image

from chexnet.metrics.proportions import wilson
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES

sys.path.insert(0, str(ROOT / "examples"))

import cifar10
import cifar10_data
import classification
import pictures
from cifar10_data import CLASSES
from classification import Batches
from labeled_images import Images

SCRIPT = ROOT / "examples" / "cifar10.py"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Archive of 5 training batches of 32 images and 40 test images."""
    return pack(tmp_path_factory.mktemp("cifar") / "cifar-10-python.tar.gz", small_files())


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_train_then_predict_from_another_folder(archive, tmp_path, capsys):
    done = run("--data", archive, "--backbone", "lenet", "--epoch", 2, "--learning_rate", 0.02, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "=> 160 images to train on, 40 to test on"
    assert [line[:29] for line in lines[1:3]] == ["epoch 1/2 learning rate 0.02:", "epoch 2/2 learning rate 0.02:"]
    assert lines[3] == "Accuracy on 40 test images, with 95 % intervals:"
    assert [line.split()[0] for line in lines[4:15]] == ["all", *CLASSES]
    assert "90.06 %" in lines[15]
    folder = tmp_path / "save" / "cifar10"
    with open(folder / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert f"{100 * float(rows[1]['test_accuracy']):.2f} %" in lines[4]
    for picture, size in (("curves.png", (1200, 360)), ("samples.png", (876, 1196))):
        with Image.open(folder / picture) as image:
            assert image.size == size

    Image.fromarray(np.full((90, 60, 3), 128, np.uint8)).save(tmp_path / "thing.jpg")
    prediction = run("--predict", "thing.jpg", cwd=tmp_path)
    assert prediction.returncode == 0, prediction.stderr
    matches = [re.fullmatch(r"thing.jpg: (\w+) ([01]\.\d{3})", line) for line in prediction.stdout.splitlines()]
    assert len(matches) == 3
    assert {match[1] for match in matches} <= set(CLASSES)
    probabilities = [float(match[2]) for match in matches]
    assert probabilities == sorted(probabilities, reverse=True)

    assert cifar10.main(["--data", str(archive), "--save_dir", str(folder)]) == 2
    assert "network.pdparams: exists already" in capsys.readouterr().err


def test_the_default_network_trains_and_predicts(tmp_path, capsys):
    path = pack(tmp_path / "tiny.tar.gz", small_files(batch_size=2, tests=4))
    save_dir = str(tmp_path / "run")
    with warnings.catch_warnings(record=True) as caught:
        assert cifar10.main(["--data", str(path), "--epoch", "1", "--augment", "--save_dir", save_dir]) == 0
    assert not [warning for warning in caught if "track global mean" in str(warning.message)]
    assert checkpoint.read_metadata_file(tmp_path / "run" / "network.pdparams")["network"] == "densenet_cifar"
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(tmp_path / "one.png")
    capsys.readouterr()
    assert cifar10.main(["--predict", str(tmp_path / "one.png"), "--save_dir", save_dir]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(("network", "parameters"), [("densenet121", 6_956_298), ("densenet_cifar", None)])
def test_networks_take_pixels_scaled_to_minus_one_to_one(network, parameters):
    built = cifar10.build(network)
    if parameters:
        assert sum(int(weight.size) for weight in built.parameters() if not weight.stop_gradient) == parameters
    built.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    with paddle.no_grad():
        scaled = paddle.to_tensor(pixels.astype(np.float32) / 127.5 - 1)
        expected = built.body.classify(built.body.features(scaled)).numpy()
        np.testing.assert_allclose(built(paddle.to_tensor(pixels)).numpy(), expected, atol=1e-4)


def test_images_are_augmented_on_request_only(archive, tmp_path, monkeypatch, small_network):
    """The tutorial does not augment."""
    batch_sizes = []
    monkeypatch.setattr(cifar10_data, "augmented", lambda pixels, rng: batch_sizes.append(len(pixels)) or pixels)
    args = ["--data", str(archive), "--backbone", "lenet", "--epoch", "1", "--batch_size", "80", "--save_dir"]
    assert cifar10.main([*args, str(tmp_path / "plain")]) == 0
    assert not batch_sizes
    assert cifar10.main([*args, str(tmp_path / "augmented"), "--augment"]) == 0
    assert batch_sizes == [80, 80]


@pytest.fixture
def small_network(monkeypatch) -> None:
    """Replace LeNet by a network that learns in seconds."""
    monkeypatch.setitem(BACKBONES, "lenet", Miniature)


def test_a_network_learns_to_distinguish_colors(archive, tmp_path, capsys, small_network):
    save_dir = str(tmp_path / "run")
    args = ["--backbone", "lenet", "--save_dir", save_dir]
    assert cifar10.main([*args, "--data", str(archive), "--epoch", "12", "--batch_size", "16"]) == 0
    accuracy = re.search(r"all +([\d.]+) %", capsys.readouterr().out)
    assert float(accuracy[1]) > 60  # 10 by chance
    pixels, labels = some_images(10, seed=77)
    correct = 0
    for row, label in enumerate(labels):
        Image.fromarray(pixels[row].reshape(3, 32, 32).transpose(1, 2, 0)).save(tmp_path / "one.png")
        assert cifar10.main(["--predict", str(tmp_path / "one.png"), "--save_dir", save_dir]) == 0
        correct += CLASSES[label] in capsys.readouterr().out.splitlines()[0]
    assert correct > 5


def test_a_killed_run_resumes_to_the_same_weights(archive, tmp_path, capsys):
    args = ["--data", str(archive), "--backbone", "lenet", "--epoch", "12", "--batch_size", "64", "--save_dir"]
    assert cifar10.main([*args, str(tmp_path / "whole")]) == 0
    command = [sys.executable, str(SCRIPT), *args, str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        next(line for line in process.stdout if line.startswith("epoch 3/12"))
        process.kill()
    assert not (tmp_path / "killed" / "network.pdparams").exists()
    assert cifar10.main([*args, str(tmp_path / "killed"), "--seed", "1"]) == 2
    assert "run.state: " in capsys.readouterr().err
    assert cifar10.main([*args, str(tmp_path / "killed")]) == 0
    assert re.search(r"run\.state: resuming after epoch ([3-9]|10|11)\n", capsys.readouterr().out)
    for name in ("network.pdparams", "history.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.rglob("run.state"))


def test_a_run_that_lacks_only_its_figures_is_finished(archive, tmp_path, monkeypatch, small_network):
    """The small network has dropout, whose random numbers depend on the epoch."""
    args = ["--data", str(archive), "--backbone", "lenet", "--epoch", "2", "--batch_size", "64", "--save_dir"]
    assert cifar10.main([*args, str(tmp_path / "whole")]) == 0
    draw_curves = pictures.draw_curves
    monkeypatch.setattr(pictures, "draw_curves", lambda rows, path: pytest.fail("killed here"))
    with pytest.raises(pytest.fail.Exception):
        cifar10.main([*args, str(tmp_path / "killed")])
    monkeypatch.setattr(pictures, "draw_curves", draw_curves)
    assert cifar10.main([*args, str(tmp_path / "killed")]) == 0
    for name in ("network.pdparams", "history.csv", "curves.png", "samples.png"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_dropout_is_the_same_after_resuming(archive, tmp_path, monkeypatch, small_network):
    args = ["--data", str(archive), "--backbone", "lenet", "--epoch", "3", "--batch_size", "64", "--save_dir"]
    assert cifar10.main([*args, str(tmp_path / "whole")]) == 0
    save = classification._save

    def save_then_fail(state, run, network, optimizer, rows):
        save(state, run, network, optimizer, rows)
        if len(rows) == 2:
            pytest.fail("killed here")

    monkeypatch.setattr(classification, "_save", save_then_fail)
    with pytest.raises(pytest.fail.Exception):
        cifar10.main([*args, str(tmp_path / "killed")])
    monkeypatch.setattr(classification, "_save", save)
    assert cifar10.main([*args, str(tmp_path / "killed")]) == 0
    assert (tmp_path / "killed" / "network.pdparams").read_bytes() == (
        tmp_path / "whole" / "network.pdparams"
    ).read_bytes()


def test_the_learning_rate_falls_after_epochs_10_and_15(archive, tmp_path, small_network):
    args = ["--data", str(archive), "--backbone", "lenet", "--epoch", "17", "--save_dir", str(tmp_path / "run")]
    assert cifar10.main(args) == 0
    with open(tmp_path / "run" / "history.csv", encoding="utf-8") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([0.1] * 10 + [0.01] * 5 + [0.001] * 2)


def test_the_same_seed_gives_the_same_network(archive, tmp_path, small_network):
    weights = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        args = ["--data", str(archive), "--backbone", "lenet", "--epoch", "1", "--seed", seed, "--device", "cpu"]
        assert cifar10.main([*args, "--save_dir", str(tmp_path / name)]) == 0
        weights.append((tmp_path / name / "network.pdparams").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_augmented_images_are_crops_of_the_padded_images():
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)
    seen = set()
    for original, changed in zip(pixels, cifar10_data.augmented(pixels, rng), strict=True):
        padded = np.pad(original, ((0, 0), (4, 4), (4, 4)))
        matches = [
            (top, left, step)
            for top in range(9)
            for left in range(9)
            for step in (1, -1)
            if np.array_equal(padded[:, top : top + 32, left : left + 32][..., ::step], changed)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(9))
    assert {step for _, _, step in seen} == {1, -1}


def test_each_epoch_has_every_image_once_in_a_new_order():
    images = Images(
        np.arange(10, dtype=np.uint8)[:, None, None, None] + np.zeros((10, 3, 32, 32), np.uint8), np.arange(10)
    )
    plain = list(Batches(images, 4))
    assert [len(labels) for _, labels in plain] == [4, 4, 2]
    assert np.concatenate([labels for _, labels in plain]).ravel().tolist() == list(range(10))
    np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in plain]), images.pixels)
    mixed = Batches(images, 4, seed=3, augment=lambda pixels, rng: pixels)
    first, second = (np.concatenate([labels for _, labels in mixed]).ravel().tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    again = np.concatenate([labels for _, labels in Batches(images, 4, seed=3)]).ravel().tolist()
    assert again == first
    for pixels, labels in Batches(images, 4, seed=3):
        assert (pixels.max(axis=(1, 2, 3)) == labels.ravel()).all()


def test_accuracies_per_class_equal_a_plain_count():
    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 9, 200), rng.integers(0, 10, 200)  # no truck among the labels
    lines = classification.format_accuracies(labels.tolist(), guesses.tolist(), CLASSES).splitlines()
    for index, name in enumerate(("all", *CLASSES), start=-1):
        hits = [label == guess for label, guess in zip(labels, guesses, strict=True) if index in (-1, label)]
        low, high = wilson(sum(hits), len(hits))
        assert lines[index + 2].startswith(name)
        assert lines[index + 2].endswith(f"({100 * low:.2f} to {100 * high:.2f}), {sum(hits)} of {len(hits)}")
    assert "nan %" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.tar.gz"], "nowhere.tar.gz"),
        (["--predict", "a.png", "--save_dir", "nothing"], "nothing/network.pdparams"),
    ],
)
def test_a_missing_file_is_one_error_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert cifar10.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_network_for_larger_images_is_refused(archive, tmp_path, capsys):
    args = ["--data", str(archive), "--backbone", "alexnet", "--save_dir", str(tmp_path)]
    assert cifar10.main(args) == 2
    assert "--backbone alexnet: needs images of at least 63 pixels" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_the_run(archive, tmp_path, capsys, small_network):
    args = ["--data", str(archive), "--backbone", "lenet", "--learning_rate", "1e30", "--save_dir", str(tmp_path)]
    assert cifar10.main(args) == 2
    assert "--learning_rate" in capsys.readouterr().err
    assert not (tmp_path / "network.pdparams").exists()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16"])
def test_images_of_any_mode_are_read_in_color(tmp_path, mode):
    color = np.zeros((64, 96, 3), np.uint8)
    color[..., 0], color[..., 2] = 200, 40
    color[:, :16] = color[:, 80:] = 255  # outside of the central square
    image = Image.fromarray(color)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.save(tmp_path / "image.png")
    pixels = cifar10_data.read_image(tmp_path / "image.png")
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == np.uint8
    expected = (200, 0, 40) if mode in ("RGB", "RGBA", "P") else (64, 64, 64)
    interior = pixels[:, :, 1:-1].reshape(3, -1).T  # resizing blurs the edges
    np.testing.assert_allclose(interior, np.broadcast_to(expected, interior.shape), atol=2)


def test_help_names_the_archive():
    assert "cifar-10-python.tar.gz" in cifar10.build_parser().format_help()
