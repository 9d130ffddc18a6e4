"""Comparison of an exported graph with the `Predictor` of its checkpoint, on phantoms of several shapes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from chexnet import device
from chexnet.config import CPUS
from chexnet.config.crops import DENSE
from chexnet.data.images import MIN_SIDE
from chexnet.errors import InputError
from chexnet.inference import onnx_sessions
from chexnet.inference.engine_backends import PaddleInferenceEngine, import_openvino
from chexnet.phantom import draw

if TYPE_CHECKING:
    from chexnet.inference import Predictor
    from chexnet.inference.prediction import Prediction
    from chexnet.inference.thresholds import Thresholds

Run = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Run a graph with one input: name of each output -> its value."""


class Tolerances(NamedTuple):
    """Largest differences that are accepted.

    Attributes:
        probability: limit for probabilities.
        maps: limit for class maps, as a fraction of their largest value.
    """

    probability: float
    maps: float


TOLERANCES = {"float32": Tolerances(1e-4, 1e-3), "float16": Tolerances(2e-2, 5e-2)}
"""Type of the weights -> accepted differences."""

CALIBRATION_TOLERANCE = 1e-4
"""Largest difference of a calibrated probability from that of the graph's own probability."""


@dataclass(frozen=True)
class Verification:
    """Result of running a graph in the installed engines.

    Attributes:
        differences: engine and its version -> largest difference of a probability.
        not_installed: engines that could not be used.
    """

    differences: dict[str, float]
    not_installed: tuple[str, ...]

    @property
    def largest(self) -> float:
        """Largest difference of all engines."""
        return max(self.differences.values())


def verify(
    model: bytes, predictor: "Predictor", channels: int, thresholds: "Thresholds | None", tolerances: Tolerances
) -> Verification:
    """Run a whole-image graph in each installed engine and compare all its outputs with those of the library.

    Raises:
        InputError: an output differs.
    """
    runs, not_installed = load_graph(model)
    images = [_with_channels(image, channels) for image in phantom_images(predictor.preprocessing.resize)]
    expected = [predictor.predict(np.asarray(Image.fromarray(image).convert("L"))) for image in images]
    differences = {}
    for name, run in runs.items():
        where, worst = f"{predictor.config.ckpt}: in {name},", 0.0
        for image, prediction in zip(images, expected, strict=True):
            outputs = run(image)
            difference = np.abs(outputs["probability"] - prediction.probabilities).max()
            worst = float(np.maximum(worst, difference))  # NaN remains
            _check_decisions(outputs, prediction, thresholds, where)
            _check_maps(outputs.get("maps"), prediction, tolerances.maps, where)
        differences[name] = worst
    result = Verification(differences, not_installed)
    _check_difference(predictor, result, tolerances.probability)
    return result


def verify_crop_graph(graph: Path, predictor: "Predictor") -> Verification:
    """Run a crop graph on the crops of each image, and on the first alone, in each engine that reads its format.

    Args:
        graph: an ONNX file or a Paddle program.
        predictor: its checkpoint, with the number of crops to average.

    Raises:
        InputError: the probabilities differ.
    """
    runs, not_installed = _load_crop_graph(graph)
    preprocessing, crops = predictor.preprocessing, predictor.crops
    worst = dict.fromkeys(runs, 0.0)
    for image in phantom_images(preprocessing.resize):
        height, width = image.shape
        views = preprocessing.geometry(height, width, crops).extract(preprocessing.resize_image(image))
        views = views[:1] if crops == DENSE else views  # the graph contains the mirror image
        expected = predictor.predict(image).probabilities
        for name, run in runs.items():
            outputs = run(views)
            alone = run(views[:1]) if len(views) > 1 else outputs
            values = np.stack([outputs.mean(axis=0) - expected, alone[0] - outputs[0]])
            worst[name] = float(np.maximum(worst[name], np.abs(values).max()))  # NaN remains
    result = Verification(worst, not_installed)
    _check_difference(predictor, result, TOLERANCES["float32"].probability)
    return result


