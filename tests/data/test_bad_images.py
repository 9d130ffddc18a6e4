"""Missing and corrupt images, which a run can leave out."""

import shutil
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from conftest import make_folder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chexnet.data import BatchLoader, ChestXrayDataSet, SkippedImage, find_bad_images, format_skipped, images
from chexnet.data.cache import build_cache
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

SMALL = Preprocessing(resize=40, crop=32)
COUNT = 300
BROKEN = {"list_007.png": 8, "list_150.png": 151, "list_299.png": 300}
"""Lines by name: a missing image, a web page and a truncated image, which are 1 % of the list."""


def break_images(data_dir: Path) -> None:
    missing, page, truncated = (data_dir / name for name in BROKEN)
    missing.unlink()
    page.write_bytes(b"<html>")
    truncated.write_bytes(truncated.read_bytes()[:500])


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A folder and list of 300 images, 3 of them broken, and a cache of the others. Tests must not change them."""
    root = tmp_path_factory.mktemp("broken")
    data_dir, list_file = make_folder(root, COUNT, sizes=[(40, 48), (60, 44)])
    break_images(data_dir)
    assert len(build_cache(data_dir, read_list(list_file).names, root / "cache", SMALL, workers=2).failed) == 3
    return data_dir, list_file, root / "cache"


@pytest.fixture
def copied(broken, tmp_path):
    """A copy of the folder and the list, which tests may change."""
    data_dir, list_file, cache = broken
    shutil.copytree(data_dir, tmp_path / "images", copy_function=shutil.copy2)
    return tmp_path / "images", Path(shutil.copy(list_file, tmp_path)), cache


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_exactly_the_images_that_do_not_decode_are_found(broken, workers):
    data_dir, list_file, _ = broken
    expected = []
    for line, text in enumerate(list_file.read_text().splitlines(), start=1):
        path = data_dir / text.split()[0]
        try:
            images.read(path)
        except InputError as error:
            expected.append(SkippedImage(path.name, line, str(error).split(": ", 1)[1]))
    calls = []
    found = find_bad_images(data_dir, list_file, workers=workers, progress=lambda *done: calls.append(done))
    assert found == tuple(expected)
    assert {image.image: image.line for image in found} == BROKEN
    assert found[0].reason == "no such image file"
    assert found[1].reason.startswith("cannot be decoded as an image: it begins with b'<html>'")
    assert calls == [(done, COUNT) for done in range(1, COUNT + 1)]
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_with_a_cache_uncached_images_are_found_without_decoding(broken, monkeypatch):
    data_dir, list_file, cache = broken
    monkeypatch.delattr(images, "open_gray")
    found = find_bad_images(data_dir / "elsewhere", list_file, SMALL, image_cache=cache)
    assert found == tuple(SkippedImage(name, line, f"not in the cache {cache}") for name, line in BROKEN.items())
    dataset = ChestXrayDataSet(data_dir, list_file, "train", SMALL, image_cache=cache, skipped=found)
    assert len(list(BatchLoader(dataset, 50, shuffle=True, workers=1))) == 6


@pytest.mark.parametrize("cached", [False, True])
def test_skipping_images_equals_a_list_without_them(broken, tmp_path, cached):
    data_dir, list_file, cache = broken
    image_cache = cache if cached else None
    skipped = find_bad_images(data_dir, list_file, SMALL, image_cache=image_cache)
    lines = list_file.read_text().splitlines(keepends=True)
    shorter = tmp_path / "shorter.txt"
    shorter.write_text("".join(line for line in lines if line.split()[0] not in BROKEN))
    ours = ChestXrayDataSet(data_dir, list_file, "train", SMALL, seed=3, image_cache=image_cache, skipped=skipped)
    expected = ChestXrayDataSet(data_dir, shorter, "train", SMALL, seed=3)
    assert ours.skipped == skipped
    assert ours.list.names == expected.list.names
    assert ours.list.path == list_file
    for (crops, labels), (slow_crops, slow_labels) in zip(
        BatchLoader(ours, 32, shuffle=True, workers=2), BatchLoader(expected, 32, shuffle=True, workers=0), strict=True
    ):
        np.testing.assert_array_equal(crops, slow_crops)
        np.testing.assert_array_equal(labels, slow_labels)


def test_images_from_a_saved_state_are_skipped_without_decoding(broken, monkeypatch):
    data_dir, list_file, _ = broken
    state = [asdict(image) for image in find_bad_images(data_dir, list_file)]
    assert state[0] == {"image": "list_007.png", "line": 8, "reason": "no such image file"}
    monkeypatch.delattr(images, "open_gray")
    dataset = ChestXrayDataSet(data_dir, list_file, skipped=[SkippedImage(**entry) for entry in state])
    assert len(dataset) == COUNT - 3


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.integers(0, 449)), count=st.integers(1, 450))
@example(bad={4, 5, 6}, count=300)
@example(bad={4, 5, 6}, count=299)
@example(bad={0}, count=100)
def test_more_than_one_percent_is_refused(tmp_path, monkeypatch, bad, count):
    names = [f"{index:03d}.png" for index in range(count)]
    (tmp_path / "list.txt").write_text("".join(f"{name} {'0 ' * 14}\n" for name in names))
    bad = sorted(index for index in bad if index < count)

    def open_gray(path, sample_bits):
        if int(path.stem) in bad:
            raise InputError(f"{path}: broken")

    monkeypatch.setattr(images, "open_gray", open_gray)
    if len(bad) / count <= 1 / 100:
        assert [image.line - 1 for image in find_bad_images(tmp_path, tmp_path / "list.txt")] == bad
        return
    with pytest.raises(InputError) as error:
        find_bad_images(tmp_path, tmp_path / "list.txt")
    shown = ", ".join(f"{names[index]} (line {index + 1})" for index in bad[:10]) + ", ..." * (len(bad) > 10)
    assert str(error.value).startswith(f"{tmp_path / 'list.txt'}: {len(bad)} of {count} images ")
    assert str(error.value).endswith(f" 1 %: {shown}; the first: broken")


def test_a_missing_folder_is_refused(broken, tmp_path):
    with pytest.raises(InputError, match=r"none: no such image folder"):
        find_bad_images(tmp_path / "none", broken[1], workers=2)


@pytest.mark.parametrize("change", ["another line", "a line before", "the end"])
def test_a_list_that_has_changed_since_is_refused(copied, change):
    data_dir, list_file, _ = copied
    skipped = find_bad_images(data_dir, list_file)
    lines = list_file.read_text().splitlines(keepends=True)
    left = {"another line": [*lines[:150], *lines[151:]], "a line before": lines[1:], "the end": lines[:250]}
    list_file.write_text("".join(left[change]))
    with pytest.raises(InputError, match=r"list\.txt:\d+: .*list_\d+\.png"):
        ChestXrayDataSet(data_dir, list_file, skipped=skipped)


def test_an_image_that_goes_missing_later_is_named_with_its_line(copied):
    data_dir, list_file, _ = copied
    skipped = find_bad_images(data_dir, list_file)
    (data_dir / "list_200.png").unlink()
    with pytest.raises(InputError, match=r"1 of 297 images .*: list_200\.png \(line 201\)"):
        ChestXrayDataSet(data_dir, list_file, skipped=skipped)


def test_an_image_that_has_changed_since_it_was_cached_is_named_with_its_line(copied):
    data_dir, list_file, cache = copied
    skipped = find_bad_images(data_dir, list_file, SMALL, image_cache=cache)
    (data_dir / "list_200.png").touch()
    with pytest.raises(InputError, match=r"1 of 297 images .*: list_200\.png \(line 201\)"):
        ChestXrayDataSet(data_dir, list_file, "center", SMALL, image_cache=cache, skipped=skipped)


def test_skipped_images_are_formatted_one_per_line():
    first, second = SkippedImage("a.png", 3, "broken"), SkippedImage("b.png", 9, "gone")
    assert format_skipped([first], "x.txt") == (
        "left out of x.txt: 1 image (--on_bad_image skip)\n  a.png (line 3): broken"
    )
    assert format_skipped([first, second], "x.txt").splitlines()[::2] == [
        "left out of x.txt: 2 images (--on_bad_image skip)",
        "  b.png (line 9): gone",
    ]
