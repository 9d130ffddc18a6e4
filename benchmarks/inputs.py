"""Benchmarks of the input of the network: lists, decoding, the image cache, the loader."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks import baseline
from benchmarks.benchmark_data import BenchmarkData, ListedImages, Sizes
from benchmarks.harness import Comparison, interleaved, on_one_core, rate, seconds
from chexnet.data import cache
from chexnet.data.lists import read_list
from chexnet.data.transforms import Preprocessing

if TYPE_CHECKING:
    from chexnet.data import BatchLoader

BATCH = 32


def loader(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Training input on one core, first pass and from the cache, compared with Paddle's transforms per image."""
    few, many = data.repeated(sizes.decoded), data.repeated(sizes.cached)
    first, cached, reference = on_one_core(
        _load, few, many, data.cache(sizes.cached), data.preprocessing, sizes.passes, sizes.repetitions
    )
    return [
        Comparison("loader", ours, "training-input baseline", "images/s", values, reference)
        for ours, values in (("first pass, one core", first), ("cached, one core", cached))
    ]


def cache_build(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Building the image cache on one core, compared with PIL's decoding and resizing alone."""
    listed = data.repeated(sizes.decoded)
    built, decoded = on_one_core(_build, listed, data.folder, data.preprocessing, sizes.repetitions)
    return [Comparison("cache_build", "build, one core", "PIL decode + resize alone", "images/s", built, decoded)]


def lists(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Reading and checking a list of the whole data set, compared with a loop with int()."""
    lines = data.repeated(sizes.decoded).list_file.read_text().splitlines()
    path = data.folder / "whole_list.txt"
    labels = [line.split(None, 1)[1] for line in lines]
    path.write_text("".join(f"{i:08d}_000.png {labels[i % len(labels)]}\n" for i in range(sizes.listed)))
    candidates = {"ours": seconds(lambda: read_list(path)), "loop": seconds(lambda: baseline.read_lines(path))}
    values = interleaved(candidates, sizes.repetitions)
    description = f"read and check {sizes.listed:,} lines"
    return [Comparison("lists", description, "plain loop without checks", "s", values["ours"], values["loop"])]


def _load(
    few: ListedImages,
    many: ListedImages,
    image_cache: Path,
    preprocessing: Preprocessing,
    passes: int,
    repetitions: int,
) -> tuple[tuple[float, ...], ...]:
    """Measure images per second in this process: first pass, later passes, baseline."""
    from benchmarks import baseline_paddle
    from chexnet.config import DEFAULT_WORKERS
    from chexnet.data import BatchLoader, ChestXrayDataSet

    first = BatchLoader(ChestXrayDataSet(*few, "train", preprocessing), BATCH, True, DEFAULT_WORKERS)
    cached = BatchLoader(
        ChestXrayDataSet(*many, "train", preprocessing, image_cache=image_cache), BATCH, True, DEFAULT_WORKERS
    )
    candidates = {
        "first": rate(lambda: _drain(first, 1), len(first.dataset)),
        "cached": rate(lambda: _drain(cached, passes), passes * len(cached.dataset)),
        "reference": rate(lambda: baseline_paddle.training_input(few, preprocessing, BATCH), len(first.dataset)),
    }
    _drain(cached, 1)  # moves its file into the page cache, where the image files are too
    return tuple(interleaved(candidates, repetitions).values())


def _drain(loader: "BatchLoader", passes: int) -> None:
    for epoch in range(passes):
        loader.set_epoch(epoch)
        for _ in loader:
            pass


def _build(
    listed: ListedImages, folder: Path, preprocessing: Preprocessing, repetitions: int
) -> tuple[tuple[float, ...], ...]:
    """Measure images per second in this process: building a cache, and PIL alone."""
    from chexnet.config import DEFAULT_WORKERS

    names = read_list(listed.list_file).names
    paths = [listed.data_dir / name for name in names]
    out = folder / "built"

    def build() -> None:
        cache.build_cache(listed.data_dir, names, out, preprocessing, DEFAULT_WORKERS)

    def decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                shorter = min(image.size)
                size = (image.width * preprocessing.resize // shorter, image.height * preprocessing.resize // shorter)
                image.convert("L").resize(size, Image.Resampling.BILINEAR)

    def fresh() -> float:
        shutil.rmtree(out, ignore_errors=True)
        return rate(build, len(names))()

    decode()
    return tuple(interleaved({"build": fresh, "decode": rate(decode, len(names))}, repetitions).values())
