"""Writing the whole-image graph of a checkpoint."""

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from chexnet.config.crops import DENSE
from chexnet.errors import InputError
from chexnet.files import atomic_write, temporary_folder
from chexnet.inference import cam, engines, graph_export
from chexnet.inference.whole_image import cropping, image_maps, metadata, resizing
from chexnet.inference.whole_image.embedding import embed
from chexnet.inference.whole_image.operators import GraphBuilder, Tensor
from chexnet.inference.whole_image.verification import TOLERANCES, Verification, verify
from chexnet.metrics.platt import PlattScaling

if TYPE_CHECKING:
    from chexnet.inference import Predictor
    from chexnet.inference.thresholds import Thresholds

INPUT = "image"
"""Name of the only input of a graph."""


def save_whole_image(
    predictor: "Predictor",
    path: str | os.PathLike[str],
    *,
    thresholds: "Thresholds | None" = None,
    maps: Literal["image"] | int | None = None,
    channels: Literal[1, 3] = 1,
    weights: Literal["float32", "float16"] = "float32",
) -> Verification:
    """Write a checkpoint as one ONNX file that takes whole images, after running it in the installed engines.

    The input `image` is uint8 [H, W], gray, 0 black to 255 white; or with `channels=3` uint8 [H, W, 3], red, green and
    blue, which become gray as in Pillow. H and W may differ in every call. The outputs are

    - `probability`, float32 [C] in 0..1, as `Predictor.predict` gives them;
    - `calibrated`, float32 [C], where `thresholds` have a calibration; NaN for findings without one;
    - `present`, bool [C], where `thresholds` are given: exactly what `OperatingPoint.decides`;
    - `maps`, float32 [C, rows, columns] in logit units, where `maps` are asked for: `Prediction.cam`.

    For an image that `Predictor` refuses because of its size, all numbers are NaN. The file's metadata have all that is
    needed to show the results, see `metadata.describe`. Everything runs on the CPU.

    Args:
        predictor: the checkpoint; its `crops` are those of the graph.
        path: the file to write.
        thresholds: operating points, and optionally the calibration, of the checkpoint.
        maps: `image` for maps of the size of the image; a number for maps of its shape whose longer side has this many
            pixels; None for none.
        channels: 1 or 3 channels of the input.
        weights: type of the stored weights. With `float16`, convolutions and matrix products have weights of 16 bits in
            the file and are still computed in float32; their rounding changes the probabilities slightly.

    Returns:
        The largest differences from `predictor`, on phantoms of several shapes.

    Raises:
        InputError: a package is missing, an option is not available for this checkpoint, the results differ from those
            of `predictor`, or the file cannot be written.
    """
    model, verification = build_whole_image(
        predictor, thresholds=thresholds, maps=maps, channels=channels, weights=weights
    )
    with atomic_write(path) as file:
        file.write_bytes(model)
    return verification


def build_whole_image(
    predictor: "Predictor",
    *,
    thresholds: "Thresholds | None" = None,
    maps: Literal["image"] | int | None = None,
    channels: Literal[1, 3] = 1,
    weights: Literal["float32", "float16"] = "float32",
) -> tuple[bytes, Verification]:
    """Return the content of the file that `save_whole_image` writes, and what that returns."""
    if why := engines.why_no_onnx():
        raise InputError(f"ONNX: {why}")
    _check_options(predictor, maps)
    graph = _build(predictor, thresholds, maps, channels, weights == "float16")
    facts = metadata.describe(predictor, thresholds) | {"maps": maps, "channels": channels, "weights": weights}
    model = graph.model("chexnet", metadata.to_properties(facts))
    verification = verify(model, predictor, channels, thresholds, TOLERANCES[weights])
    return model + metadata.appendix({"largest_difference": verification.differences}), verification


def _check_options(predictor: "Predictor", maps: Literal["image"] | int | None) -> None:
    if predictor.preprocessing.resize < resizing.MIN_RESIZE:
        raise InputError(
            f"{predictor.config.ckpt}: resizes to {predictor.preprocessing.resize} pixels, expected at least "
            f"{resizing.MIN_RESIZE} for a whole-image graph"
        )
    if maps is not None and not predictor.network.supports_cam:
        raise InputError(
            f"{predictor.config.ckpt}: maps: {predictor.network.backbone_name} has no class maps; export without maps"
        )


