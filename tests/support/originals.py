"""Radiographs for tests of the image cache."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import write_png

from chexnet.data import images
from chexnet.data.cache import ImageCache, build_cache
from chexnet.data.transforms import Preprocessing

SMALL = Preprocessing(resize=40, crop=32)
SIZES = [(48, 40), (60, 80), (40, 40), (97, 50)]


class Originals:
    """A folder of radiographs, and the folder of a cache for them."""

    def __init__(self, root: Path, count: int) -> None:
        self.images = root / "images"
        self.cache = root / "cache"
        self.names = [f"{index:03d}.png" for index in range(count)]
        for index, name in enumerate(self.names):
            write_png(self.images / name, SIZES[index % len(SIZES)], seed=index)
            os.utime(self.images / name, ns=(0, 10**18 + index))  # the same manifest in every run

    def build(self, **changes):
        arguments = {"data_dir": self.images, "names": self.names, "folder": self.cache, "preprocessing": SMALL}
        return build_cache(**{**arguments, "workers": 2, **changes})

    def open(self) -> ImageCache:
        return ImageCache(self.cache, SMALL)

    def assert_cached(self, names=None) -> None:
        """Check that every image in the cache equals its decoded and resized file."""
        names = self.names if names is None else names
        cache = self.open()
        for name, row in zip(names, cache.rows(names, "list.txt", self.images).tolist(), strict=True):
            np.testing.assert_array_equal(cache.image(row), SMALL.resize_image(images.read(self.images / name)))


@pytest.fixture
def originals(tmp_path):
    return Originals(tmp_path, 9)


@pytest.fixture
def read_names(monkeypatch):
    """Record the names of the files that are decoded."""
    names = []
    original = images.open_gray
    monkeypatch.setattr(images, "open_gray", lambda path, *bits: (names.append(path.name), original(path, *bits))[1])
    return names


def counts(result) -> tuple[int, int, int, int]:
    return result.added, result.kept, result.redone, len(result.failed)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete cache that tests must leave unchanged."""
    originals = Originals(tmp_path_factory.mktemp("complete"), 6)
    originals.build()
    return originals
