"""Class maps of a checkpoint beside the boxes of a file."""

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

import chexnet
from chexnet import boxes, cam, device, engine, images, lists, model
from chexnet.backbones import FeatureGrid
from chexnet.boxes import DrawnBox
from chexnet.config import LocalizationConfig
from chexnet.engine import Viewer
from chexnet.errors import InputError
from chexnet.files import check_inputs, sha256, write_text
from chexnet.images.survey import survey
from chexnet.localization.cases import Case, Sample, compare, sample
from chexnet.localization.scores import Scores, score_cases
from chexnet.text_files import shorten_all
from chexnet.threads import ahead
from chexnet.transforms import Geometry, Preprocessing

SAMPLES_A_FINDING = 2
"""Cases that are kept for the contact sheet, the first ones of the box file: to choose by the result would flatter."""

RULES = {
    "case": "an image and a finding; where several boxes are drawn, one is enough",
    "pointing": "the map's maximum lies in a drawn box, tolerance 0 pixels",
    "found_box": "around the pixels connected with the maximum that have at least "
    f"{boxes.FOUND_FRACTION:g} of it; none where the maximum is not above 0",
    "iobb, iou": "of the found box and the drawn one that it agrees with best; found if above the threshold",
}

Progress = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""

_Read = tuple[str, Image.Image, Geometry, np.ndarray]
"""Name, gray image, where its crops lie, and the crops, uint8 [K, 1, crop, crop]."""

_Scored = list[tuple[Case, Sample | None]]


