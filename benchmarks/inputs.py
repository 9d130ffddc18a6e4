"""What comes before the network: lists, decoding, the image cache, the loader."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks import naive
from benchmarks.harness import Comparison, interleaved, on_one_core, rate, seconds
from benchmarks.material import Data, Material, Scale
from chexnet.data import cache
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing

if TYPE_CHECKING:
    from chexnet.data import BatchLoader

BATCH = 32


def loader(material: Material, scale: Scale) -> list[Comparison]:
    """Training input on one core, first pass and from the cache, against Paddle's transforms image by image."""
    few, many = material.repeated(scale.decoded), material.repeated(scale.cached)
    first, cached, reference = on_one_core(
        _load, few, many, material.cache(scale.cached), material.preprocessing, scale.passes, scale.repetitions
    )
    return [
        Comparison("loader", ours, "naive training input", "images/s", values, reference)
        for ours, values in (("first pass, one core", first), ("cached, one core", cached))
    ]


def cache_build(material: Material, scale: Scale) -> list[Comparison]:
    """Building the image cache on one core, against PIL's decoding and resizing alone."""
    data = material.repeated(scale.decoded)
    built, decoded = on_one_core(_build, data, material.folder, material.preprocessing, scale.repetitions)
    return [Comparison("cache_build", "build, one core", "PIL decode + resize alone", "images/s", built, decoded)]


def lists(material: Material, scale: Scale) -> list[Comparison]:
    """Reading and checking a list of the whole data set, against a loop with int()."""
    lines = material.repeated(scale.decoded).list_file.read_text().splitlines()
    path = material.folder / "whole_list.txt"
    labels = [line.split(None, 1)[1] for line in lines]
    path.write_text("".join(f"{i:08d}_000.png {labels[i % len(labels)]}\n" for i in range(scale.listed)))
    sides = {"ours": seconds(lambda: read_list(path)), "loop": seconds(lambda: naive.read_lines(path))}
    values = interleaved(sides, scale.repetitions)
    words = f"read and check {scale.listed:,} lines"
    return [Comparison("lists", words, "plain loop without checks", "s", values["ours"], values["loop"])]


def _load(
    few: Data, many: Data, image_cache: Path, sizes: Preprocessing, passes: int, repetitions: int
) -> tuple[tuple[float, ...], ...]:
    """Images a second of the first pass, of later ones and of the reference, in this process."""
    from benchmarks import naive_paddle
    from chexnet.config import DEFAULT_WORKERS
    from chexnet.data import BatchLoader, ChestXrayDataSet

    first = BatchLoader(ChestXrayDataSet(*few, "train", sizes), BATCH, True, DEFAULT_WORKERS)
    cached = BatchLoader(ChestXrayDataSet(*many, "train", sizes, image_cache=image_cache), BATCH, True, DEFAULT_WORKERS)
    sides = {
        "first": rate(lambda: _drain(first, 1), len(first.dataset)),
        "cached": rate(lambda: _drain(cached, passes), passes * len(cached.dataset)),
        "reference": rate(lambda: naive_paddle.training_input(few, sizes, BATCH), len(first.dataset)),
    }
    _drain(cached, 1)  # its file is then in memory, like the images that others decode
    return tuple(interleaved(sides, repetitions).values())


def _drain(loader: "BatchLoader", passes: int) -> None:
    for epoch in range(passes):
        loader.set_epoch(epoch)
        for _ in loader:
            pass


def _build(data: Data, folder: Path, sizes: Preprocessing, repetitions: int) -> tuple[tuple[float, ...], ...]:
    """Images a second of building a cache and of PIL alone, in this process."""
    from chexnet.config import DEFAULT_WORKERS

    names = read_list(data.list_file).names
    paths = [data.data_dir / name for name in names]
    out = folder / "built"

    def build() -> None:
        cache.build_cache(data.data_dir, names, out, sizes, DEFAULT_WORKERS)

    def decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                shorter = min(image.size)
                size = (image.width * sizes.resize // shorter, image.height * sizes.resize // shorter)
                image.convert("L").resize(size, Image.Resampling.BILINEAR)

    def fresh() -> float:
        shutil.rmtree(out, ignore_errors=True)
        return rate(build, len(names))()

    decode()
    return tuple(interleaved({"build": fresh, "decode": rate(decode, len(names))}, repetitions).values())
