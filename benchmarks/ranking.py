"""Benchmarks of the AUROC of every class: over the whole data set, and in every tenth step of an epoch."""

import numpy as np

from benchmarks import baseline
from benchmarks.benchmark_data import BenchmarkData, Sizes
from benchmarks.harness import Comparison, interleaved, seconds
from chexnet.labels import CLASS_NAMES
from chexnet.metrics import class_aurocs
from chexnet.phantom import PREVALENCE

BATCH = 128
FAST_EPOCH = 80.0
"""Seconds per epoch on the fastest machines that we consider; the metric should be negligible in comparison."""


def metric(data: BenchmarkData, sizes: Sizes) -> list[Comparison]:
    """AUROC of all classes, compared with scikit-learn per class and with the duration of an epoch."""
    from chexnet.training.auroc_metric import AUROC
    from chexnet.training.progress_logger import LOG_FREQUENCY

    rng = np.random.default_rng(0)
    prevalence = [PREVALENCE[name] for name in CLASS_NAMES]
    labels = (rng.random((sizes.listed, len(CLASS_NAMES))) < prevalence).astype(np.float32)
    scores = rng.random(labels.shape, dtype=np.float32)

    def epoch() -> None:
        auroc = AUROC()
        for step in range(1, sizes.steps + 1):
            rows = slice((step - 1) * BATCH % sizes.listed, step * BATCH % sizes.listed)
            auroc.compute_now = step % LOG_FREQUENCY == 0 or step == sizes.steps
            auroc.update(scores[rows], labels[rows])
            auroc.accumulate()

    candidates = {
        "ours": seconds(lambda: class_aurocs(labels, scores)),
        "scikit-learn": seconds(lambda: baseline.aurocs(labels, scores)),
        "epoch": seconds(epoch),
    }
    values = interleaved(candidates, sizes.repetitions)
    once = f"AUROCs of {sizes.listed:,} images"
    during = f"AUROCs of every {LOG_FREQUENCY}th of {sizes.steps} steps"
    return [
        Comparison("metric", once, "roc_auc_score per class", "s", values["ours"], values["scikit-learn"]),
        Comparison("metric", during, f"an epoch of {FAST_EPOCH:.0f} s", "s", values["epoch"], (FAST_EPOCH,)),
    ]