def _load_crop_graph(graph: Path) -> tuple[dict[str, Callable[[np.ndarray], np.ndarray]], tuple[str, ...]]:
    if graph.suffix != ".onnx":
        return {f"paddle {device.paddle_version()}": PaddleInferenceEngine(graph).predict}, ()
    runs, not_installed = load_graph(graph.read_bytes())
    return {name: partial(_only_output, run) for name, run in runs.items()}, not_installed


def _only_output(run: Run, images: np.ndarray) -> np.ndarray:
    return next(iter(run(images).values()))


def _check_difference(predictor: "Predictor", verification: Verification, tolerance: float) -> None:
    """Raise InputError if the probabilities of an engine differ by more than the tolerance, or are NaN."""
    for name, difference in verification.differences.items():
        if not difference <= tolerance:
            raise InputError(
                f"{predictor.config.ckpt}: the probabilities of the exported network differ by {difference:.2g} in "
                f"{name}, expected at most {tolerance}; no file was written"
            )


def phantom_images(resize: int) -> list[np.ndarray]:
    """Return phantoms uint8 [H, W]: square, wide, tall, odd, smaller than `resize`; and noise."""
    shapes = [(resize, resize), (2 * resize + 3, 3 * resize - 1), (4 * resize + 1, 3 * resize // 2)]
    shapes += [(resize + 1, 4 * resize + 2), (resize // 2, resize - 7)]
    chest = Image.fromarray(draw(["Effusion", "Mass"], 256, patient=3).image)
    sizes = [(max(MIN_SIDE, width), max(MIN_SIDE, height)) for height, width in shapes]
    images = [np.asarray(chest.resize(size, Image.Resampling.BICUBIC)) for size in sizes]
    noise = np.random.default_rng(0).integers(0, 256, (max(MIN_SIDE, resize + 5), resize + 9), np.uint8)
    return [*images, noise]


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image uint8 [H, W] as it is, or as a color image [H, W, 3] with different channels."""
    return image if channels == 1 else np.stack([image, image[::-1], image[:, ::-1]], axis=-1)


def load_graph(model: bytes) -> tuple[dict[str, Run], tuple[str, ...]]:
    """Load an ONNX model with one input in ONNX Runtime and, if installed, in OpenVINO, on the CPU.

    Returns:
        Engine and its version -> function that runs the model; and the names of the engines that are not installed.
    """
    runs = {f"onnxruntime {onnx_sessions.import_onnxruntime().__version__}": _onnxruntime(model)}
    if not find_spec("openvino"):
        return runs, ("openvino",)
    openvino = import_openvino()
    return runs | {f"openvino {openvino.__version__.split('-')[0]}": _openvino(model)}, ()


def _onnxruntime(model: bytes) -> Run:
    session = onnx_sessions.create_session(model, CPUS)
    (argument,), names = session.get_inputs(), [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(None, {argument.name: image}), strict=True))


def _openvino(model: bytes) -> Run:
    core = import_openvino().Core()
    # By default, OpenVINO computes in bfloat16 where the CPU supports it.
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda image: {name: value.copy() for port, value in compiled(image).items() for name in port.names}


def _check_decisions(
    outputs: dict[str, np.ndarray], prediction: "Prediction", thresholds: "Thresholds | None", where: str
) -> None:
    """Compare decisions and calibrated probabilities with those of the graph's own probabilities."""
    if not thresholds:
        return
    probabilities = outputs["probability"]
    for index, name in enumerate(prediction.classes):
        if outputs["present"][index] != thresholds.points[name].decides(float(probabilities[index])):
            raise InputError(f"{where} the decision about {name} differs; no file was written")
        scaling = (thresholds.calibration or {}).get(name)
        if scaling and not abs(outputs["calibrated"][index] - scaling.apply(probabilities[index])) <= (
            CALIBRATION_TOLERANCE
        ):
            raise InputError(f"{where} the calibrated probability of {name} differs; no file was written")


def _check_maps(maps: np.ndarray | None, prediction: "Prediction", tolerance: float, where: str) -> None:
    if maps is None:
        return
    expected = np.stack([prediction.cam(name, maps.shape[1:]) for name in prediction.classes])
    limit = tolerance * max(1, float(np.nanmax(np.abs(expected))))
    if not np.allclose(maps, expected, rtol=0, atol=limit, equal_nan=True):
        raise InputError(f"{where} class maps differ by more than {limit:.2g}; no file was written")
