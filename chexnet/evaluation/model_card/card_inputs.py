"""Read everything that a model card is made of."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chexnet.config import CardConfig, TrainConfig
from chexnet.data import audit
from chexnet.data.lists import check_classes, read_list
from chexnet.errors import InputError
from chexnet.evaluation.model_card.card_details import read_details
from chexnet.evaluation.model_card.card_report import CardReport, read_report
from chexnet.files.json_files import read_object
from chexnet.inference.thresholds import Thresholds, read_thresholds, thresholds_path
from chexnet.model import Checkpoint, open_checkpoint

SUFFIX = ".card.md"


@dataclass(frozen=True)
class CardInputs:
    """All that is known about a checkpoint.

    Attributes:
        checkpoint: the checkpoint.
        lists: audit of its lists; None if none was given.
        roles: training, validation or test, for each list of the audit.
        report: results of an evaluation, if there is one.
        rounded: True if the report is of the weights before they were rounded to float16.
        thresholds: operating points and calibration, if there are any.
        train_config: settings of the training, if they are known.
        shortcuts: content of a shortcuts.json, if there is one.
        details: what people wrote, see `card_details.DETAILS`.
    """

    checkpoint: Checkpoint
    lists: audit.Audit | None
    roles: tuple[str, ...]
    report: CardReport | None
    rounded: bool
    thresholds: Thresholds | None
    train_config: TrainConfig | None
    shortcuts: dict[str, Any] | None
    details: dict[str, str]


def card_path(ckpt: str | os.PathLike[str]) -> Path:
    """Return the path of a checkpoint's model card: `best_model.pdparams` -> `best_model.card.md`."""
    return Path(ckpt).with_suffix(SUFFIX)


def read_card_inputs(ckpt: str | os.PathLike[str], config: CardConfig) -> CardInputs:
    """Read the checkpoint, its threshold file and the files of the configuration.

    Raises:
        InputError: a file cannot be read, belongs to other weights, or has other classes.
    """
    checkpoint = open_checkpoint(ckpt)
    classes = checkpoint.config.classes
    checksums = [checkpoint.sha256, checkpoint.metadata.get("source_sha256")]
    report = read_report(config.report) if config.report else None
    if report and tuple(row.name for row in report.findings) != classes:
        raise InputError(f"{report.path}: has other classes than {ckpt}, expected {', '.join(classes)}")
    if report and (report.members > 1 or report.ckpt_sha256 not in (None, *checksums)):
        raise InputError(
            f"{report.path}: is about {_of(report)}, expected a report on {ckpt} with SHA-256 {checkpoint.sha256}"
        )
    points = thresholds_path(ckpt)
    paths = {"training": config.train_list, "validation": config.val_list, "test": config.test_list}
    given = {role: path for role, path in paths.items() if path}
    for path in given.values():
        check_classes(path, classes)
    lists = [read_list(path, len(classes)) for path in given.values()]
    return CardInputs(
        checkpoint=checkpoint,
        lists=audit.audit(lists, classes, metadata=checkpoint.metadata) if lists else None,
        roles=tuple(given),
        report=report,
        rounded=report is not None and report.ckpt_sha256 not in (None, checkpoint.sha256),
        thresholds=read_thresholds(points, checkpoint.sha256, classes) if points.exists() else None,
        train_config=_train_config(config.train_config) if config.train_config else None,
        shortcuts=_shortcuts(config.shortcuts, checksums) if config.shortcuts else None,
        details=read_details(config.details) if config.details else {},
    )


def _of(report: CardReport) -> str:
    if report.members > 1:
        return f"an average of {report.members} checkpoints"
    return f"weights with SHA-256 {str(report.ckpt_sha256)[:64]}"


def _train_config(path: str) -> TrainConfig:
    try:
        return TrainConfig.from_dict(read_object(path))
    except TypeError as error:
        raise InputError(f"{path}: not the config.json of a training run: {error}") from error


def _shortcuts(path: str, checksums: list[Any]) -> dict[str, Any]:
    content = read_object(path)
    rows = content.get("shortcuts")
    entries = rows if isinstance(rows, list) else [None]
    if not all(isinstance(row, dict) and {"planted", "finding"} <= row.keys() for row in entries):
        raise InputError(f"{path}: not a shortcuts.json of tools/shortcuts.py")
    if content.get("ckpt_sha256") not in checksums:
        raise InputError(
            f"{path}: is about weights with SHA-256 {str(content.get('ckpt_sha256'))[:64]}, expected {checksums[0]}"
        )
    return content
