"""Benchmark of training in two processes. As a script, it is one of the processes that are measured."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.benchmark_data import BenchmarkData, Sizes
from benchmarks.harness import Comparison, interleaved
from benchmarks.processes import ROOT
from chexnet.config import TrainConfig
from chexnet.data.transforms import Preprocessing

BATCH = 32
VALIDATED = 20
GRADIENTS = 6_968_206
"""Number of trainable values of DenseNet-121 with 14 outputs; their gradients are exchanged in every step."""


def scaling(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """Training on crops of 64 pixels, batches of 32, one thread each: two processes compared with one."""
    folder = data.folder / "scaling"
    folder.mkdir(exist_ok=True)
    small = BenchmarkData(folder, images=20, size=96, preprocessing=Preprocessing(resize=72, crop=64))
    measured: dict[int, list[dict[str, float]]] = {1: [], 2: []}

    def rate(processes: int) -> float:
        result = _measure(small, sizes.trained, processes, len(measured[processes]))
        measured[processes].append(result)
        return BATCH / result["step"]

    rates = interleaved(
        {str(processes): lambda count=processes: rate(count) for processes in measured}, sizes.repetitions
    )
    step = tuple(result["step"] for result in measured[2])
    efficiency = median(rates["2"]) / median(rates["1"]) / 2
    throughput = Comparison(
        "scaling", "2 processes", "1 process", "images/s", rates["2"], rates["1"], note=f"efficiency {efficiency:.0%}"
    )
    costs = {"all-reduce of 27.9 MB of gradients": "gradients", "exchange of losses and signals": "exchange"}
    return [throughput] + [
        Comparison("scaling", name, "a step of 2 processes", "s", tuple(result[key] for result in measured[2]), step)
        for name, key in costs.items()
    ]


def _measure(data: BenchmarkData, images: int, processes: int, run: int) -> dict[str, float]:
    listed, size = data.repeated(images), data.preprocessing
    folder = data.folder / f"{processes}_processes_{run}"
    config = TrainConfig(
        data_dir=str(listed.data_dir),
        train_list=str(listed.list_file),
        val_list=str(data.repeated(VALIDATED).list_file),
        save_dir=str(folder / "save"),
        batch_size=BATCH,
        epoch=1,
        init="random",
        resize=size.resize,
        crop=size.crop,
        num_workers=1,
        device="cpu",
        save_every_minutes=0,
    )
    folder.mkdir()
    (folder / "config.json").write_text(config.to_json())
    launcher = ["-m", "paddle.distributed.launch", "--log_level", "ERROR", "--log_dir", str(folder / "logs")]
    launcher += ["--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(Path(__file__)), str(folder)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    result: dict[str, float] = json.loads((folder / "result.json").read_text())
    return result


def _train(folder: Path) -> None:
    """Train, and write the median duration of a step and of what several processes exchange in it, in seconds."""
    import numpy as np
    import paddle

    from chexnet import distributed
    from chexnet.training import train

    ends: list[float] = []

    class Clock(paddle.callbacks.Callback):
        def on_train_batch_end(self, step: int, logs: Any = None) -> None:
            ends.append(time.perf_counter())

    config = TrainConfig.from_dict(json.loads((folder / "config.json").read_text()))
    train(TrainConfig(**{**asdict(config), "decay_epochs": tuple(config.decay_epochs)}), callbacks=[Clock()])
    result = {"step": median(np.diff(ends))}
    if distributed.launched() > 1:
        gradients = paddle.zeros([GRADIENTS])
        result["gradients"] = _median_seconds(lambda: paddle.distributed.all_reduce(gradients))
        result["exchange"] = _median_seconds(lambda: distributed.gathered(np.zeros(5)))
    if distributed.is_first():
        (folder / "result.json").write_text(json.dumps(result))


def _median_seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return median(times)


if __name__ == "__main__":
    _train(Path(sys.argv[1]))
