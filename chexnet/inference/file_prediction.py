"""Predict image files and write the results."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path

import chexnet
from chexnet._types import LogFn
from chexnet.config import PredictConfig
from chexnet.data.images import image_folders
from chexnet.errors import InputError, printable
from chexnet.files import check_inputs, check_writable
from chexnet.inference.embedding_files import EmbeddingWriter, check_embeddings, open_embeddings
from chexnet.inference.engines import EAGER_MAX_CROPS
from chexnet.inference.image_outputs import ImageOutputs, select_findings
from chexnet.inference.prediction import MEANINGLESS, Prediction
from chexnet.inference.prediction_files import CsvWriter, JsonWriter, Output
from chexnet.inference.predictor import Predictor
from chexnet.inference.thresholds import Thresholds, require_calibration, thresholds_path
from chexnet.metrics.platt import PlattScaling
from chexnet.model import checkpoint


@dataclass(frozen=True)
class ImageResult:
    """Result of one image.

    Attributes:
        prediction: the findings.
        thresholds: operating points for decisions, if any.
        pictures: finding -> picture file, for the findings that were drawn.
        disclaimer: see `Predictor`; may be empty.
        calibration: Platt scaling of the findings to calibrate; empty for none.
        documents: DICOM files of the result.
    """

    prediction: Prediction
    thresholds: Thresholds | None
    pictures: dict[str, Path]
    disclaimer: str = ""
    calibration: Mapping[str, PlattScaling] = field(default_factory=dict)
    documents: tuple[Path, ...] = ()


def predict_files(
    config: PredictConfig,
    names: Iterable[str],
    count_known: bool = True,
    log: LogFn | None = None,
) -> Iterator[ImageResult | InputError]:
    """Predict images, and write the outputs that the configuration requests.

    Memory does not grow with the number of images. JSON and CSV are complete when the iterator is exhausted. If
    it is closed earlier, they do not exist. An output that cannot be written does not stop the others.

    Args:
        config: the run.
        names: paths of image files and folders, see `chexnet.data.images.image_folders.find_images`.
        count_known: True if all names are available before the first prediction. No engine is then compiled for few
            images. Folders are read while their images are predicted, except with `config.cam` or `config.dicom`.
        log: receives lines for the user.

    Yields:
        A result or an error per image, in the order of the names.

    Raises:
        InputError: the checkpoint, device, engine or thresholds cannot be used, there is no calibration for
            `config.calibrated`, or an image would be overwritten; or, at the end, an output could not be written.
    """
    log = log or (lambda line: None)
    outputs = _check_outputs(config)
    skipped: Counter[str] = Counter()
    folders = list(filter(None, [config.cam, config.dicom]))
    files = image_folders.find_images(_reject_overlap(names, folders), skipped)
    paths: Iterable[Path | InputError] = _reject_overwriting(files, folders, outputs)
    number = None
    if count_known:
        paths, number = _count_few(paths, everything=bool(folders))
    predictor = Predictor(config, images=number, maps=bool(folders), embeddings=bool(config.embeddings), log=log)
    found_thresholds = predictor.find_thresholds(config.thresholds, log)
    thresholds = found_thresholds[1] if found_thresholds else None
    calibration = require_calibration(found_thresholds, config.ckpt, log) if config.calibrated else {}
    image_outputs = ImageOutputs(config, predictor, thresholds, log)
    predictor.load(log)
    with ExitStack() as stack:
        metadata = run_metadata(config.ckpt, predictor, found_thresholds)
        json_file = csv_file = embeddings = None
        if config.output_json:
            json_file = stack.enter_context(Output(JsonWriter.open(config.output_json, metadata)))
        if config.output_csv:
            opened = CsvWriter.open(config.output_csv, predictor.classes, thresholds, calibration)
            csv_file = stack.enter_context(Output(opened))
        if config.embeddings:
            embeddings = stack.enter_context(Output(open_embeddings(config.embeddings, metadata)))
        results = stack.enter_context(closing(image_outputs.predict_all(paths)))
        for prediction, written in results:
            if isinstance(prediction, InputError):
                if json_file:
                    json_file.write(JsonWriter.add_error, prediction)
                yield prediction
                continue
            if json_file:
                json_file.write(
                    JsonWriter.add, prediction, thresholds, calibration, written.pictures, written.documents
                )
            if csv_file:
                csv_file.write(CsvWriter.add, prediction)
            if embeddings:
                embeddings.write(EmbeddingWriter.add, prediction)
            yield ImageResult(
                prediction, thresholds, written.pictures, predictor.disclaimer, calibration, written.documents
            )
    if skipped:
        log(f"skipped in folders: {image_folders.format_counts(skipped)}")
    failures = [file.failure for file in (json_file, csv_file, embeddings) if file and file.failure]
    failures += image_outputs.failures
    if failures:
        more = f"; {len(failures) - 3} more" if len(failures) > 3 else ""
        raise InputError("; ".join(map(str, failures[:3])) + f"{more}; all other outputs were written")


def format_result(result: ImageResult, top: int) -> str:
    """Format a result as text: name, findings, decisions, disclaimer, warnings and pictures.

    Args:
        result: result of one image.
        top: number of findings to show; present findings are always shown.
    """
    prediction, thresholds = result.prediction, result.thresholds
    listed = select_findings(prediction, thresholds, top)
    calibrated = prediction.calibrated(result.calibration)
    lines = [printable(prediction.name)]
    if thresholds and prediction.meaningful and not prediction.present(thresholds):
        lines.append("  no finding is at or above its threshold")
    lines += [_format_finding(result, finding, calibrated) for finding in listed]
    if thresholds and prediction.meaningful and (others := len(prediction.classes) - len(listed)):
        lines.append(f"  {others} more: absent")
    if result.disclaimer:
        lines.append(f"  notice: {result.disclaimer}")
    lines += [f"  warning: {warning}" for warning in prediction.warnings]
    lines += [f"  drawn: {printable(str(path))}" for path in dict.fromkeys(result.pictures.values())]
    lines += [f"  DICOM: {printable(str(path))}" for path in result.documents]
    return "\n".join(lines)


def _format_finding(result: ImageResult, finding: str, calibrated: Mapping[str, float]) -> str:
    """Format the line of one finding: probability, calibrated probability and decision."""
    prediction = result.prediction
    probability = prediction.probability(finding)
    line = f"  {finding:20}{probability:.3f}"
    if not prediction.meaningful:
        return f"{line}  {MEANINGLESS}, see the warnings"
    if calibrated:
        line += f"  calibrated {calibrated[finding]:.3f}" if finding in calibrated else f"  {'not calibrated':16}"
    if result.thresholds:
        point = result.thresholds.points[finding]
        line += (
            f"  {'present (at or above' if point.decides(probability) else 'absent  (below'} {point.threshold:.3f}, "
            f"sensitivity {point.sensitivity:.2f}, specificity {point.specificity:.2f})"
        )
    return line.rstrip()


def _check_outputs(config: PredictConfig) -> list[str]:
    """Return the output files. Raise InputError if one of them cannot be written or is an input of the run."""
    if config.sheet and not config.cam:
        raise InputError("--sheet: requires --cam DIR, the folder for the sheets")
    optional = filter(None, [config.thresholds, config.classes_file])
    next_to_ckpt = (checkpoint.metadata_path(config.ckpt), thresholds_path(config.ckpt))
    inputs = [config.ckpt, *map(str, next_to_ckpt), *optional]
    outputs: list[str] = []
    for path, suffix in ((config.output_json, ".json"), (config.output_csv, ".csv")):
        if path:
            check_writable(path, suffix, protected=inputs, others=outputs)
            outputs.append(path)
    if config.embeddings:
        outputs += check_embeddings(config.embeddings, inputs, outputs)
    return outputs


def _count_few(paths: Iterable[Path | InputError], everything: bool) -> tuple[Iterable[Path | InputError], int | None]:
    """Return the paths, and the number of images if they are few or `everything` is to be listed now; None else.

    With files per image everything is listed, so that none is written before all inputs are known.
    """
    paths = iter(paths)
    first = list(paths if everything else islice(paths, EAGER_MAX_CROPS + 1))
    complete = everything or len(first) <= EAGER_MAX_CROPS
    return chain(first, paths), sum(isinstance(path, Path) for path in first) if complete else None


def _reject_overlap(names: Iterable[str], folders: Sequence[str]) -> Iterator[str]:
    """Yield the names; raise InputError if a later run would read the pictures and documents of this run as images."""
    for name in names:
        for written in folders:
            image, folder = Path(name).resolve(), Path(written).resolve()
            if folder == image or folder in image.parents or image in folder.parents:
                raise InputError(f"{written}: images are read from there ({name}); choose another folder")
        yield name


def _reject_overwriting(
    paths: Iterable[Path | InputError], folders: Sequence[str], outputs: Sequence[str]
) -> Iterator[Path | InputError]:
    """Yield the paths; raise InputError if an output would replace one of them, directly or through links."""
    for path in paths:
        if isinstance(path, Path):
            if outputs:
                check_inputs([path], outputs)
            for folder in folders:
                if Path(folder).resolve() in path.resolve().parents:
                    raise InputError(
                        f"{folder}: images are read from there ({path}); choose another folder to write to"
                    )
        yield path


def run_metadata(
    ckpt: str, predictor: Predictor, found_thresholds: tuple[str | None, Thresholds] | None
) -> dict[str, object]:
    """Return the entries of the JSON file that are common to all images.

    Args:
        ckpt: the weight file, as the file names it.
        predictor: the predictor.
        found_thresholds: path and content of the threshold file, if any.
    """
    return {
        "chexnet": chexnet.__version__,
        "ckpt": ckpt,
        "ckpt_sha256": predictor.ckpt_sha256,
        "notice": predictor.disclaimer,
        "engine": predictor.engine,
        "preprocessing": asdict(predictor.preprocessing),
        "crops": predictor.crops,
        "classes": list(predictor.classes),
        "thresholds": found_thresholds and {"file": found_thresholds[0], **asdict(found_thresholds[1])},
    }
