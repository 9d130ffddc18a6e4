"""Compare the class maps of a checkpoint with the ground-truth boxes of a file."""

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import chexnet
from chexnet._types import LogFn, ProgressFn
from chexnet.config import LocalizationConfig
from chexnet.data import lists
from chexnet.data.images.survey import survey
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation.localization import boxes
from chexnet.evaluation.localization.boxes import GroundTruthBox
from chexnet.evaluation.localization.cases import Case, Sample, compare, sample
from chexnet.evaluation.localization.hit_rates import Scores, score_cases
from chexnet.files import check_inputs, sha256, write_text
from chexnet.files.text_files import shorten_all
from chexnet.inference import Prediction, Predictor, load_for_scoring
from chexnet.inference.predictor import MAX_BATCH_IMAGES
from chexnet.prefetch import prefetch_map

SAMPLES_A_FINDING = 2
"""Cases per finding on the contact sheet: the first of the box file, because a choice by result would flatter."""

RULES = {
    "case": "an image and a finding; where several boxes are drawn, one is enough",
    "pointing": "the map's maximum lies in a drawn box, tolerance 0 pixels",
    "found_box": "around the pixels connected with the maximum that have at least "
    f"{boxes.BOX_THRESHOLD:g} of it; none where the maximum is not above 0",
    "iobb, iou": "of the found box and the drawn one that it agrees with best; found if above the threshold",
}

_Scored = tuple[Case, Sample | None]


@dataclass(frozen=True)
class LocalizationResult:
    """Result of a comparison.

    Attributes:
        config: the configuration, with the number of crops that was used.
        engine: engine, precision, device and threads, as text.
        preprocessing: how the images were resized and cropped.
        cases: every image with each of its findings, in the order of the box file.
        left_out: a line per box or image that could not be compared, with the reason.
        scores: hit rates, per finding and averaged over the findings.
        samples: a few cases with their pictures.
        sha256: checksums of the weights that were loaded, and of the box file and the list when they were read.
        seconds: time from the first image to the last.
    """

    config: LocalizationConfig
    engine: str
    preprocessing: Preprocessing
    cases: tuple[Case, ...]
    left_out: tuple[str, ...]
    scores: Scores
    samples: tuple[Sample, ...]
    sha256: Mapping[str, str]
    seconds: float

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write scores with intervals, rules, all cases, what was left out, configuration and checksums.

        Raises:
            InputError: the file cannot be written.
        """
        facts = {
            **self.scores.to_dict(),
            "rules": RULES,
            "left_out": self.left_out,
            "config": asdict(self.config),
            "engine": self.engine,
            "preprocessing": asdict(self.preprocessing),
            "chexnet": chexnet.__version__,
            "sha256": dict(self.sha256),
            "seconds": round(self.seconds, 1),
            "cases": [case.to_dict() for case in self.cases],
        }
        write_text(path, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def localize(
    config: LocalizationConfig,
    log: LogFn | None = None,
    progress: ProgressFn | None = None,
    outputs: Collection[str] = (),
) -> LocalizationResult:
    """Compare the class maps of `config.ckpt` with the ground-truth boxes of `config.boxes`.

    Memory does not grow with the number of images, apart from some numbers per case.

    Args:
        config: the comparison.
        log: takes lines for a person.
        progress: called after each image.
        outputs: files that the caller will write, none of which may be one of the images.

    Raises:
        InputError: the checkpoint, the box file, the list, the device or the engine cannot be used, images are
            missing or would be overwritten, or nothing is left to compare. A box outside its image and an image that
            does not decode are left out.
    """
    log = log or (lambda line: None)
    (predictor,) = load_for_scoring(config, [config.ckpt], log)
    classes, preprocessing = predictor.classes, predictor.preprocessing
    config = replace(config, crops=predictor.crops)
    asked = _asked(config, classes)
    check_inputs(asked.files.values(), outputs)
    left_out = list(asked.outside)
    read = {"boxes": config.boxes, "test_list": config.test_list}
    digests = {"ckpt": predictor.ckpt_sha256, **{name: sha256(file) for name, file in read.items() if file is not None}}
    if warning := survey(list(asked.files.values()), preprocessing.sample_bits, config.num_workers):
        log(f"=> warning: {config.data_dir}: {warning}")
    predictor.compile()

    started = time.monotonic()
    scored: list[_Scored] = []
    for done, outcome in enumerate(_compare_all(predictor, asked), start=1):
        if isinstance(outcome, InputError):
            left_out.append(str(outcome))
        else:
            scored += outcome
        if progress:
            progress(done, len(asked.boxes))
    if not scored:
        raise InputError(f"{config.boxes}: no box can be compared, expected at least one; the first: {left_out[0]}")
    by_class = sorted(scored, key=lambda item: classes.index(item[0].finding))
    return LocalizationResult(
        config=config,
        engine=predictor.engine,
        preprocessing=preprocessing,
        cases=tuple(case for case, _ in scored),
        left_out=tuple(left_out),
        scores=score_cases([case for case, _ in by_class], asked.patients),
        samples=tuple(picture for _, picture in by_class if picture is not None),
        sha256=digests,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Asked:
    """What a box file asks for.

    Attributes:
        boxes: image -> its ground-truth boxes.
        files: image -> its path.
        patients: patients of the images.
        outside: a line per box that is left out, with the reason.
    """

    boxes: dict[str, list[GroundTruthBox]]
    files: dict[str, Path]
    patients: lists.Patients
    outside: list[str]


def _asked(config: LocalizationConfig, classes: Sequence[str]) -> _Asked:
    """Read the box file and find its images."""
    asked = boxes.read_boxes(config.boxes, classes)
    patients = None
    if config.test_list is not None:
        lists.check_classes(config.test_list, classes)
        listed = lists.read_list(config.test_list, len(classes))
        asked, patients = _of_list(asked, listed), listed.patients
        if not asked:
            raise InputError(f"{config.boxes}: no box of an image of {config.test_list}, expected at least one")
    if unknown := [box.finding for box in asked if box.finding not in classes]:
        raise InputError(
            f"{config.boxes}: {len(unknown)} boxes of what the checkpoint has no class for, such as {unknown[0]}; "
            f"its classes are {shorten_all(classes)}: leave these boxes out"
        )
    names = list(dict.fromkeys(box.image for box in asked))
    files = _find_images(config, names)
    by_image: dict[str, list[GroundTruthBox]] = {}
    outside = []
    for box in asked:
        if box.is_valid:
            by_image.setdefault(box.image, []).append(box)
        else:
            xywh = ",".join(f"{value:g}" for value in box.xywh)
            outside.append(
                f"{config.boxes}:{box.line}: {box.image}: the box {xywh} is not inside the image, "
                f"expected it within 0..{boxes.BOX_SPACE}"
            )
    return _Asked(by_image, files, patients or lists.Patients(tuple(names)), outside)


def _of_list(asked: Sequence[GroundTruthBox], listed: lists.ImageList) -> tuple[GroundTruthBox, ...]:
    """Keep the boxes of images in a list, with the list's names for these images."""
    names = {lists.image_id(name): name for name in listed.names}
    names |= {name: name for name in listed.names}
    found = ((box, names.get(box.image) or names.get(lists.image_id(box.image))) for box in asked)
    return tuple(replace(box, image=name) for box, name in found if name)


