"""Benchmarks of evaluation and of the network alone, on the CPU, for each engine and precision of this machine."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from benchmarks import baseline_paddle, machine
from benchmarks.benchmark_data import BenchmarkData, ListedImages, Sizes
from benchmarks.harness import Comparison, interleaved, rate
from chexnet import device, model
from chexnet.config import ENGINES, EvalConfig
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
    device.set_device("cpu")
    single, few, many = (data.repeated(count) for count in (1, sizes.reference, sizes.evaluated))
    preprocessing, images = data.preprocessing, CROPS_PER_BATCH // 10
    eager, transform = model.load(data.ckpt), baseline_paddle.ten_transform(preprocessing)
    baseline_paddle.evaluate(eager, single, transform, images)
    references = {
        "Paddle baseline": rate(lambda: baseline_paddle.evaluate(eager, few, transform, images), sizes.reference)
    }
    if find_spec("torch"):
        from benchmarks import baseline_torch

        torch = baseline_torch.load(data.ckpt)
        baseline_torch.evaluate(torch, single, preprocessing, images)
        references["PyTorch baseline"] = rate(
            lambda: baseline_torch.evaluate(torch, few, preprocessing, images), sizes.reference
        )

    def ours(spec: engines.EngineSpec) -> Candidate:
        return _evaluation(many, data.ckpt, spec)

    return _compare("ten_crop", "images/s", references, ours, ENGINES, sizes)


def one_crop(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """One-crop evaluation from the image cache with the default engine, compared with plain Paddle from PNG."""
    device.set_device("cpu")
    count, reference = 10 * sizes.evaluated, ONE_CROP_FACTOR * sizes.reference
    single, few, many = (data.repeated(images) for images in (1, reference, count))
    eager, transform = model.load(data.ckpt), baseline_paddle.center_transform(data.preprocessing)
    baseline_paddle.evaluate(eager, single, transform, CROPS_PER_BATCH)
    candidate = rate(lambda: baseline_paddle.evaluate(eager, few, transform, CROPS_PER_BATCH), reference)

    def ours(spec: engines.EngineSpec) -> Candidate:
        return _evaluation(many, data.ckpt, spec, crops=1, image_cache=str(data.cache(count)))

    return _compare("one_crop", "images/s", {"Paddle baseline, one crop": candidate}, ours, ["auto"], sizes)


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
