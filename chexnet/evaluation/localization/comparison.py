"""Compare the class maps of a checkpoint with the ground-truth boxes of a file."""

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

import chexnet
from chexnet._types import LogFn, ProgressFn
from chexnet.config import LocalizationConfig
from chexnet.data import lists
from chexnet.data.images.survey import survey
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.evaluation.localization import boxes
from chexnet.evaluation.localization.box_files import describe_unknown, read_boxes
from chexnet.evaluation.localization.boxes import GroundTruthBox
from chexnet.evaluation.localization.cases import Case, Sample, make_case, make_sample
from chexnet.evaluation.localization.hit_rates import LocalizationScores, score_cases
from chexnet.files import check_inputs, sha256, write_text
from chexnet.files.text_files import shorten_all
from chexnet.inference import Prediction, Predictor, load_for_scoring
from chexnet.inference.predictor import MAX_BATCH_IMAGES
from chexnet.prefetch import prefetch_map

SAMPLES_PER_FINDING = 2
"""Cases per finding on the contact sheet. They are the first of the box file; selecting by result would be biased."""

RULES = {
    "case": "an image and a finding; of several ground-truth boxes, one is enough",
    "pointing": "the map's maximum lies in a ground-truth box, tolerance 0 pixels",
    "found_box": "predicted box: bounding box of the pixels connected to the maximum with at least "
    f"{boxes.BOX_THRESHOLD:g} times its value; none if the maximum is not above 0",
    "iobb, iou": "highest overlap of the predicted box with a ground-truth box; a hit if above the threshold",
    "mask": "the same with polygons: a pixel belongs to a polygon if its center is inside (even-odd rule); the map's "
    "maximum is a hit if its pixel is in a polygon; iobb and iou compare the pixels of a polygon with those connected "
    "to the maximum, not with their box; of several polygons, one is enough",
}

_ScoredCase = tuple[Case, Sample | None]


@dataclass(frozen=True)
class LocalizationResult:
    """Result of a localization run.

    Attributes:
        config: the configuration, with the `crops` that were used.
        engine: engine, precision, device and threads, as text.
        preprocessing: how the images were resized and cropped.
        cases: one case per image and finding, in the order of the box file.
        left_out: one line per box or image that could not be compared, with the reason.
        no_class: numbers of boxes of findings that the checkpoint has no class for, as text; may be empty.
        scores: hit rates per finding and their means.
        samples: a few cases with image and map, for the contact sheet.
        sha256: checksums of the weights that were loaded, of the box file and of the list.
        seconds: duration in seconds.
    """

    config: LocalizationConfig
    engine: str
    preprocessing: Preprocessing
    cases: tuple[Case, ...]
    left_out: tuple[str, ...]
    no_class: str
    scores: LocalizationScores
    samples: tuple[Sample, ...]
    sha256: Mapping[str, str]
    seconds: float

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write scores with intervals, rules, all cases, skipped boxes, configuration and checksums.

        Raises:
            InputError: the file cannot be written.
        """
        content = {
            **self.scores.to_dict(),
            "rules": RULES,
            "left_out": self.left_out,
            "no_class": self.no_class,
            "config": asdict(self.config),
            "engine": self.engine,
            "preprocessing": asdict(self.preprocessing),
            "chexnet": chexnet.__version__,
            "sha256": dict(self.sha256),
            "seconds": round(self.seconds, 1),
            "cases": [case.to_dict() for case in self.cases],
        }
        write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def localize(
    config: LocalizationConfig,
    log: LogFn | None = None,
    progress: ProgressFn | None = None,
    outputs: Collection[str] = (),
) -> LocalizationResult:
    """Compare the class maps of `config.ckpt` with the ground-truth boxes of `config.boxes`.

    Boxes outside their image, images that cannot be decoded and findings that the checkpoint has no class for are left
    out. Memory does not grow with the number of images, apart from a few numbers per case.

    Args:
        config: checkpoint, boxes and images.
        log: called with each line of the log.
        progress: called after each image.
        outputs: files that the caller is going to write; none may be one of the images.

    Raises:
        InputError: the checkpoint, the box file, the list, the device or the engine cannot be used, images are
            missing or would be overwritten, or nothing is left to compare.
    """
    log = log or (lambda line: None)
    (predictor,) = load_for_scoring(config, [config.ckpt], log)
    classes, preprocessing = predictor.classes, predictor.preprocessing
    config = replace(config, crops=predictor.crops)
    inputs = _read_inputs(config, classes)
    check_inputs(inputs.files.values(), outputs)
    left_out = list(inputs.invalid_boxes)
    files = {"boxes": config.boxes, "test_list": config.test_list}
    digests = {"ckpt": predictor.ckpt_sha256, **{name: sha256(path) for name, path in files.items() if path}}
    if warning := survey(list(inputs.files.values()), preprocessing.sample_bits, config.num_workers):
        log(f"=> warning: {config.data_dir}: {warning}")
    predictor.compile()

    started = time.monotonic()
    scored: list[_ScoredCase] = []
    for done, outcome in enumerate(_score_images(predictor, inputs), start=1):
        cases, faults = outcome
        scored += cases
        left_out += faults
        if progress:
            progress(done, len(inputs.boxes))
    if not scored:
        raise InputError(f"{config.boxes}: no box can be compared, expected at least one; the first: {left_out[0]}")
    by_class = sorted(scored, key=lambda item: classes.index(item[0].finding))
    return LocalizationResult(
        config=config,
        engine=predictor.engine,
        preprocessing=preprocessing,
        cases=tuple(case for case, _ in scored),
        left_out=tuple(left_out),
        no_class=inputs.no_class,
        scores=score_cases([case for case, _ in by_class], inputs.patients),
        samples=tuple(sample for _, sample in by_class if sample is not None),
        sha256=digests,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Inputs:
    """Ground-truth boxes with their images.

    Attributes:
        boxes: ground-truth boxes by image.
        files: paths by image.
        patients: patients of the images.
        invalid_boxes: one line per box that is left out, with the reason.
        no_class: see `LocalizationResult`.
    """

    boxes: dict[str, list[GroundTruthBox]]
    files: dict[str, Path]
    patients: lists.Patients
    invalid_boxes: list[str]
    no_class: str


def _read_inputs(config: LocalizationConfig, classes: Sequence[str]) -> _Inputs:
    """Read the box file and find its images."""
    truth = read_boxes(config.boxes, classes)
    patients = None
    if config.test_list is not None:
        lists.check_classes(config.test_list, classes)
        listed = lists.read_list(config.test_list, len(classes))
        truth, patients = _restrict_to_list(truth, listed), listed.patients
        if not truth:
            raise InputError(f"{config.boxes}: no box of an image of {config.test_list}, expected at least one")
    no_class = describe_unknown(truth, classes)
    truth = tuple(box for box in truth if box.finding in classes)
    if not truth:
        raise InputError(
            f"{config.boxes}: {no_class}; its classes are {shorten_all(classes)}, expected boxes of one of them"
        )
    names = list(dict.fromkeys(box.image for box in truth))
    files = _find_images(config, names)
    by_image: dict[str, list[GroundTruthBox]] = {}
    invalid = []
    for box in truth:
        # Boxes in pixels of the image file are checked when it is open.
        if box.space is not None and (fault := box.fault(*box.space)):
            invalid.append(fault)
        else:
            by_image.setdefault(box.image, []).append(box)
    return _Inputs(by_image, files, patients or lists.Patients(tuple(names)), invalid, no_class)


def _restrict_to_list(truth: Sequence[GroundTruthBox], listed: lists.ImageList) -> tuple[GroundTruthBox, ...]:
    """Keep the boxes of images in a list, with the list's names for these images."""
    names = {lists.image_id(name): name for name in listed.names}
    names |= {PurePosixPath(name).stem: name for name in listed.names}  # boxes may name images without suffix
    names |= {name: name for name in listed.names}
    pairs = ((box, names.get(box.image) or names.get(lists.image_id(box.image))) for box in truth)
    return tuple(replace(box, image=name) for box, name in pairs if name)


