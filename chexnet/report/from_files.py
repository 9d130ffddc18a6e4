"""A report on files of predictions."""

import os

from chexnet.files import sha256
from chexnet.lists import check_classes, class_names, read_list
from chexnet.predictions import read_predictions
from chexnet.report.build import build
from chexnet.report.contents import Report


def report_on_files(
    predictions: str | os.PathLike[str],
    other: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    validation: str | os.PathLike[str] | None = None,
    classes: str | os.PathLike[str] | None = None,
) -> Report:
    """Everything that a report says of predictions in CSV files, see `chexnet.predictions.read_predictions`.

    Args:
        predictions: what it is about.
        other: a second model's, of the same images, to compare with.
        labels: list file of exactly these images; its labels take the place of the files'.
        validation: of other images, to choose operating points and fit calibration on; with labels of its own.
        classes: file of the names of the classes, one a line; None for the 14.

    Raises:
        InputError: a file cannot be read, or the images or labels of two of them do not agree.
    """
    names = class_names(classes)
    image_list = read_list(labels, len(names)) if labels else None
    if labels:
        check_classes(labels, names)
    given = {"predictions": predictions, "second": other, "labels": labels, "validation": validation}
    files = {**given, "classes": classes}
    return build(
        read_predictions(predictions, image_list, names),
        read_predictions(validation, classes=names) if validation else None,
        read_predictions(other, image_list, names) if other else None,
        run={"sha256": {f"{what}, {path}": sha256(path) for what, path in files.items() if path}},
    )
