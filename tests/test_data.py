import threading

import numpy as np
import pytest
from PIL import Image

from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.errors import InputError
from chexnet.transforms import Preprocessing

SMALL = Preprocessing(resize=40, crop=32)


def collect(loader: BatchLoader) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*loader, strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize(("view", "shape"), [("train", (1, 32, 32)), ("center", (1, 32, 32)), ("ten", (10, 1, 32, 32))])
def test_a_sample_is_bytes_and_labels(folder, view, shape):
    images, lists = folder(3, sizes=[(48, 40), (40, 60), (80, 90)])
    dataset = ChestXrayDataSet(images, lists, view, SMALL)
    assert len(dataset) == 3
    for index in range(3):
        crop, labels = dataset[index]
        assert (crop.shape, crop.dtype) == (shape, np.uint8)
        assert (labels.shape, labels.dtype) == ((14,), np.float32)
        np.testing.assert_array_equal(labels, dataset.list.labels[index])


def test_batches_are_the_samples_in_order_whatever_the_number_of_workers(folder):
    dataset = ChestXrayDataSet(*folder(7), "center", SMALL)
    slow = [dataset[index] for index in range(7)]
    for workers in (0, 1, 3):
        loader = BatchLoader(dataset, batch_size=3, shuffle=False, workers=workers)
        images, labels = collect(loader)
        assert [len(batch) for batch, _ in loader] == [3, 3, 1]
        assert len(loader) == 3
        np.testing.assert_array_equal(images, np.stack([crop for crop, _ in slow]))
        np.testing.assert_array_equal(labels, np.stack([label for _, label in slow]))


def test_order_and_augmentation_depend_on_seed_and_epoch_only(folder):
    images, lists = folder(8, sizes=[(60, 60)])

    def run(seed: int, epoch: int, workers: int) -> np.ndarray:
        dataset = ChestXrayDataSet(images, lists, "train", SMALL, seed=seed)
        loader = BatchLoader(dataset, batch_size=3, shuffle=True, workers=workers)
        loader.set_epoch(epoch)
        assert sorted(loader.order()) == list(range(8))
        return collect(loader)[0]

    reference = run(seed=1, epoch=2, workers=0)
    np.testing.assert_array_equal(run(seed=1, epoch=2, workers=3), reference)
    assert not np.array_equal(run(seed=2, epoch=2, workers=0), reference)
    assert not np.array_equal(run(seed=1, epoch=3, workers=0), reference)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_does_not_decode_reaches_the_caller(folder, workers):
    images, lists = folder(6)
    (images / "list_004.png").write_bytes(b"<html>")
    loader = BatchLoader(ChestXrayDataSet(images, lists, "center", SMALL), 2, shuffle=False, workers=workers)
    batches = iter(loader)
    next(batches), next(batches)
    with pytest.raises(InputError, match=r"list_004\.png"):
        next(batches)


def test_reading_ahead_is_bounded_and_stops_with_the_reader(folder, monkeypatch):
    dataset = ChestXrayDataSet(*folder(40), "center", SMALL)
    read = []
    original = ChestXrayDataSet.__getitem__
    monkeypatch.setattr(ChestXrayDataSet, "__getitem__", lambda self, i: (read.append(i), original(self, i))[1])
    batches = iter(BatchLoader(dataset, batch_size=2, shuffle=False, workers=2))
    next(batches)
    batches.close()
    assert len(read) <= 6  # the batch given out and two ahead
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_the_list_is_checked_before_anything_is_decoded(folder):
    images, lists = folder(3)
    (images / "list_001.png").unlink()
    with pytest.raises(InputError, match=r"1 of 3 images are missing.*list_001\.png \(line 2\)"):
        ChestXrayDataSet(images, lists)


def test_old_ten_crop_gives_the_same_crops_on_pil_images():
    from chexnet.utility import CLASS_NAMES, N_CLASSES, TenCrop

    gray = np.random.default_rng(0).integers(0, 256, (41, 53), dtype=np.uint8)
    old = np.stack([np.asarray(crop) for crop in TenCrop(32)(Image.fromarray(gray))])
    np.testing.assert_array_equal(old, Preprocessing(resize=41, crop=32).ten_crop(gray)[:, 0])
    assert len(CLASS_NAMES) == N_CLASSES
