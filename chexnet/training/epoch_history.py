"""The history of a run: one row per epoch, as a CSV file and as curves."""

import csv
import io
from pathlib import Path

from chexnet.files import atomic_write, write_text

Row = dict[str, float]
"""One epoch: `epoch` (from 1), `learning_rate`, `train_loss`, `val_loss`, `seconds`, and
`train_<metric>` / `val_<metric>` for each AUROC."""


def write_csv(rows: list[Row], path: Path) -> None:
    """Write one line per epoch, with the columns of `Row`, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def draw_curves(rows: list[Row], path: Path) -> None:
    """Draw loss, mean AUROC and learning rate over the epochs as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(12, 3.6))
    # Fixed margins, because Matplotlib's layout engines draw everything twice.
    margins = {"left": 0.055, "right": 0.99, "bottom": 0.14, "top": 0.9, "wspace": 0.2}
    loss, auroc, rate = figure.subplots(1, 3, gridspec_kw=margins)
    for axes, quantity in ((loss, "loss"), (auroc, "AUROC_avg")):
        for split, color, marker in (("train", "#0072B2", "o"), ("val", "#D55E00", "s")):
            values = [row[f"{split}_{quantity}"] for row in rows]
            axes.plot(epochs, values, color=color, marker=marker, markersize=4, label=split)
        axes.legend()
    loss.set(title="Loss", ylabel="mean over the epoch")
    best = max(rows, key=lambda row: row["val_AUROC_avg"])
    auroc.set(title=f"Mean AUROC (highest: {best['val_AUROC_avg']:.4f}, epoch {best['epoch']:.0f})")
    auroc.axvline(best["epoch"], color="0.6", linestyle=":", zorder=0)
    rate.step(epochs, [row["learning_rate"] for row in rows], where="mid", color="#009E73", marker="o", markersize=4)
    rate.set(title="Learning rate", yscale="log")
    for axes in (loss, auroc, rate):
        axes.set_xlabel("epoch")
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)
