"""The AUROC of every class over the whole data set, and of every tenth step of an epoch."""

import numpy as np

from benchmarks import naive
from benchmarks.harness import Comparison, interleaved, seconds
from benchmarks.material import Material, Scale
from chexnet.labels import CLASS_NAMES
from chexnet.metrics import class_aurocs
from chexnet.phantom import PREVALENCE

BATCH = 128
FAST_EPOCH = 80.0
"""Seconds of an epoch on the fastest machines that we think of; the metric should be lost in it."""


def metric(material: Material, scale: Scale) -> list[Comparison]:
    """Ours against scikit-learn class by class, and its share of an epoch."""
    from chexnet.training.auroc_metric import AUROC
    from chexnet.training.progress_logger import LOG_FREQUENCY

    rng = np.random.default_rng(0)
    prevalence = [PREVALENCE[name] for name in CLASS_NAMES]
    labels = (rng.random((scale.listed, len(CLASS_NAMES))) < prevalence).astype(np.float32)
    scores = rng.random(labels.shape, dtype=np.float32)

    def epoch() -> None:
        auroc = AUROC()
        for step in range(1, scale.steps + 1):
            rows = slice((step - 1) * BATCH % scale.listed, step * BATCH % scale.listed)
            auroc.compute_now = step % LOG_FREQUENCY == 0 or step == scale.steps
            auroc.update(scores[rows], labels[rows])
            auroc.accumulate()

    sides = {
        "ours": seconds(lambda: class_aurocs(labels, scores)),
        "scikit-learn": seconds(lambda: naive.aurocs(labels, scores)),
        "epoch": seconds(epoch),
    }
    values = interleaved(sides, scale.repetitions)
    once = f"AUROCs of {scale.listed:,} images"
    during = f"AUROCs of every {LOG_FREQUENCY}th of {scale.steps} steps"
    return [
        Comparison("metric", once, "roc_auc_score per class", "s", values["ours"], values["scikit-learn"]),
        Comparison("metric", during, f"an epoch of {FAST_EPOCH:.0f} s", "s", values["epoch"], (FAST_EPOCH,)),
    ]
