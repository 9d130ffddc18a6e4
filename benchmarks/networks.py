"""Benchmarks of evaluation and of the network alone, on the CPU, for each engine and precision of this machine."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from benchmarks import baseline_paddle, machine
from benchmarks.benchmark_data import BenchmarkData, ListedImages, Sizes
from benchmarks.harness import Comparison, interleaved, process_with_threads, rate
from chexnet import device, model
from chexnet.config import CPUS, ENGINES, EvalConfig
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.inference import engines

CROPS_PER_BATCH = 20
"""Batch size of the baselines: the ten crops of two images. Eager Paddle is no faster with more."""

ONE_CROP_FACTOR = 4
"""Factor on the images of a baseline's evaluation where each has one crop instead of ten."""

Candidate = Callable[[], float]


def network(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """The network alone, on prepared crops, compared with Paddle's eager mode."""
    device.set_device("cpu")
    eager = model.load(data.ckpt)
    eager.eval()
    crop = data.preprocessing.crop
    gray = np.random.default_rng(0).integers(0, 256, (10 * sizes.evaluated, 1, crop, crop), dtype=np.uint8)
    normalized = paddle.randn([CROPS_PER_BATCH, 3, crop, crop])

    def eagerly() -> None:
        with paddle.no_grad():
            eager(normalized).numpy()

    def ours(spec: engines.EngineSpec) -> Candidate:
        ready = spec.compile(eager, crop)
        passes = range(0, len(gray), ready.preferred_batch_size)
        ready.predict(gray[: ready.preferred_batch_size])
        return rate(
            lambda: [ready.predict(gray[start : start + ready.preferred_batch_size]) for start in passes], len(gray)
        )

    eagerly()
    return _compare("network", "crops/s", {"eager Paddle": rate(eagerly, CROPS_PER_BATCH)}, ours, ENGINES, sizes)


def ten_crop(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Ten-crop evaluation from PNG to AUROC, compared with plain baselines in Paddle and PyTorch."""
    many = data.repeated(sizes.evaluated)

    def ours(spec: engines.EngineSpec) -> Candidate:
        return _evaluation(many, data.ckpt, spec)

    with _ten_crop_references(data, sizes) as references:
        return _compare("ten_crop", "images/s", references, ours, ENGINES, sizes)


def dense(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Dense evaluation from PNG to AUROC with the default engine, compared with ten crops of the plain baselines."""
    many = data.repeated(4 * sizes.evaluated)

    def ours(spec: engines.EngineSpec) -> Candidate:
        return _evaluation(many, data.ckpt, spec, crops="dense")

    with _ten_crop_references(data, sizes) as references:
        return _compare("dense", "images/s", references, ours, ["auto"], sizes)


def one_crop(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """One-crop evaluation from the image cache with the default engine, compared with plain Paddle from PNG."""
    count = 10 * sizes.evaluated
    many = data.repeated(count)

    def ours(spec: engines.EngineSpec) -> Candidate:
        return _evaluation(many, data.ckpt, spec, crops=1, image_cache=str(data.cache(count)))

    with _paddle_references(data, ONE_CROP_FACTOR * sizes.reference, CROPS_PER_BATCH, crops=1) as references:
        return _compare("one_crop", "images/s", references, ours, ["auto"], sizes)


@contextmanager
def _paddle_references(data: BenchmarkData, images: int, batch_size: int, crops: int) -> Iterator[dict[str, Candidate]]:
    """Yield the Paddle baseline with one thread, its default, and with all cores, each in a process of its own."""
    single, few = data.repeated(1), data.repeated(images)
    threads = {"Paddle baseline": 1, "Paddle baseline, all cores": CPUS}
    with ExitStack() as stack:
        calls = {name: stack.enter_context(process_with_threads(count)) for name, count in threads.items()}

        def candidate(name: str, listed: ListedImages = few) -> float:
            return calls[name](
                baseline_paddle.images_per_second, data.ckpt, listed, data.preprocessing, batch_size, crops
            )

        for name in threads:
            candidate(name, single)
        yield {name: partial(candidate, name) for name in threads}


@contextmanager
def _ten_crop_references(data: BenchmarkData, sizes: Sizes) -> Iterator[dict[str, Candidate]]:
    """Yield the ten-crop baselines in Paddle and, if it is installed, in PyTorch, which uses all cores."""
    images = CROPS_PER_BATCH // 10
    with _paddle_references(data, sizes.reference, images, crops=10) as references:
        if find_spec("torch"):
            from benchmarks import baseline_torch

            torch, few = baseline_torch.load(data.ckpt), data.repeated(sizes.reference)
            baseline_torch.evaluate(torch, data.repeated(1), data.preprocessing, images)
            references["PyTorch baseline"] = rate(
                lambda: baseline_torch.evaluate(torch, few, data.preprocessing, images), sizes.reference
            )
        yield references


def _evaluation(listed: ListedImages, ckpt: Path, spec: engines.EngineSpec, **changes: Any) -> Candidate:
    """Return a candidate that measures images per second of evaluation; `changes` are fields of the EvalConfig."""
    config = EvalConfig(
        data_dir=str(listed.data_dir),
        test_list=str(listed.list_file),
        ckpt=str(ckpt),
        device="cpu",
        engine=spec.engine,
        precision=spec.precision,
        **changes,
    )

    def candidate() -> float:
        result = evaluate(config)
        return len(result.names) / result.seconds

    return candidate


def _compare(
    case: str,
    unit: str,
    references: Mapping[str, Candidate],
    ours: Callable[[engines.EngineSpec], Candidate],
    engine_names: Sequence[str],
    sizes: Sizes,
) -> list[Comparison]:
    """Compare every engine, in each precision that this CPU computes natively, with the references."""
    specs: dict[str, engines.EngineSpec] = {}
    unavailable: dict[str, InputError] = {}
    for precision in ("float32", "bfloat16") if machine.has_bfloat16() else ("float32",):
        for name in engine_names:
            try:
                spec = engines.select_engine(name, precision)
                specs[spec.description] = spec
            except InputError as error:
                unavailable[f"{name}, {precision}"] = error
    candidates = {description: ours(spec) for description, spec in specs.items()}
    values = interleaved({**references, **candidates}, sizes.repetitions)
    return [
        Comparison(case, description, reference, unit, values[description], values[reference], spec.precision)
        for reference in references
        for description, spec in specs.items()
    ] + [Comparison(case, name, "", unit, (), (), note=str(error)) for name, error in unavailable.items()]
