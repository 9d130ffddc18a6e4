"""Predictions on files, and what is written of them."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import chexnet
from chexnet import checkpoint, model
from chexnet.config import PredictConfig
from chexnet.errors import InputError, printable
from chexnet.files import check_inputs, check_writable
from chexnet.images import folders
from chexnet.lists import class_names
from chexnet.predictor.files import CsvFile, JsonFile, Output, PictureFolder
from chexnet.predictor.network import IMAGES_A_PASS, MEANINGLESS, Prediction, Predictor
from chexnet.threads import ahead
from chexnet.thresholds import Thresholds, find_thresholds, thresholds_path


@dataclass(frozen=True)
class Result:
    """What became of one image.

    Attributes:
        prediction: what the network says.
        thresholds: to decide by, if there are any.
        pictures: the file that shows each finding that was drawn.
        notice: what everybody has to know who reads the numbers, see `Predictor.notice`; may be empty.
    """

    prediction: Prediction
    thresholds: Thresholds | None
    pictures: dict[str, Path]
    notice: str = ""


def predict_files(
    config: PredictConfig,
    names: Iterable[str],
    count_known: bool = True,
    report: Callable[[str], None] | None = None,
) -> Iterator[Result | InputError]:
    """Predicts on images, draws and writes what the configuration asks for.

    Memory does not grow with the number of images. JSON and CSV are complete when the iterator is exhausted, and not
    there at all if it is closed before. One that cannot be written costs none of the others.

    Args:
        config: the run.
        names: of image files and of folders, see `chexnet.images.folders.find`.
        count_known: whether all names can be had before the first image is looked at. If so, and they are few,
            nothing is compiled for them.
        report: takes lines for a person.

    Yields:
        In the order of the names, a result for each image or why it cannot be read.

    Raises:
        InputError: the checkpoint, device, engine or thresholds cannot be used, or an image would be written over; at
            the end, if something could not be written.
    """
    if config.sheet and not config.cam:
        raise InputError("--sheet: needs a folder for the sheets, expected --cam DIR with it")
    optional = filter(None, [config.thresholds, config.classes_file])
    beside = (checkpoint.sidecar_path(config.ckpt), thresholds_path(config.ckpt))
    inputs = [config.ckpt, *map(str, beside), *optional]
    outputs: list[str] = []
    for path, suffix in ((config.output_json, ".json"), (config.output_csv, ".csv")):
        if path:
            check_writable(path, suffix, keep=inputs, others=outputs)
            outputs.append(path)
    named = class_names(config.classes_file) if config.classes_file else None
    opened = model.open_checkpoint(config.ckpt, config.backbone, named, config.sample_bits)
    classes = opened.description.classes
    tell = report or (lambda line: None)
    crops = config.crops or opened.description.crops
    found = find_thresholds(config.thresholds, config.ckpt, opened.sha256, classes, crops, tell)
    thresholds = found[1] if found else None
    passed_over: Counter[str] = Counter()
    found_files = folders.find(_apart(names, config.cam), passed_over)
    paths: Iterable[Path | InputError] = _apart_found(found_files, config.cam, outputs)
    number = None
    if count_known:
        paths = list(paths)
        number = sum(isinstance(path, Path) for path in paths)
    pictures = PictureFolder(config.cam) if config.cam else None
    predictor = Predictor(
        opened,
        crops,
        config.engine,
        config.precision,
        config.device,
        images=number,
        report=report,
        maps=pictures is not None,
    )
    with ExitStack() as stack:
        facts = _facts(config, predictor, found)
        json_file = stack.enter_context(
            Output(JsonFile.opened(config.output_json, facts) if config.output_json else None)
        )
        csv_file = stack.enter_context(
            Output(CsvFile.opened(config.output_csv, classes, thresholds) if config.output_csv else None)
        )
        for prediction, drawn in stack.enter_context(closing(_drawn(predictor, paths, pictures, thresholds, config))):
            if isinstance(prediction, InputError):
                json_file.write(JsonFile.add_error, prediction)
                yield prediction
                continue
            json_file.write(JsonFile.add, prediction, thresholds, drawn)
            csv_file.write(CsvFile.add, prediction)
            yield Result(prediction, thresholds, drawn, predictor.notice)
    if passed_over:
        tell(f"passed over in folders: {folders.describe(passed_over)}")
    failures = [one for one in (json_file.failure, csv_file.failure) if one] + (pictures.failures if pictures else [])
    if failures:
        more = f"; {len(failures) - 3} more" if len(failures) > 3 else ""
        raise InputError("; ".join(map(str, failures[:3])) + f"{more}; the rest is written")


def shown_findings(prediction: Prediction, thresholds: Thresholds | None, top: int) -> list[str]:
    """Return the findings of an image that a person sees: all that are present, and `top` in any case."""
    if thresholds is None or not prediction.meaningful:
        return prediction.top(top)
    return prediction.ranked(thresholds)[: max(top, len(prediction.present(thresholds)))]


def format_result(result: Result, top: int) -> str:
    """Return what a person sees of an image: its name, findings, decisions, notice, warnings, pictures.

    Args:
        result: of the image.
        top: how many findings are shown; with thresholds those that are present in any case.
    """
    prediction, thresholds = result.prediction, result.thresholds
    shown = shown_findings(prediction, thresholds, top)
    lines = [printable(prediction.name)]
    if thresholds and prediction.meaningful and not prediction.present(thresholds):
        lines.append("  no finding reaches its threshold")
    for finding in shown:
        line = f"  {finding:20}{prediction.probability(finding):.3f}"
        if not prediction.meaningful:
            line += f"  {MEANINGLESS}, see the warnings"
        elif thresholds:
            point = thresholds.points[finding]
            present = "present" if point.decides(prediction.probability(finding)) else "absent "
            line += (
                f"  {present} (from {point.threshold:.3f} on, "
                f"sensitivity {point.sensitivity:.2f}, specificity {point.specificity:.2f})"
            )
        lines.append(line)
    if thresholds and prediction.meaningful and (others := len(prediction.classes) - len(shown)):
        lines.append(f"  {others} more: absent")
    if result.notice:
        lines.append(f"  notice: {result.notice}")
    lines += [f"  warning: {warning}" for warning in prediction.warnings]
    lines += [f"  drawn: {printable(str(path))}" for path in dict.fromkeys(result.pictures.values())]
    return "\n".join(lines)


def _drawn(
    predictor: Predictor,
    paths: Iterable[Path | InputError],
    pictures: PictureFolder | None,
    thresholds: Thresholds | None,
    config: PredictConfig,
) -> Generator[tuple[Prediction | InputError, dict[str, Path]], None, None]:
    """Predictions and their pictures, which threads draw while the network looks at the next images."""

    def draw(named: tuple[Prediction | InputError, str]) -> tuple[Prediction | InputError, dict[str, Path]]:
        prediction, name = named
        if pictures is None or isinstance(prediction, InputError):
            return prediction, {}
        if config.sheet:
            return prediction, pictures.draw_sheet(prediction, name, thresholds, predictor.notice)
        findings = shown_findings(prediction, thresholds, config.top)
        return prediction, pictures.draw(prediction, name, findings, predictor.notice)

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


def _apart_found(
    paths: Iterable[Path | InputError], cam: str | None, outputs: Sequence[str]
) -> Iterator[Path | InputError]:
    """The paths, unless what is written would replace one of them, as links allow it."""
    folder = Path(cam).resolve() if cam else None
    for path in paths:
        if isinstance(path, Path):
            check_inputs([path], outputs)
            if folder and folder in path.resolve().parents:
                raise InputError(f"{cam}: images are read from there ({path}); have the pictures drawn elsewhere")
        yield path


def _facts(config: PredictConfig, predictor: Predictor, found: tuple[str, Thresholds] | None) -> dict[str, object]:
    """What the JSON file says once."""
    return {
        "chexnet": chexnet.__version__,
        "ckpt": config.ckpt,
        "ckpt_sha256": predictor.ckpt_sha256,
        "notice": predictor.notice,
        "engine": predictor.engine,
        "preprocessing": asdict(predictor.preprocessing),
        "crops": predictor.crops,
        "classes": list(predictor.classes),
        "thresholds": found and {"file": found[0], **asdict(found[1])},
    }