def _find_images(config: LocalizationConfig, names: Sequence[str]) -> dict[str, Path]:
    paths = dict(zip(names, lists.find_images(names, config.data_dir, config.boxes), strict=True))
    if absent := [name for name, path in paths.items() if path is None and not PurePosixPath(name).suffix]:
        paths |= _find_by_stem(absent, Path(config.data_dir), config.boxes)
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        message = lists.missing_images_error(config.boxes, config.data_dir, len(names), missing)
        raise InputError(f"{message}; --test_list FILE uses only the boxes of images in a list")
    return {name: path for name, path in paths.items() if path is not None}


def _find_by_stem(names: Sequence[str], folder: Path, source: str) -> dict[str, Path | None]:
    """Find the files of images whose names have no suffix. Raises InputError if an image matches two files."""
    found: dict[str, Path | None] = dict.fromkeys(names)
    for root, _, files in os.walk(folder):
        for file in sorted(files):
            stem = PurePosixPath(file).stem
            if stem not in found:
                continue
            if other := found[stem]:
                raise InputError(
                    f"{source}: the image {stem} matches {other} and {Path(root, file)}, expected one file"
                )
            found[stem] = Path(root, file)
    return found


def _score_images(predictor: Predictor, inputs: _Inputs) -> Iterator[tuple[list[_ScoredCase], list[str]]]:
    """Yield the cases of each image and what was left out. Threads score while the network computes."""
    sampled = _select_samples(inputs.boxes)

    def score_image(item: tuple[str, Prediction | InputError]) -> tuple[list[_ScoredCase], list[str]]:
        name, prediction = item
        if isinstance(prediction, InputError):
            return [], [str(prediction)]
        gray, scored = prediction.gray, []
        faults = [fault for box in inputs.boxes[name] if (fault := box.fault(gray.width, gray.height))]
        inside = [box for box in inputs.boxes[name] if not box.fault(gray.width, gray.height)]
        for finding in dict.fromkeys(box.finding for box in inside):
            values = prediction.cam(finding)
            own = [box for box in inside if box.finding == finding]
            truth = np.stack([box.to_pixels(gray.height, gray.width) for box in own])
            polygons = [box.polygon_pixels(gray.height, gray.width) for box in own if box.polygon]
            case = make_case(name, finding, prediction.probability(finding), values, truth, polygons)
            sample = make_sample(case, gray, values, polygons) if (name, finding) in sampled else None
            scored.append((case, sample))
        return scored, faults

    workers = predictor.config.num_workers
    with closing(predictor.predict_all(inputs.files[name] for name in inputs.boxes)) as predictions:
        items = zip(inputs.boxes, predictions, strict=True)
        with closing(prefetch_map(score_image, items, workers, buffer_size=MAX_BATCH_IMAGES)) as outcomes:
            yield from outcomes


def _select_samples(boxes_by_image: Mapping[str, Sequence[GroundTruthBox]]) -> set[tuple[str, str]]:
    """Return image and finding of the cases for the contact sheet."""
    images: dict[str, dict[str, None]] = {}
    for name, image_boxes in boxes_by_image.items():
        for box in image_boxes:
            images.setdefault(box.finding, {}).setdefault(name)
    return {(name, finding) for finding, names in images.items() for name in list(names)[:SAMPLES_PER_FINDING]}
