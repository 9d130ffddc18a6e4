"""Functions shared by the baseline pipelines, written plainly, like the original scripts."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sklearn.metrics import roc_auc_score


def read_lines(list_file: Path) -> tuple[list[str], list[list[int]]]:
    """Return the names and labels of a list file."""
    names = []
    labels = []
    with open(list_file, encoding="utf-8") as file:
        for line in file:
            items = line.split()
            names.append(items[0])
            labels.append([int(item) for item in items[1:]])
    return names, labels


def ten_crop(image: Image.Image, size: int) -> list[Image.Image]:
    """Return the four corners and the center of an image, then those of the flipped image."""
    right, bottom = image.width - size, image.height - size
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (round(right / 2), round(bottom / 2))]
    return [
        view.crop((left, top, left + size, top + size))
        for view in (image, ImageOps.mirror(image))
        for left, top in corners
    ]


def aurocs(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Return scikit-learn's AUROC of each class, NaN for a class with only positives or only negatives."""
    return [
        float(roc_auc_score(labels[:, c], probabilities[:, c]))
        if len(set(labels[:, c].tolist())) == 2
        else float("nan")
        for c in range(labels.shape[1])
    ]