def _find_images(config: LocalizationConfig, names: Sequence[str]) -> dict[str, Path]:
    found = lists.find_images(names, config.data_dir, config.boxes)
    missing = [name for name, path in zip(names, found, strict=True) if path is None]
    if missing:
        told = lists.missing_images(config.boxes, config.data_dir, len(names), missing)
        raise InputError(f"{told}; --test_list FILE takes the boxes of the images of a list")
    return {name: path for name, path in zip(names, found, strict=True) if path is not None}


def _compare_all(predictor: Predictor, asked: _Asked) -> Iterator[list[_Scored] | InputError]:
    """Yield the cases of each image, or why it cannot be read. Threads score while the network computes."""
    sampled = _sampled(asked.boxes)

    def compare_image(item: tuple[str, Prediction | InputError]) -> list[_Scored] | InputError:
        name, prediction = item
        if isinstance(prediction, InputError):
            return prediction
        gray, scored = prediction.gray, []
        for finding in dict.fromkeys(box.finding for box in asked.boxes[name]):
            values = prediction.cam(finding)
            truth = [box.to_pixels(gray.height, gray.width) for box in asked.boxes[name] if box.finding == finding]
            case = compare(name, finding, prediction.probability(finding), values, np.stack(truth))
            scored.append((case, sample(case, gray, values) if (name, finding) in sampled else None))
        return scored

    workers = predictor.config.num_workers
    with closing(predictor.predict_all(asked.files[name] for name in asked.boxes)) as predictions:
        items = zip(asked.boxes, predictions, strict=True)
        with closing(prefetch_map(compare_image, items, workers, buffer_size=MAX_BATCH_IMAGES)) as outcomes:
            yield from outcomes


def _sampled(boxes_by_image: Mapping[str, Sequence[GroundTruthBox]]) -> set[tuple[str, str]]:
    """Return image and finding of the cases that become samples."""
    images: dict[str, dict[str, None]] = {}
    for name, image_boxes in boxes_by_image.items():
        for box in image_boxes:
            images.setdefault(box.finding, {}).setdefault(name)
    return {(name, finding) for finding, names in images.items() for name in list(names)[:SAMPLES_A_FINDING]}
