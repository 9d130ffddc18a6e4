"""A checkpoint as one ONNX file from the pixels of a radiograph of any size to the probabilities of its findings.

The graph resizes as Pillow does, crops, normalizes, runs the network and averages. `save_whole_image` writes it.
"""

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from chexnet.config.crops import DENSE
from chexnet.files import atomic_write, temporary_folder
from chexnet.inference import cam, graph_export
from chexnet.inference.whole_image import class_maps, cropping, metadata, resizing
from chexnet.inference.whole_image.operators import GraphBuilder, Tensor
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
) -> None:
    """Write a checkpoint as one ONNX file that takes whole images.

    The input `image` is uint8 [H, W], gray, or with `channels=3` uint8 [H, W, 3], red, green and blue. The output
    `probability` is float32 [C].
    """
    graph = GraphBuilder()
    shape = ["height", "width", *([3] if channels == 3 else [])]
    image = graph.input(INPUT, np.uint8, shape)
    gray = resizing.to_gray(image) if channels == 3 else image
    size = resizing.image_size(gray)
    sides = resizing.resized_size(*size, predictor.preprocessing.resize)
    resized = resizing.resize_image(gray, size, sides)
    positions = cropping.crop_positions(graph, sides, predictor.crops, predictor.preprocessing.crop)
    crops = cropping.extract_crops(resized, sides[1], positions)
    probability, crop_maps = _run_network(predictor, crops)
    probability = graph.where(resizing.accepted(*size), probability, float("nan"))
    count = len(predictor.classes)
    graph.output("probability", probability, [count])
    if thresholds:
        if thresholds.calibration:
            graph.output("calibrated", _calibrated(probability, predictor.classes, thresholds), [count])
        graph.output("present", probability >= decision_limits(predictor.classes, thresholds), [count])
    if maps is not None:
        cells = None if predictor.crops == DENSE else cam.window_cells(predictor.network.predict_cam, predictor.preprocessing.crop)
        rows, columns = class_maps.map_size(*size, maps)
        values = class_maps.image_maps(
            crop_maps, positions, cells, predictor.network.grid, [(sides[0], rows), (sides[1], columns)]
        )
        graph.output("maps", values, [count, "rows", "columns"])
    facts = metadata.describe(predictor, thresholds) | {"maps": maps, "channels": channels, "weights": weights}
    model = graph.model("chexnet", metadata.to_properties(facts))
    with atomic_write(path) as file:
        file.write_bytes(model.SerializeToString())


def decision_limits(classes: tuple[str, ...], thresholds: "Thresholds") -> np.ndarray:
    """Return the lowest float32 at or above each threshold: float32 [C].

    A float32 probability is at least this number exactly where `OperatingPoint.decides` is true.
    """
    exact = np.array([thresholds.points[name].threshold for name in classes])
    nearest = exact.astype(np.float32)
    return np.where(nearest < exact, np.nextafter(nearest, np.float32(2)), nearest)


def _run_network(predictor: "Predictor", crops: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run the network: uint8 [K, 1, height, width] -> float32 [C], and class maps float32 [K, C, h, w] if it has any."""
    import onnx

    network, crop = predictor.network, predictor.preprocessing.crop
    dense = predictor.crops == DENSE
    with temporary_folder() as folder:
        model = onnx.load(graph_export.save_onnx(network, folder, None if dense else crop, network.supports_cam))
    outputs = crops.graph.embed(model, crops)
    if not network.supports_cam:
        return outputs.mean(0), None
    if dense:
        side = cam.window_cells(network.predict_cam, crop)
        means = crops.graph.op("AveragePool", outputs, kernel_shape=[side, side], strides=[1, 1])
    else:
        means = crops.graph.op("GlobalAveragePool", outputs)
    return (means + network.bias().reshape(1, -1, 1, 1)).sigmoid().mean(0, 2, 3), outputs


def _calibrated(probability: Tensor, classes: tuple[str, ...], thresholds: "Thresholds") -> Tensor:
    """Apply Platt scaling as `PlattScaling.apply` does; NaN for findings without calibration."""
    edge = float(np.finfo(np.float32).eps)
    clipped = probability.clip(edge, 1 - edge)
    logits = clipped.log() - (clipped * -1.0 + 1.0).log()
    unknown = PlattScaling(float("nan"), float("nan"))
    scaling = [(thresholds.calibration or {}).get(name, unknown) for name in classes]
    slopes, offsets = np.array([(item.slope, item.offset) for item in scaling], np.float32).T
    return (logits * slopes + offsets).sigmoid()
