"""Predict pairs of images and judge what their differences do to a network."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from chexnet._types import ProgressFn
from chexnet.errors import InputError
from chexnet.evaluation.shortcuts.effects import FRACTION, MIN_LOGIT, SEED, Effect, Verdict, judge, measure_effects
from chexnet.evaluation.shortcuts.image_pairs import Pair, read_pairs
from chexnet.files import atomic_write, check_writable, sha256, write_text
from chexnet.files.text_files import shorten_all
from chexnet.inference.contact_sheets import contact_sheet
from chexnet.inference.prediction import Prediction
from chexnet.metrics.bootstrap import REPLICATES

SCHEMA = 1
"""Version of the JSON file, raised when the meaning of a key changes."""

JSON_FILE = "shortcuts.json"

MAX_PICTURES = 4

RULE = (
    f"a thing that is no class is a shortcut for a finding if the 95 % interval of its mean change of the finding's "
    f"logit excludes 0 and the mean is more than {MIN_LOGIT:g} and more than {FRACTION:g} of the mean change by the "
    f"finding itself, up or down; intervals: "
    f"percentiles of {REPLICATES:,} resamples of the patients, seed {SEED}"
)


class ImagePredictor(Protocol):
    """The part of `chexnet.inference.Predictor` that the check uses."""

    classes: tuple[str, ...]
    ckpt_sha256: str
    disclaimer: str
    engine: str
    crops: Any

    def predict_all(self, paths: Iterable[Path | InputError]) -> Iterable[Prediction | InputError]:
        """Predict image files in order."""


@dataclass(frozen=True)
class ShortcutResult:
    """Result of a check.

    Attributes:
        file: the file of pairs.
        sha256: its checksum.
        pairs: the pairs, N.
        classes: names of the network's C classes.
        network: checksum of the weights, engine, crops and disclaimer, ready for JSON.
        without, with_it: probabilities, float64 [N, C].
        effects: how much each thing changes each output.
        verdict: what that means.
    """

    file: str
    sha256: str
    pairs: tuple[Pair, ...]
    classes: tuple[str, ...]
    network: dict[str, Any]
    without: np.ndarray
    with_it: np.ndarray
    effects: tuple[Effect, ...]
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the result, ready for JSON."""
        return {
            "schema": SCHEMA,
            "pairs": {
                "file": self.file,
                "sha256": self.sha256,
                "number": len(self.pairs),
                "patients": len({pair.patient for pair in self.pairs}),
            },
            **self.network,
            "classes": list(self.classes),
            "rule": RULE,
            "effects": [asdict(effect) for effect in self.effects],
            "shortcuts": [
                {"planted": found.effect.planted, "finding": found.effect.finding, "fraction": found.fraction}
                for found in self.verdict.shortcuts
            ],
            "not_judged": list(self.verdict.not_judged),
        }

    def examples(self) -> list[tuple[Pair, str]]:
        """Return the pairs to draw with their findings: of each shortcut, the pair with the median change.

        Without a shortcut, it is the thing and the finding with the largest change by a thing that is no class. At most
        MAX_PICTURES.
        """
        effects = [shortcut.effect for shortcut in self.verdict.shortcuts[:MAX_PICTURES]]
        others = [effect for effect in self.effects if effect.planted not in self.classes]
        if not effects and others:
            effects = [max(others, key=lambda effect: abs(effect.logit.mean))]
        return [(self._median_pair(effect), effect.finding) for effect in effects]

    def _median_pair(self, effect: Effect) -> Pair:
        column = self.classes.index(effect.finding)
        change = (self.with_it - self.without)[:, column]
        rows = [row for row, pair in enumerate(self.pairs) if pair.planted == effect.planted]
        return self.pairs[sorted(rows, key=lambda row: float(change[row]))[len(rows) // 2]]


def check_shortcuts(
    predictor: ImagePredictor, pairs_file: str | os.PathLike[str], progress: ProgressFn | None = None
) -> ShortcutResult:
    """Predict all images of a file of pairs and judge the changes.

    Args:
        predictor: a `chexnet.inference.Predictor`.
        pairs_file: see `image_pairs.read_pairs`.
        progress: called after each image.

    Raises:
        InputError: the file of pairs or an image cannot be read, or none of the things in it is a class of the network.
    """
    pairs = read_pairs(pairs_file)
    if not {pair.planted for pair in pairs} & set(predictor.classes):
        raise InputError(
            f"{pairs_file}: plants {shorten_all(list(dict.fromkeys(pair.planted for pair in pairs)))}, expected also "
            f"findings of the network, {shorten_all(predictor.classes)}, to compare with"
        )
    images = list(dict.fromkeys(path for pair in pairs for path in (pair.without, pair.with_it)))
    probabilities = {}
    for path, prediction in zip(images, predictor.predict_all(images), strict=True):
        if isinstance(prediction, InputError):
            raise prediction
        probabilities[path] = np.asarray(prediction.probabilities, np.float64)
        if progress:
            progress(len(probabilities), len(images))
    without = np.stack([probabilities[pair.without] for pair in pairs])
    with_it = np.stack([probabilities[pair.with_it] for pair in pairs])
    planted, patients = [pair.planted for pair in pairs], [pair.patient for pair in pairs]
    effects = measure_effects(planted, patients, without, with_it, predictor.classes)
    return ShortcutResult(
        file=str(pairs_file),
        sha256=sha256(pairs_file),
        pairs=tuple(pairs),
        classes=predictor.classes,
        network={
            "ckpt_sha256": predictor.ckpt_sha256,
            "notice": predictor.disclaimer,
            "engine": predictor.engine,
            "crops": predictor.crops,
        },
        without=without,
        with_it=with_it,
        effects=tuple(effects),
        verdict=judge(effects, predictor.classes),
    )


def check_output(folder: str | os.PathLike[str], pairs_file: str | os.PathLike[str]) -> None:
    """Raise InputError unless `write_result` can write to the folder; `pairs_file` is not replaced."""
    check_writable(Path(folder) / JSON_FILE, ".json", protected=[os.fspath(pairs_file)])


def write_result(result: ShortcutResult, predictor: ImagePredictor, folder: str | os.PathLike[str]) -> list[Path]:
    """Write `shortcuts.json` and one picture per example, `<planted>_<finding>.png`; return the paths.

    A picture has the pair in two rows, each with the heat map of the finding.

    Raises:
        InputError: a file cannot be written.
    """
    root = Path(folder)
    written = [root / JSON_FILE]
    for pair, finding in result.examples():
        path = root / f"{_file_part(pair.planted)}_{_file_part(finding)}.png"
        with atomic_write(path) as temporary:
            _draw(predictor, pair, finding).save(temporary, format="PNG")
        written.append(path)
    write_text(written[0], json.dumps(result.to_dict(), indent=2) + "\n")
    return written


def _draw(predictor: ImagePredictor, pair: Pair, finding: str) -> Image.Image:
    predictions = predictor.predict_all([pair.without, pair.with_it])
    return contact_sheet(_readable(predictions), [finding], disclaimer=predictor.disclaimer)


def _readable(predictions: Iterable[Prediction | InputError]) -> Iterable[Prediction]:
    for prediction in predictions:
        if isinstance(prediction, InputError):
            raise prediction
        yield prediction


def _file_part(name: str) -> str:
    return "".join(char if char.isalnum() or char in "_-" else "_" for char in name)[:60]
