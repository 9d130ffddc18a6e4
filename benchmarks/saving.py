"""Benchmarks of saving a run: its state within an epoch, and state and best weights after an epoch."""

import numpy as np

from benchmarks.benchmark_data import BenchmarkData, Sizes
from benchmarks.harness import Comparison, interleaved, seconds
from benchmarks.ranking import BATCH, FAST_EPOCH
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint
from chexnet.training import run_state
from chexnet.training.run_state import RunState, TrainProgress


def saving(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """DenseNet-121 with Adam's moments and the epoch's predictions, written with fsync, compared with an epoch."""
    folder = data.folder / "saving"
    weights = CheXNet().state_dict()
    moments = {f"{name}_{moment}": tensor for name, tensor in weights.items() for moment in (1, 2)}
    rng = np.random.default_rng(0)
    shape = (sizes.steps * BATCH, len(CLASS_NAMES))
    metric_state = {"labels": rng.integers(0, 2, shape, np.uint8), "probabilities": rng.random(shape, np.float32)}
    columns = ("learning_rate", "train_loss", "val_loss", "train_AUROC_avg", "val_AUROC_avg", *CLASS_NAMES)
    rows = [{"epoch": epoch, **dict.fromkeys(columns, 0.5)} for epoch in range(1, 11)]
    best = {name: tensor.numpy() for name, tensor in weights.items()}

    def save(step: int) -> None:
        progress = TrainProgress(epoch=10, step=step, rows=rows, best_epoch=9, best_weights=best)
        run_state.save(
            RunState({}, {}, {}, progress, weights, moments, {}, metric_state if step else {}), folder, keep=2
        )

    def end_of_epoch() -> None:
        save(0)
        checkpoint.save_weights(best, folder / "best_model.pdparams")

    candidates = {"within": seconds(lambda: save(sizes.steps // 2)), "end": seconds(end_of_epoch)}
    values = interleaved(candidates, sizes.repetitions)
    epoch = f"an epoch of {FAST_EPOCH:.0f} s"
    return [
        Comparison("saving", "a state within an epoch", epoch, "s", values["within"], (FAST_EPOCH,)),
        Comparison("saving", "a state and the best weights after an epoch", epoch, "s", values["end"], (FAST_EPOCH,)),
    ]
