"""Predictions on files, and what is written of them."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import chexnet
from chexnet import checkpoint, model
from chexnet.config import PredictConfig
from chexnet.errors import InputError
from chexnet.files import check_writable
from chexnet.images import folders
from chexnet.lists import class_names
from chexnet.predictor.files import CsvFile, JsonFile, PictureFolder
from chexnet.predictor.network import IMAGES_A_PASS, Prediction, Predictor
from chexnet.threads import ahead
from chexnet.thresholds import Thresholds, read_thresholds


@dataclass(frozen=True)
class Result:
    """What became of one image.

    Attributes:
        prediction: what the network says.
        thresholds: to decide by, if there are any.
        pictures: what was drawn, by finding.
    """

    prediction: Prediction
    thresholds: Thresholds | None
    pictures: dict[str, Path]


def predict_files(
    config: PredictConfig,
    names: Iterable[str],
    count_known: bool = True,
    report: Callable[[str], None] | None = None,
) -> Iterator[Result | InputError]:
    """Predicts on images, draws and writes what the configuration asks for.

    Memory does not grow with the number of images. JSON and CSV are complete when the iterator is exhausted, and not
    there at all if it is closed before.

    Args:
        config: the run.
        names: of image files and of folders, see `chexnet.images.folders.find`.
        count_known: whether all names can be had before the first image is looked at. If so, and they are few,
            nothing is compiled for them.
        report: takes lines for a person.

    Yields:
        In the order of the names, a result for each image or why it cannot be read.

    Raises:
        InputError: the checkpoint, device, engine or thresholds cannot be used, or what is to be written cannot be.
    """
    optional = filter(None, [config.thresholds, config.classes])
    inputs = [config.ckpt, str(checkpoint.sidecar_path(config.ckpt)), *optional]
    for path, suffix in ((config.json, ".json"), (config.csv, ".csv")):
        if path:
            check_writable(path, suffix, keep=inputs)
    named = class_names(config.classes) if config.classes else None
    opened = model.open_checkpoint(config.ckpt, config.backbone, named)
    classes = opened.description.classes
    thresholds = read_thresholds(config.thresholds, opened.sha256, classes) if config.thresholds else None
    passed_over: Counter[str] = Counter()
    paths: Iterable[Path | InputError] = folders.find(_apart(names, config.cam), passed_over)
    number = None
    if count_known:
        paths = list(paths)
        number = sum(isinstance(path, Path) for path in paths)
    pictures = PictureFolder(config.cam) if config.cam else None
    predictor = Predictor(
        opened,
        config.crops,
        config.engine,
        config.precision,
        config.device,
        images=number,
        report=report,
        maps=pictures is not None,
    )
    if report and thresholds and thresholds.ckpt_sha256 is None:
        report(f"=> warning: {config.thresholds}: does not say for which weights it is; it means nothing for others")
    with ExitStack() as files:
        facts = _facts(config, predictor, thresholds)
        json_file = files.enter_context(JsonFile.opened(config.json, facts)) if config.json else None
        csv_file = files.enter_context(CsvFile.opened(config.csv, classes, thresholds)) if config.csv else None
        for prediction, drawn in files.enter_context(closing(_drawn(predictor, paths, pictures, config))):
            if isinstance(prediction, InputError):
                if json_file:
                    json_file.add_error(prediction)
                yield prediction
                continue
            if json_file:
                json_file.add(prediction, thresholds, drawn)
            if csv_file:
                csv_file.add(prediction)
            yield Result(prediction, thresholds, drawn)
    if report and passed_over:
        report(f"passed over in folders: {folders.describe(passed_over)}")


def format_result(result: Result, top: int) -> str:
    """What a person sees of an image: its name, the most probable findings, decisions, warnings, pictures."""
    prediction = result.prediction
    lines = [prediction.name]
    for finding in prediction.top(top):
        line = f"  {finding:20}{prediction.probability(finding):.3f}"
        if result.thresholds:
            point = result.thresholds.points[finding]
            present = "present" if point.decides(prediction.probability(finding)) else "absent "
            line += (
                f"  {present} (from {point.threshold:.3f} on, "
                f"sensitivity {point.sensitivity:.2f}, specificity {point.specificity:.2f})"
            )
        lines.append(line)
    lines += [f"  warning: {warning}" for warning in prediction.warnings]
    lines += [f"  drawn: {path}" for path in result.pictures.values()]
    return "\n".join(lines)


def _drawn(
    predictor: Predictor, paths: Iterable[Path | InputError], pictures: PictureFolder | None, config: PredictConfig
) -> Generator[tuple[Prediction | InputError, dict[str, Path]], None, None]:
    """Predictions and their pictures, which threads draw while the network looks at the next images."""

    def draw(named: tuple[Prediction | InputError, str]) -> tuple[Prediction | InputError, dict[str, Path]]:
        prediction, name = named
        if pictures is None or isinstance(prediction, InputError):
            return prediction, {}
        return prediction, pictures.draw(prediction, name, config.top, predictor.notice)

    def named(prediction: Prediction | InputError) -> tuple[Prediction | InputError, str]:
        if pictures is None or isinstance(prediction, InputError):
            return prediction, ""
        return prediction, pictures.name(prediction.name)

    with closing(predictor.predict_all(paths, config.num_workers)) as predictions:
        workers = config.num_workers if pictures else 0
        with closing(ahead(draw, map(named, predictions), workers, depth=IMAGES_A_PASS)) as drawn:
            yield from drawn


def _apart(names: Iterable[str], cam: str | None) -> Iterator[str]:
    """The names, unless pictures would be drawn among the images that are read, now or by the next run."""
    for name in names:
        if cam:
            image, folder = Path(name).resolve(), Path(cam).resolve()
            if folder == image or folder in image.parents or image in folder.parents:
                raise InputError(f"{cam}: images are read from there ({name}); have the pictures drawn elsewhere")
        yield name


def _facts(config: PredictConfig, predictor: Predictor, thresholds: Thresholds | None) -> dict[str, object]:
    """What the JSON file says once."""
    return {
        "chexnet": chexnet.__version__,
        "ckpt": config.ckpt,
        "ckpt_sha256": predictor.ckpt_sha256,
        "notice": predictor.notice,
        "engine": predictor.engine,
        "preprocessing": asdict(predictor.preprocessing),
        "crops": config.crops,
        "classes": list(predictor.classes),
        "thresholds": thresholds and {"file": config.thresholds, **asdict(thresholds)},
    }
