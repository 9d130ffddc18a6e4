"""Finding image files by the names in a list."""

import os
from dataclasses import replace

import numpy as np
import pytest
from conftest import write_png

from chexnet.data import ChestXrayDataSet, find_bad_images, images
from chexnet.data.cache import ImageCache, build_cache
from chexnet.data.lists import check_images, find_images, find_missing, format_list, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

SMALL = Preprocessing(resize=32, crop=32)


def a_folder(tmp_path, files, names):
    """Write image files and a list of names."""
    for seed, name in enumerate(files):
        write_png(tmp_path / "images" / name, seed=seed)
    (tmp_path / "list.txt").write_text(format_list(names, np.zeros((len(names), 14), int)))
    return tmp_path / "images", read_list(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.png", "a.png"),
        ("images_001/images/00000001_000.png", "00000001_000.png"),
        ("images_001/images/a b.png", "a b.png"),
        ("00000001_000.png", "images_001/00000001_000.png"),
        ("images_002/images/00000001_000.png", "images_001/00000001_000.png"),
        ("train/patient00001/study1/view1.jpg", "CheXpert-v1.0-small/train/patient00001/study1/view1.jpg"),
        ("deep/train/patient00001/study1/view1.jpg", "train/patient00001/study1/view1.jpg"),
        ("train/a.png", "train\\a.png"),
    ],
)
def test_an_image_is_found_in_more_or_fewer_folders(tmp_path, file, name):
    data_dir, listed = a_folder(tmp_path, [file], [name])
    assert list(check_images(listed, data_dir)) == [data_dir / file]
    assert find_missing(listed, data_dir) == []


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("train/patient00002/study1/view1.png", "train/patient00001/study1/view1.png"),
        ("b/1.png", "a/1.png"),
        ("xa.png", "a.png"),
        ("a.png/b.jpg", "a.png.jpg"),
    ],
)
def test_an_image_in_other_folders_is_another_image(tmp_path, file, name):
    data_dir, listed = a_folder(tmp_path, [file], [name])
    assert list(find_images(listed.names, data_dir, "list")) == [None]
    with pytest.raises(InputError, match=r"1 of 1 images.*images.* 1 files"):
        check_images(listed, data_dir)


@pytest.mark.parametrize(("file", "name"), [("x/RA-1.png", "RA-1"), ("x/a.png", "a.jpg"), ("b/1.png", "a/1.png")])
def test_the_error_for_a_missing_image_names_a_similar_file(tmp_path, file, name):
    data_dir, listed = a_folder(tmp_path, ["0.png", file], [name])
    with pytest.raises(InputError, match=f"2 files, .*'{file}'"):
        check_images(listed, data_dir)


def test_the_exact_path_has_priority(tmp_path):
    data_dir, listed = a_folder(tmp_path, ["a.png", "more/a.png", "more/b.png"], ["a.png", "b.png"])
    assert list(check_images(listed, data_dir)) == [data_dir / "a.png", data_dir / "more/b.png"]


def test_an_image_that_matches_two_files_is_an_error_that_names_both(tmp_path):
    data_dir, listed = a_folder(tmp_path, ["one/a.png", "two/a.png"], ["a.png"])
    for find in (check_images, find_missing):
        with pytest.raises(InputError, match=r"list\.txt: 'a\.png' .*'one/a\.png' .*'two/a\.png' .*--data_dir"):
            find(listed, data_dir)


@pytest.mark.parametrize("names", [["one/a.png", "two/a.png"], ["a.png", "two/a.png"]])
def test_two_images_with_one_file_are_an_error(tmp_path, names):
    data_dir, listed = a_folder(tmp_path, ["a.png"], names)
    with pytest.raises(InputError, match=r"list\.txt: .*'two/a\.png' .*'a\.png' in "):
        check_images(listed, data_dir)


def test_an_empty_folder_and_circular_links_are_handled(tmp_path):
    data_dir, listed = a_folder(tmp_path, ["images_001/a.png"], ["a.png", "b.png"])
    os.symlink(data_dir, data_dir / "circular")
    os.symlink(data_dir / "images_001", data_dir / "z_the_same")
    found = find_images(listed.names, data_dir, "list")
    assert list(found) == [data_dir / "images_001/a.png", None]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"2 of 2 images.*no files"):
        check_images(listed, tmp_path / "empty")


def test_data_set_cache_and_check_find_the_same_files(tmp_path):
    names = ["00000000_000.png", "00000001_000.png"]
    files = [f"images_00{index}/images/{name}" for index, name in enumerate(names, start=1)]
    data_dir, listed = a_folder(tmp_path, files, names)
    flat = tmp_path / "flat"
    for seed, name in enumerate(names):
        write_png(flat / name, seed=seed)
    expected = ChestXrayDataSet(flat, listed.path, preprocessing=SMALL)
    found = ChestXrayDataSet(data_dir, listed.path, preprocessing=SMALL)
    assert find_bad_images(data_dir, listed.path, SMALL) == ()
    assert build_cache(data_dir, names, tmp_path / "cache", SMALL, workers=0).added == 2
    cached = ChestXrayDataSet(data_dir, listed.path, preprocessing=SMALL, image_cache=tmp_path / "cache")
    for index in range(2):
        np.testing.assert_array_equal(found[index][0], expected[index][0])
        np.testing.assert_array_equal(cached[index][0], expected[index][0])
    write_png(data_dir / files[0], size=(50, 60), seed=9)
    with pytest.raises(InputError, match=r"1 of 2 images .*00000000_000\.png \(line 1\)"):
        ImageCache(tmp_path / "cache", SMALL).rows(listed.names, listed.path, data_dir)
    assert build_cache(data_dir, names, tmp_path / "cache", SMALL, workers=0).redone == 1


def test_a_name_with_spaces_is_cached_and_a_missing_image_is_left_out(tmp_path):
    names = ["chest 1.png", "a  b.png", *(f"{index}.png" for index in range(198))]
    data_dir, listed = a_folder(tmp_path, names, names)
    (data_dir / "7.png").unlink()
    skipped = find_bad_images(data_dir, listed.path, SMALL)
    assert [image.image for image in skipped] == ["7.png"]
    build_cache(data_dir, names[:2], tmp_path / "cache", SMALL, workers=0)
    cache = ImageCache(tmp_path / "cache", replace(SMALL, crop=16))
    for name, row in zip(names, cache.rows(names[:2], "list", data_dir), strict=False):
        np.testing.assert_array_equal(cache.image(row), SMALL.resize_image(images.open_gray(data_dir / name)))
    assert cache.find_damaged() == []