@dataclass(frozen=True)
class LocalizationResult:
    """What a comparison found.

    Attributes:
        config: what was asked for.
        engine: what computed it, in words.
        preprocessing: how the images were resized and cropped.
        cases: every image with each of its findings, in the order of the box file.
        left_out: what could not be compared, a line each with the reason.
        scores: shares of the cases, by finding and in the mean.
        samples: the pictures of a few cases.
        sha256: of the weights that were loaded, and of the box file and the list when they were read.
        seconds: from the first image to the last.
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
        """Writes scores with intervals, rules, every case, what was left out, configuration and checksums.

        Raises:
            InputError: the file cannot be written.
        """
        facts = {
            **self.scores.facts(),
            "rules": RULES,
            "left_out": self.left_out,
            "config": asdict(self.config),
            "engine": self.engine,
            "preprocessing": asdict(self.preprocessing),
            "chexnet": chexnet.__version__,
            "sha256": dict(self.sha256),
            "seconds": round(self.seconds, 1),
            "cases": [case.facts() for case in self.cases],
        }
        write_text(path, json.dumps(facts, indent=2, allow_nan=False) + "\n")


def localize(
    config: LocalizationConfig,
    report: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    outputs: Collection[str] = (),
) -> LocalizationResult:
    """Compares the class maps of `config.ckpt` with the boxes of `config.boxes`.

    Memory does not grow with the number of images, apart from some numbers a case.

    Args:
        config: the comparison.
        report: takes lines for a person.
        progress: is told how far it is.
        outputs: files that the caller will write, none of which may be one of the images.

    Raises:
        InputError: the checkpoint, the box file, the list, the device or the engine cannot be used, images are
            missing or would be overwritten, or nothing is left to compare. A box outside its image and an image that
            does not decode are left out.
    """
    tell = report or (lambda line: None)
    device.select(config.device)
    choice = engine.choose(config.engine, config.precision)
    tell(f"=> {choice.description}")
    named = lists.class_names(config.classes_file) if config.classes_file else None
    opened = model.open_checkpoint(config.ckpt, config.backbone, named, config.sample_bits)
    description = opened.description
    preprocessing = description.preprocessing
    crops = config.crops or description.crops
    config = replace(config, crops=crops)
    tell(f"=> {crops} crop{'s' * (crops > 1)} of {preprocessing.words}")
    if opened.notice:
        tell(f"=> {config.ckpt}: {opened.notice}")
    asked = _asked(config, description.classes)
    check_inputs(asked.files.values(), outputs)
    left_out = list(asked.outside)
    read = {"boxes": config.boxes, "test_list": config.test_list}
    digests = {"ckpt": opened.sha256, **{name: sha256(file) for name, file in read.items() if file is not None}}
    tell("=> loading checkpoint")
    network = opened.network()
    tell("=> loaded checkpoint")
    viewer = Viewer(choice, network, preprocessing.crop)
    if warning := survey(list(asked.files.values()), preprocessing.sample_bits, config.num_workers):
        tell(f"=> warning: {config.data_dir}: {warning}")
    comparison = _Comparison(config, description, network.grid, asked.drawn, asked.files)

    started = time.monotonic()
    scored: _Scored = []
    for done, outcome in enumerate(comparison.run(viewer), start=1):
        if isinstance(outcome, str):
            left_out.append(outcome)
        else:
            scored += outcome
        if progress:
            progress(done, len(asked.drawn))
    if not scored:
        raise InputError(f"{config.boxes}: no box can be compared, expected at least one; the first: {left_out[0]}")
    in_order = sorted(scored, key=lambda one: description.classes.index(one[0].finding))
    return LocalizationResult(
        config=config,
        engine=choice.description,
        preprocessing=preprocessing,
        cases=tuple(case for case, _ in scored),
        left_out=tuple(left_out),
        scores=score_cases([case for case, _ in in_order], asked.patients),
        samples=tuple(one for _, one in in_order if one is not None),
        sha256=digests,
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Asked:
    """What a box file asks for.

    Attributes:
        drawn: the boxes of each image.
        files: where each image is.
        patients: whose images they are.
        outside: what is wrong with the boxes that are left out.
    """

    drawn: dict[str, list[DrawnBox]]
    files: dict[str, Path]
    patients: lists.Patients
    outside: list[str]


def _asked(config: LocalizationConfig, classes: Sequence[str]) -> _Asked:
    """The boxes of each image that is asked for, and what is wrong with the others."""
    asked = boxes.read_boxes(config.boxes, classes)
    patients = None
    if config.test_list is not None:
        lists.check_classes(config.test_list, classes)
        listed = lists.read_list(config.test_list, len(classes))
        asked, patients = _of_list(asked, listed), listed.patients
        if not asked:
            raise InputError(f"{config.boxes}: no box of an image of {config.test_list}, expected at least one")
    if strange := [box.finding for box in asked if box.finding not in classes]:
        raise InputError(
            f"{config.boxes}: {len(strange)} boxes of what the checkpoint has no class for, such as {strange[0]}; "
            f"its classes are {shorten_all(classes)}: leave these boxes out"
        )
    names = list(dict.fromkeys(box.image for box in asked))
    files = _find_images(config, names)
    drawn: dict[str, list[DrawnBox]] = {}
    outside = []
    for box in asked:
        if box.inside:
            drawn.setdefault(box.image, []).append(box)
        else:
            xywh = ",".join(f"{value:g}" for value in box.xywh)
            outside.append(
                f"{config.boxes}:{box.line}: {box.image}: the box {xywh} is not inside the image, "
                f"expected it within 0..{boxes.BOX_SPACE}"
            )
    return _Asked(drawn, files, patients or lists.Patients(tuple(names)), outside)


def _of_list(asked: Sequence[DrawnBox], listed: lists.ImageList) -> tuple[DrawnBox, ...]:
    """The boxes of images of a list, under the list's names."""
    named = {lists.image_of(name): name for name in listed.names}
    named |= {name: name for name in listed.names}
    found = ((box, named.get(box.image) or named.get(lists.image_of(box.image))) for box in asked)
    return tuple(replace(box, image=name) for box, name in found if name)


