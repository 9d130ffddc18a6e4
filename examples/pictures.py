"""Figures: training curves, test images with their predicted classes, a pair of photographs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from labeled_images import Images
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from chexnet.files import atomic_write
from chexnet.inference import overlays
from chexnet.inference.fonts import drawable, face
from chexnet.inference.overlays import BACKGROUND, MARGIN, TEXT
from chexnet.training.epoch_history import Row

SAMPLES = 8
"""Images per row and per column of the figure."""

TILE = 96
CAPTION = 40
"""Height and width of an image in the figure, and height of the caption above it, in pixels."""


def draw_curves(rows: list[Row], path: Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs as a PNG."""
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(12, 3.6))
    margins = {"left": 0.055, "right": 0.99, "bottom": 0.14, "top": 0.9, "wspace": 0.2}
    loss, accuracy, rate = figure.subplots(1, 3, gridspec_kw=margins)
    for axes, quantity, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for part, color, marker in (("train", "#0072B2", "o"), ("test", "#D55E00", "s")):
            values = [scale * row[f"{part}_{quantity}"] for row in rows]
            axes.plot(epochs, values, color=color, marker=marker, markersize=4, label=part)
        axes.legend()
    loss.set(title="Cross-entropy", ylabel="mean over the epoch")
    accuracy.set(title=f"Accuracy (test images at the end: {100 * rows[-1]['test_accuracy']:.2f} %)", ylabel="%")
    rate.step(epochs, [row["learning_rate"] for row in rows], where="mid", color="#009E73", marker="o", markersize=4)
    rate.set(title="Learning rate", yscale="log")
    for axes in (loss, accuracy, rate):
        axes.set_xlabel("epoch")
        axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


def draw_samples(images: Images, probabilities: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw the first 8 x 8 images as a PNG, each titled with its predicted class and, if that is wrong, the true one.

    Args:
        images: images to draw, at least one.
        probabilities: predicted probabilities [N, K].
        classes: names of the K classes.
        path: PNG file to write.
    """
    step = TILE + MARGIN
    width, height = SAMPLES * step + MARGIN, SAMPLES * (step + CAPTION) + MARGIN
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index in range(min(SAMPLES**2, len(images))):
        left, top = MARGIN + index % SAMPLES * step, MARGIN + index // SAMPLES * (step + CAPTION)
        predicted, label = int(probabilities[index].argmax()), int(images.labels[index])
        right, wrong = (drawable(classes[place]) for place in (label, predicted))
        title = right if predicted == label else f"not {wrong},\nis {right}"
        color = TEXT if predicted == label else overlays.COLOR
        middle = (left + TILE // 2, top + CAPTION // 2)
        draw.multiline_text(middle, title, color, face(title, 13), anchor="mm", align="center")
        image = Image.fromarray(images.pixels[index].transpose(1, 2, 0).squeeze())
        sheet.paste(image.resize((TILE, TILE), Image.Resampling.NEAREST), (left, top + CAPTION))
    with atomic_write(path) as temporary:
        sheet.save(temporary)


def draw_pair(photographs: Sequence[tuple[str, Image.Image]], path: Path) -> None:
    """Draw photographs next to each other as a PNG, each with its title.

    Args:
        photographs: title and image of each.
        path: PNG file to write.
    """
    figure = Figure(figsize=(5 * len(photographs), 5.4), layout="constrained")
    for axes, (title, image) in zip(np.atleast_1d(figure.subplots(1, len(photographs))), photographs, strict=True):
        axes.imshow(image)
        axes.set_title(title)
        axes.axis("off")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=80)