def _build(
    predictor: "Predictor",
    thresholds: "Thresholds | None",
    maps: Literal["image"] | int | None,
    channels: int,
    half: bool,
) -> GraphBuilder:
    """Return the graph of `save_whole_image`."""
    graph, count = GraphBuilder(), len(predictor.classes)
    image = graph.input(INPUT, np.uint8, ["height", "width", *([3] if channels == 3 else [])])
    gray = resizing.to_gray(image) if channels == 3 else image
    size = resizing.image_size(gray)
    resized_size = resizing.resized_size(*size, predictor.preprocessing.resize)
    resized = resizing.resize_image(gray, size, resized_size)
    positions = cropping.crop_positions(graph, resized_size, predictor.crops, predictor.preprocessing.crop)
    crops = cropping.extract_crops(resized, resized_size[1], positions)
    accepted = resizing.accepted(*size)
    probability, crop_maps = _run_network(predictor, crops, half)
    probability = graph.where(accepted, probability, float("nan"))
    graph.output("probability", probability, [count])
    if thresholds and thresholds.calibration:
        calibrated = _calibrated(probability, predictor.classes, thresholds.calibration)
        graph.output("calibrated", graph.where(accepted, calibrated, float("nan")), [count])
    if thresholds:
        limits = decision_limits(predictor.classes, thresholds)
        graph.output("present", (probability >= limits) & accepted, [count])  # OpenVINO finds NaN >= 0
    if maps is not None and crop_maps is not None:
        crop_maps = graph.where(accepted, crop_maps, float("nan"))
        side = None if predictor.crops == DENSE else _cells(predictor)
        sides = zip(resized_size, image_maps.map_size(*size, maps), strict=True)
        values = image_maps.combine_maps(crop_maps, positions, side, predictor.network.grid, list(sides))
        graph.output("maps", values, [count, "rows", "columns"])
    return graph


def _run_network(predictor: "Predictor", crops: Tensor, half: bool) -> tuple[Tensor, Tensor | None]:
    """Run the network: uint8 [K, 1, height, width] -> float32 [C], and class maps float32 [K, C, h, w] or None."""
    import onnx

    network, dense = predictor.network, predictor.crops == DENSE
    with temporary_folder() as folder:
        side = None if dense else predictor.preprocessing.crop
        model = onnx.load(graph_export.save_onnx(network, folder, side, network.supports_cam))
    outputs = embed(model, crops, half)
    if not network.supports_cam:
        return outputs.mean(0), None
    if dense:
        window = _cells(predictor)
        means = crops.graph.op("AveragePool", outputs, kernel_shape=[window, window], strides=[1, 1])
    else:
        means = crops.graph.op("GlobalAveragePool", outputs)
    return (means + network.bias().reshape(1, -1, 1, 1)).sigmoid().mean(0, 2, 3), outputs


def _cells(predictor: "Predictor") -> int:
    """Return the side of a crop's class map in cells."""
    return cam.window_cells(predictor.network.predict_cam, predictor.preprocessing.crop)


def decision_limits(classes: tuple[str, ...], thresholds: "Thresholds") -> np.ndarray:
    """Return the lowest float32 at or above each threshold: float32 [C].

    A float32 probability is at least this number exactly where `OperatingPoint.decides` is true.
    """
    exact = np.array([thresholds.points[name].threshold for name in classes])
    nearest = exact.astype(np.float32)
    return np.where(nearest < exact, np.nextafter(nearest, np.float32(2)), nearest)


def _calibrated(probability: Tensor, classes: tuple[str, ...], calibration: dict[str, PlattScaling]) -> Tensor:
    """Apply Platt scaling as `PlattScaling.apply` does; NaN for findings without calibration."""
    edge = float(np.finfo(np.float32).eps)
    clipped = probability.clip(edge, 1 - edge)
    logits = clipped.log() - (clipped * -1.0 + 1.0).log()
    unknown = PlattScaling(float("nan"), float("nan"))
    scaling = [calibration.get(name, unknown) for name in classes]
    slopes, offsets = np.array([(item.slope, item.offset) for item in scaling], np.float32).T
    return (logits * slopes + offsets).sigmoid()