def _find_images(config: LocalizationConfig, names: Sequence[str]) -> dict[str, Path]:
    found = lists.find_images(names, config.data_dir, config.boxes)
    missing = [name for name, path in zip(names, found, strict=True) if path is None]
    if missing:
        told = lists.missing_images(config.boxes, config.data_dir, len(names), missing)
        raise InputError(f"{told}; --test_list FILE takes the boxes of the images of a list")
    return {name: path for name, path in zip(names, found, strict=True) if path is not None}


class _Comparison:
    """Images one after another, decoded ahead and scored behind while the network computes."""

    def __init__(
        self,
        config: LocalizationConfig,
        description: model.Description,
        grid: FeatureGrid,
        drawn: Mapping[str, list[DrawnBox]],
        files: Mapping[str, Path],
    ) -> None:
        self.config = config
        self.crops = config.crops or description.crops
        self.classes, self.preprocessing = description.classes, description.preprocessing
        self.grid = grid
        self.drawn, self.files = drawn, files
        self.sampled = _sampled(drawn)

    def run(self, viewer: Viewer) -> Iterator[_Scored | str]:
        """The cases of each image, or why it has none."""
        images_a_pass = max(1, viewer.crops_a_pass // self.crops)
        workers = self.config.num_workers
        with (
            closing(ahead(self._read, self.drawn, workers, 2 * images_a_pass)) as read,
            closing(ahead(self._score, self._predict(viewer, read, images_a_pass), workers, images_a_pass)) as scored,
        ):
            yield from scored

    def _read(self, name: str) -> _Read | str:
        try:
            gray = images.open_gray(self.files[name], self.preprocessing.sample_bits)
        except InputError as error:
            return str(error)
        geometry = self.preprocessing.geometry(gray.height, gray.width, self.crops)
        return name, gray, geometry, geometry.cut(self.preprocessing.resized(gray))

    def _predict(
        self, viewer: Viewer, read: Iterator[_Read | str], images_a_pass: int
    ) -> Iterator[tuple[_Read, np.ndarray, np.ndarray] | str]:
        """With each image its crops' probabilities and maps, float32 [K, C] and [K, C, h, w]."""
        while batch := list(islice(read, images_a_pass)):
            intact = [one for one in batch if not isinstance(one, str)]
            yield from (one for one in batch if isinstance(one, str))
            if not intact:
                continue
            probabilities, maps = viewer.look(np.concatenate([crops for *_, crops in intact]))
            if maps is None or not np.isfinite(maps).all():
                raise InputError(f"{self.config.ckpt}: gives class maps that are not finite, expected numbers")
            of_images = (one.reshape(len(intact), -1, *one.shape[1:]) for one in (probabilities, maps))
            yield from zip(intact, *of_images, strict=True)

    def _score(self, predicted: tuple[_Read, np.ndarray, np.ndarray] | str) -> _Scored | str:
        if isinstance(predicted, str):
            return predicted
        (name, gray, geometry, _), of_crops, maps = predicted
        probabilities = of_crops.mean(axis=0)
        scored: _Scored = []
        for finding in dict.fromkeys(box.finding for box in self.drawn[name]):
            index = self.classes.index(finding)
            values = cam.to_image(maps[:, index], geometry, self.grid)
            drawn = np.stack(
                [box.in_pixels(gray.height, gray.width) for box in self.drawn[name] if box.finding == finding]
            )
            case = compare(name, finding, float(probabilities[index]), values, drawn)
            kept = (name, finding) in self.sampled
            scored.append((case, sample(case, gray, values) if kept else None))
        return scored


def _sampled(drawn: Mapping[str, list[DrawnBox]]) -> set[tuple[str, str]]:
    """Image and finding of the cases that become samples."""
    by_finding: dict[str, dict[str, None]] = {}
    for name, of_image in drawn.items():
        for box in of_image:
            by_finding.setdefault(box.finding, {}).setdefault(name)
    return {(name, finding) for finding, names in by_finding.items() for name in list(names)[:SAMPLES_A_FINDING]}
