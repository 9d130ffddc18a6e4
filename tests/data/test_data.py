import threading
from functools import partial
from pathlib import Path

import numpy as np
import paddle
import pytest
from conftest import make_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chexnet.data import BatchLoader, ChestXrayDataSet, augmentation_params, loader
from chexnet.data import images as image_files
from chexnet.data.cache import ImageCache, build_cache
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

SMALL = Preprocessing(resize=40, crop=32)


def collect(loader: BatchLoader) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*loader, strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize(
    ("crop_mode", "shape"), [("train", (1, 32, 32)), ("center", (1, 32, 32)), ("ten", (10, 1, 32, 32))]
)
def test_a_sample_has_uint8_crops_and_float32_labels(folder, crop_mode, shape):
    images, lists = folder(3, sizes=[(48, 40), (40, 60), (80, 90)])
    dataset = ChestXrayDataSet(images, lists, crop_mode, SMALL)
    assert len(dataset) == 3
    for index in range(3):
        crop, labels = dataset[index]
        assert (crop.shape, crop.dtype) == (shape, np.uint8)
        assert (labels.shape, labels.dtype) == ((14,), np.float32)
        np.testing.assert_array_equal(labels, dataset.list.labels[index])


def test_batches_are_in_order_with_any_number_of_workers(folder):
    dataset = ChestXrayDataSet(*folder(7), "center", SMALL)
    samples = [dataset[index] for index in range(7)]
    for workers in (0, 1, 3):
        loader = BatchLoader(dataset, batch_size=3, shuffle=False, workers=workers)
        images, labels = collect(loader)
        assert [len(batch) for batch, _ in loader] == [3, 3, 1]
        assert len(loader) == 3
        np.testing.assert_array_equal(images, np.stack([crop for crop, _ in samples]))
        np.testing.assert_array_equal(labels, np.stack([label for _, label in samples]))


def test_order_and_augmentation_depend_only_on_seed_and_epoch(folder):
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


def test_a_pass_that_has_begun_keeps_its_epoch(folder):
    loader = BatchLoader(ChestXrayDataSet(*folder(12, sizes=[(60, 60)]), "train", SMALL), 2, shuffle=True, workers=2)
    expected = collect(loader)[0]
    batches = iter(loader)
    loader.set_epoch(1)
    np.testing.assert_array_equal(np.concatenate([crops for crops, _ in batches]), expected)
    assert not np.array_equal(collect(loader)[0], expected)


def test_augmentation_params_do_not_depend_on_the_number_of_images():
    np.testing.assert_array_equal(augmentation_params(3, 5, 1000)[:7], augmentation_params(3, 5, 7))


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (0, 1), (1, 0), (2**32 - 1, 7)])
def test_augmentation_and_order_use_independent_random_streams(folder, seed, epoch):
    dataset = ChestXrayDataSet(*folder(40), "train", SMALL, seed=seed)
    loader = BatchLoader(dataset, 8, shuffle=True, workers=0)
    loader.set_epoch(epoch)
    same_stream = np.arange(40)
    np.random.default_rng((seed, epoch)).shuffle(same_stream)
    assert loader.order().tolist() != same_stream.tolist()
    for other in {(seed ^ 1, epoch), (seed, epoch + 1), (epoch, seed)} - {(seed, epoch)}:
        assert not np.array_equal(augmentation_params(seed, epoch, 40), augmentation_params(*other, 40))


def make_both(root: Path, crop_mode: str) -> tuple[ChestXrayDataSet, ChestXrayDataSet]:
    """Return the same data set twice, from image files and from a cache."""
    data_dir, lists = make_folder(root, 11, sizes=[(48, 40), (40, 60), (80, 91), (40, 40), (121, 64)])
    plain = ChestXrayDataSet(data_dir, lists, crop_mode, SMALL, seed=4)
    build_cache(data_dir, plain.list.names[::-1], root / "cache", SMALL, workers=0)
    return plain, ChestXrayDataSet(data_dir, lists, crop_mode, SMALL, seed=4, image_cache=root / "cache")


