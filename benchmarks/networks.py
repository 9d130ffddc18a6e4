"""Evaluation and the network in it, on the CPU, for every engine and precision that this machine has."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from benchmarks import machine, naive_paddle
from benchmarks.harness import Comparison, interleaved, rate
from benchmarks.material import Data, Material, Scale
from chexnet import device, model
from chexnet.config import ENGINES, EvalConfig
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.inference import engines

CROPS_A_BATCH = 20
"""Crops that a reference gives its network together, two images' ten. Eager Paddle is no faster with more."""

CENTERS = 4
"""A reference evaluates this many times more images where each has one crop instead of ten."""

Side = Callable[[], float]


def network(material: Material, scale: Scale) -> list[Comparison]:
    """The network alone, on crops that are ready, against Paddle's eager mode."""
    device.set_device("cpu")
    eager = model.load(material.ckpt)
    eager.eval()
    crop = material.preprocessing.crop
    gray = np.random.default_rng(0).integers(0, 256, (10 * scale.evaluated, 1, crop, crop), dtype=np.uint8)
    normalised = paddle.randn([CROPS_A_BATCH, 3, crop, crop])

    def eagerly() -> None:
        with paddle.no_grad():
            eager(normalised).numpy()

    def ours(choice: engines.EngineSpec) -> Side:
        ready = choice.compile(eager, crop)
        passes = range(0, len(gray), ready.preferred_batch_size)
        ready.predict(gray[: ready.preferred_batch_size])
        return rate(
            lambda: [ready.predict(gray[start : start + ready.preferred_batch_size]) for start in passes], len(gray)
        )

    eagerly()
    return _compared("network", "crops/s", {"eager Paddle": rate(eagerly, CROPS_A_BATCH)}, ours, ENGINES, scale)


def ten_crop(material: Material, scale: Scale) -> list[Comparison]:
    """Ten-crop evaluation from PNG to AUROC, against the same written plainly in Paddle and in PyTorch."""
    device.set_device("cpu")
    one, few, many = (material.repeated(count) for count in (1, scale.reference, scale.evaluated))
    sizes, images = material.preprocessing, CROPS_A_BATCH // 10
    eager, transform = model.load(material.ckpt), naive_paddle.ten_transform(sizes)
    naive_paddle.evaluate(eager, one, transform, images)
    references = {"naive Paddle": rate(lambda: naive_paddle.evaluate(eager, few, transform, images), scale.reference)}
    if find_spec("torch"):
        from benchmarks import naive_torch

        torch = naive_torch.load(material.ckpt)
        naive_torch.evaluate(torch, one, sizes, images)
        references["naive PyTorch"] = rate(lambda: naive_torch.evaluate(torch, few, sizes, images), scale.reference)

    def ours(choice: engines.EngineSpec) -> Side:
        return _evaluation(many, material.ckpt, choice)

    return _compared("ten_crop", "images/s", references, ours, ENGINES, scale)


def one_crop(material: Material, scale: Scale) -> list[Comparison]:
    """One-crop evaluation from the image cache by the default engine, against plain Paddle from PNG."""
    device.set_device("cpu")
    count, reference = 10 * scale.evaluated, CENTERS * scale.reference
    one, few, many = (material.repeated(images) for images in (1, reference, count))
    eager, transform = model.load(material.ckpt), naive_paddle.center_transform(material.preprocessing)
    naive_paddle.evaluate(eager, one, transform, CROPS_A_BATCH)
    side = rate(lambda: naive_paddle.evaluate(eager, few, transform, CROPS_A_BATCH), reference)

    def ours(choice: engines.EngineSpec) -> Side:
        return _evaluation(many, material.ckpt, choice, crops=1, image_cache=str(material.cache(count)))

    return _compared("one_crop", "images/s", {"naive Paddle, one crop": side}, ours, ["auto"], scale)


def _evaluation(data: Data, ckpt: Path, choice: engines.EngineSpec, **changes: Any) -> Side:
    """Images in a second, once the network is compiled; `changes` are other fields of the EvalConfig."""
    config = EvalConfig(
        data_dir=str(data.data_dir),
        test_list=str(data.list_file),
        ckpt=str(ckpt),
        device="cpu",
        engine=choice.engine,
        precision=choice.precision,
        **changes,
    )

    def side() -> float:
        result = evaluate(config)
        return len(result.names) / result.seconds

    return side


def _compared(
    case: str,
    unit: str,
    references: Mapping[str, Side],
    ours: Callable[[engines.EngineSpec], Side],
    engines: Sequence[str],
    scale: Scale,
) -> list[Comparison]:
    """Measures what `ours` makes of the engines, in every precision worth it, beside the references."""
    chosen: dict[str, engines.Choice] = {}
    lacking: dict[str, InputError] = {}
    for precision in ("float32", "bfloat16") if machine.has_bfloat16() else ("float32",):
        for name in engines:
            try:
                choice = engines.choose(name, precision)
                chosen[choice.description] = choice
            except InputError as error:
                lacking[f"{name}, {precision}"] = error
    sides = {words: ours(choice) for words, choice in chosen.items()}
    values = interleaved({**references, **sides}, scale.repetitions)
    return [
        Comparison(case, words, reference, unit, values[words], values[reference], choice.precision)
        for reference in references
        for words, choice in chosen.items()
    ] + [Comparison(case, words, "", unit, (), (), note=str(error)) for words, error in lacking.items()]
