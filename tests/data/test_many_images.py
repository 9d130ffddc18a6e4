"""Lists, files and caches of many images: packed names, and few bytes of memory per image."""

import os
import tracemalloc
import zlib
from json import dumps

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from originals import SMALL

from chexnet.data.cache import ImageCache, manifest
from chexnet.data.cache.manifest import MANIFEST, PIXELS, expected_header, format_line
from chexnet.data.lists import check_images, read_list
from chexnet.data.lists.packed_names import PackedNames
from chexnet.errors import InputError

NAMES = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=4), max_size=30)
MANY = 20_000


@given(names=NAMES, start=st.integers(-40, 40), stop=st.integers(-40, 40), step=st.sampled_from([-3, -1, 1, 2]))
def test_packed_names_are_a_sequence_like_a_tuple(names, start, stop, step):
    packed, plain = PackedNames(names), tuple(names)
    assert packed == plain
    assert packed == PackedNames(names)
    assert packed != (*plain, "x")
    assert list(packed) == names
    assert [packed[index] for index in range(-len(names), len(names))] == [*names, *names]
    assert packed[start:stop:step] == plain[start:stop:step]
    with pytest.raises(IndexError):
        packed[len(names)]


@given(names=NAMES)
def test_the_first_repeated_name_is_found(names):
    repeats = (row for row, name in enumerate(names) if name in names[:row])
    expected = next(((names.index(names[row]), row) for row in repeats), None)
    assert PackedNames(names).first_repeat() == expected


def test_the_first_error_of_a_list_is_reported(tmp_path):
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 0\na.png 0\nc.png 2\n")
    with pytest.raises(InputError, match=r"list\.txt:3: 'a\.png' is already in line 1"):
        read_list(tmp_path / "list.txt", 1)
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 0\nc.png 2\na.png 0\n")
    with pytest.raises(InputError, match=r"list\.txt:3: label 1"):
        read_list(tmp_path / "list.txt", 1)


def test_images_are_found_in_a_cache_if_all_hashes_are_equal(originals, monkeypatch):
    monkeypatch.setattr(manifest, "hash", lambda name: 7, raising=False)
    originals.build(names=originals.names[:6])
    os.utime(originals.images / "002.png", ns=(1, 1))
    assert originals.build(names=originals.names[:6]).redone == 1
    originals.assert_cached(originals.names[:6])
    cache = originals.open()
    assert len(cache) == 6
    assert "008.png" not in cache
    assert cache.find_damaged() == []


def test_a_list_and_its_cache_need_few_bytes_per_image(tmp_path):
    names = [f"{row:08d}_000.png" for row in range(MANY)]
    (tmp_path / "list.txt").write_text("".join(f"{name}{' 0' * 14}\n" for name in names))
    write_cache(tmp_path / "cache", names)
    (tmp_path / "images").mkdir()
    for name in names[:50]:
        (tmp_path / "images" / name).touch()
    cache = ImageCache(tmp_path / "cache", SMALL)  # what is allocated once is allocated before the measurement
    tracemalloc.start()
    try:
        listed = read_list(tmp_path / "list.txt")
        list_bytes, list_peak = tracemalloc.get_traced_memory()
        cache = ImageCache(tmp_path / "cache", SMALL)
        cache_bytes = tracemalloc.get_traced_memory()[0] - list_bytes
        rows = cache.rows(listed.names, listed.path, tmp_path / "none", listed.lines)
    finally:
        tracemalloc.stop()
    assert len(set(rows.tolist())) == len(cache) == MANY
    assert list_bytes < 50 * MANY  # 17 of the name, 14 of the labels
    assert list_peak < 250 * MANY  # with the text of the file and Python's copy of it
    assert cache_bytes < 20 * MANY
    with pytest.raises(InputError, match=rf"{MANY - 50} of {MANY} images are missing"):
        check_images(listed, tmp_path / "images")


def write_cache(folder, names) -> None:
    """Write a cache of black images."""
    image = np.zeros((SMALL.resize, SMALL.resize), np.uint8)
    folder.mkdir()
    lines = [format_line(name, row * image.size, *image.shape, 1, 1) for row, name in enumerate(names)]
    text = b"".join(b"%b %d\n" % (line, zlib.crc32(image.data, zlib.crc32(line))) for line in lines)
    (folder / MANIFEST).write_bytes(dumps(expected_header(SMALL)).encode() + b"\n" + text)
    (folder / PIXELS).touch()
    os.truncate(folder / PIXELS, len(names) * image.size)