@pytest.fixture
def cached(tmp_path):
    return partial(make_both, tmp_path)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Both data sets, which tests must not change."""
    return make_both(tmp_path_factory.mktemp("both"), "train")


@pytest.mark.parametrize("crop_mode", ["train", "center", "ten"])
@pytest.mark.parametrize("workers", [0, 1, 5])
def test_a_cache_returns_the_same_arrays_without_decoding(cached, crop_mode, workers, monkeypatch):
    plain, fast = cached(crop_mode)
    expected = []
    for epoch in (0, 3):
        loader = BatchLoader(plain, 4, shuffle=True, workers=0)
        loader.set_epoch(epoch)
        expected.append(collect(loader))
    monkeypatch.delattr(image_files, "open_gray")
    for epoch, (images, labels) in zip((0, 3), expected, strict=True):
        loader = BatchLoader(fast, 4, shuffle=True, workers=workers)
        loader.set_epoch(epoch)
        assert [len(batch) for batch, _ in loader] == [4, 4, 3]
        found, found_labels = collect(loader)
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(found_labels, labels)
        assert (found.dtype, found_labels.dtype) == (np.uint8, np.float32)


def test_originals_of_cached_images_may_be_missing_but_not_changed(cached):
    _, fast = cached("center")
    data_dir, lists, cache = fast.data_dir, fast.list.path, fast.cache.folder
    (data_dir / "list_003.png").touch()
    with pytest.raises(InputError, match=r"1 of 11 images .*list_003\.png \(line 4\)"):
        ChestXrayDataSet(data_dir, lists, "center", SMALL, image_cache=cache)
    data_dir.rename(data_dir.with_name("away"))
    np.testing.assert_array_equal(
        ChestXrayDataSet(data_dir, lists, "center", SMALL, image_cache=cache)[3][0], fast[3][0]
    )


def test_batches_copied_to_the_device_are_unchanged(folder, monkeypatch):
    """The CPU replaces the GPU."""
    sent = []
    monkeypatch.setattr(loader, "is_gpu", lambda: True)
    monkeypatch.setattr(loader, "to_device", lambda images: (sent.append(len(images)), paddle.to_tensor(images))[1])
    dataset = ChestXrayDataSet(*folder(7), "center", SMALL)
    batches = iter(BatchLoader(dataset, 2, shuffle=False, workers=1, to_device=True))
    first, _ = next(batches)
    assert sent in ([2], [2, 2])  # at most one more is on its way
    assert isinstance(first, paddle.Tensor)
    rest = [images.numpy() for images, _ in batches]
    expected, _ = collect(BatchLoader(dataset, 2, shuffle=False, workers=0))
    np.testing.assert_array_equal(np.concatenate([first.numpy(), *rest]), expected)


@settings(max_examples=80, deadline=None)
@given(
    from_cache=st.booleans(),
    shuffle=st.booleans(),
    workers=st.integers(0, 3),
    batch_size=st.integers(1, 12),
    epoch=st.integers(0, 2),
    data=st.data(),
)
def test_a_pass_from_a_later_batch_equals_the_end_of_a_whole_pass(
    both, from_cache, shuffle, workers, batch_size, epoch, data
):
    complete = BatchLoader(both[0], batch_size, shuffle, workers=0)
    complete.set_epoch(epoch)
    batches = list(complete)
    names = [complete.names(batch) for batch in range(len(batches))]
    loader = BatchLoader(both[from_cache], batch_size, shuffle, workers)
    first = data.draw(st.integers(0, len(batches)), label="first batch")
    loader.set_epoch(epoch, first)
    assert len(loader) == len(batches)
    assert [loader.names(batch) for batch in range(len(batches))] == names
    for found, expected in zip(loader, batches[first:], strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    loader.set_epoch(epoch)
    assert len(list(loader)) == len(batches)


@pytest.mark.parametrize("shuffle", [False, True])
def test_names_are_those_of_the_images_in_a_batch(both, shuffle):
    loader = BatchLoader(both[0], 4, shuffle, workers=1)
    loader.set_epoch(2, start_batch=1)
    index_by_name = {name: index for index, name in enumerate(both[0].list.names)}
    for batch, (images, _) in enumerate(loader, start=1):
        expected = [both[0][index_by_name[name]][0] for name in loader.names(batch)]
        np.testing.assert_array_equal(images, np.stack(expected))


@pytest.mark.parametrize("crop_mode", ["train", "center"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_image_that_does_not_decode_raises_to_the_caller(folder, crop_mode, workers):
    images, lists = folder(6)
    (images / "list_004.png").write_bytes(b"<html>")
    batches = iter(BatchLoader(ChestXrayDataSet(images, lists, crop_mode, SMALL), 2, shuffle=False, workers=workers))
    next(batches), next(batches)
    with pytest.raises(InputError, match=rf"^{images / 'list_004.png'}: .*--on_bad_image skip"):
        next(batches)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_while_reading_a_cache_raises_to_the_caller(both, workers, monkeypatch):
    image = ImageCache.image

    def fails(self, row):
        if row == both[1].rows[4]:
            raise InputError("images.bin: gone")
        return image(self, row)

    monkeypatch.setattr(ImageCache, "image", fails)
    batches = iter(BatchLoader(both[1], 2, shuffle=False, workers=workers))
    next(batches), next(batches)
    with pytest.raises(InputError, match=r"^images\.bin: gone$"):
        next(batches)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize(("from_cache", "batch_size"), [(False, 2), (True, 1)])
def test_prefetching_is_bounded_and_stops_with_the_iterator(cached, monkeypatch, from_cache, batch_size):
    dataset = cached("center")[from_cache]
    read = []
    original = ChestXrayDataSet.__getitem__
    monkeypatch.setattr(ChestXrayDataSet, "__getitem__", lambda self, i: (read.append(i), original(self, i))[1])
    batches = iter(BatchLoader(dataset, batch_size, shuffle=False, workers=2))
    next(batches)
    batches.close()
    assert len(read) <= 3 * batch_size < len(dataset)  # the current batch and two prefetched ones
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_the_list_is_checked_before_anything_is_decoded(folder):
    images, lists = folder(3)
    (images / "list_001.png").unlink()
    with pytest.raises(InputError, match=r"1 of 3 images .*list_001\.png \(line 2\)"):
        ChestXrayDataSet(images, lists)


def test_the_earlier_ten_crop_returns_the_same_crops_for_pil_images():
    from chexnet.utility import CLASS_NAMES, N_CLASSES, TenCrop

    gray = np.random.default_rng(0).integers(0, 256, (41, 53), dtype=np.uint8)
    old = np.stack([np.asarray(crop) for crop in TenCrop(32)(Image.fromarray(gray))])
    np.testing.assert_array_equal(old, Preprocessing(resize=41, crop=32).ten_crop(gray)[:, 0])
    assert len(CLASS_NAMES) == N_CLASSES
