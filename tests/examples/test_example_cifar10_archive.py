"""The archives and folders that examples/cifar10.py reads, and those that it refuses."""

import pickle
import sys
import tarfile
from hashlib import md5
from pathlib import Path

import numpy as np
import paddle
import pytest
from cifar_archives import batch, gadget_batch, pack, small_files, some_images
from conftest import ROOT

from chexnet.errors import InputError

sys.path.insert(0, str(ROOT / "examples"))

import cifar10
import cifar10_data


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Archive of 5 training batches of 32 images and 40 test images."""
    return pack(tmp_path_factory.mktemp("cifar") / "cifar-10-python.tar.gz", small_files())


def test_archives_are_read_like_by_paddle_and_pickle(archive):
    """Compare the reader with Paddle's own class, which unpickles."""
    for mode, images in zip(("train", "test"), cifar10_data.read_archive(archive), strict=True):
        paddles = paddle.vision.datasets.Cifar10(str(archive), mode, download=False, backend="cv2")
        assert len(paddles) == len(images) == {"train": 160, "test": 40}[mode]
        for index, (pixels, label) in enumerate(paddles):
            np.testing.assert_array_equal(images.pixels[index].transpose(1, 2, 0), pixels)
            assert images.labels[index] == label
    plain = pickle.loads(small_files()["data_batch_3"], encoding="bytes")
    assert list(plain) == [b"batch_label", b"labels", b"data", b"filenames"]


@pytest.mark.parametrize("subfolder", ["cifar-10-batches-py", "."])
def test_an_unpacked_folder_is_read_like_the_archive(archive, tmp_path, subfolder):
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    for images, expected in zip(
        cifar10_data.read_archive(tmp_path / subfolder), cifar10_data.read_archive(archive), strict=True
    ):
        np.testing.assert_array_equal(images.pixels, expected.pixels)
        np.testing.assert_array_equal(images.labels, expected.labels)


def test_another_folder_is_refused(tmp_path, capsys):
    assert cifar10.main(["--data", str(tmp_path), "--save_dir", str(tmp_path / "run")]) == 2
    assert f"error: {tmp_path}: " in capsys.readouterr().err


def without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {file: content for file, content in files.items() if file != name}


WRONG_SHAPE = batch(np.zeros((4, 3073), np.uint8), [0, 1, 2, 3])
WRONG_LABEL = batch(some_images(4, 0)[0], [0, 1, 2, 10])
TOO_FEW_LABELS = batch(some_images(4, 0)[0], [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: {**files, "test_batch": gadget_batch(b"posix", b"system")}, "posix.system"),
        (lambda files: {**files, "data_batch_2": gadget_batch(b"os", b"system")}, "data_batch_2: "),
        (lambda files: {**files, "test_batch": gadget_batch(b"__builtin__", b"eval")}, "__builtin__.eval"),
        (lambda files: {**files, "test_batch": files["test_batch"][:-2000]}, "test_batch: "),
        (lambda files: {**files, "test_batch": files["test_batch"] + b"x"}, "test_batch: "),
        (lambda files: {**files, "test_batch": b""}, "test_batch: "),
        (lambda files: {**files, "test_batch": pickle.dumps([1, 2], 2)}, "test_batch: "),
        (lambda files: {**files, "test_batch": WRONG_SHAPE}, "[N, 3072]"),
        (lambda files: {**files, "test_batch": WRONG_LABEL}, "0 to 9"),
        (lambda files: {**files, "test_batch": TOO_FEW_LABELS}, "0 to 9"),
        (lambda files: without(files, "test_batch"), "cifar-10-python.tar.gz"),
        (lambda files: {"test_batch": files["test_batch"]}, "cifar-10-python.tar.gz"),
    ],
)
def test_an_invalid_batch_is_refused_in_one_line(tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    path = pack(tmp_path / "broken.tar.gz", change(small_files(batch_size=4, tests=4)))
    assert cifar10.main(["--data", str(path), "--backbone", "lenet"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith(f"error: {path}: ")
    assert message in error[0]
    assert not (tmp_path / "gadget_was_run").exists()
    assert not list(tmp_path.rglob("*.pdparams"))


def test_the_gadget_runs_when_unpickled(tmp_path, monkeypatch):
    """Without this, the test above might be unable to fail."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(gadget_batch(b"posix", b"system"))
    assert (tmp_path / "gadget_was_run").exists()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_archive_is_refused_in_one_line(archive, tmp_path, capsys, kept):
    whole = archive.read_bytes()
    path = tmp_path / "short.tar.gz"
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    assert cifar10.main(["--data", str(path), "--save_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"error: {path}: " in error
    assert error.count("\n") == 1


def test_without_data_paddle_downloads_the_archive(archive, tmp_path, monkeypatch, capsys, web):
    web.files["/cifar-10-python.tar.gz"] = archive.read_bytes()
    monkeypatch.setattr("paddle.vision.datasets.cifar.CIFAR10_URL", f"{web.url}/cifar-10-python.tar.gz")
    monkeypatch.setattr("paddle.vision.datasets.cifar.CIFAR10_MD5", md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr("paddle.dataset.common.DATA_HOME", str(tmp_path / "cache"))
    args = ["--backbone", "lenet", "--epoch", "1", "--save_dir"]
    assert cifar10.main([*args, str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert printed.index("170 MB") < printed.index("=> 160 images")
    assert cifar10.main([*args, str(tmp_path / "again")]) == 0  # from the cache
    assert len(web.asked) == 1


def test_a_failed_download_names_the_flag(monkeypatch):
    def offline(**_: object):
        raise RuntimeError("no network")

    monkeypatch.setattr("paddle.vision.datasets.Cifar10", offline)
    with pytest.raises(InputError, match="--data FILE"):
        cifar10_data.download()
