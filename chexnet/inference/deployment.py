"""Export a checkpoint for other programs: a folder with the network as a graph and a description of its input."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import chexnet
from chexnet import model
from chexnet.config import EXPORT_FORMATS, InferenceConfig
from chexnet.config.crops import DENSE
from chexnet.data.transforms import Preprocessing
from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.files import atomic_directory, check_folder, sha256, write_text
from chexnet.inference import Predictor, cam, engines, graph_export
from chexnet.model import checkpoint

DESCRIPTION = "description.json"
FILES = ("model.onnx", "model.json", "model.pdmodel", "model.pdiparams", DESCRIPTION)
"""Names of the files that an export may contain."""

SCHEMA = 1

TOLERANCE = 1e-4
"""Maximum difference between the probabilities of the exported network and those of the checkpoint."""


@dataclass(frozen=True)
class Deployment:
    """Exported files.

    Attributes:
        folder: folder of all files.
        graph: file to load.
        description: content of the file DESCRIPTION.
    """

    folder: Path
    graph: Path
    description: Mapping[str, Any]


def deploy(
    config: InferenceConfig | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    form: str = EXPORT_FORMATS[0],
) -> Deployment:
    """Export a checkpoint, load the export with the engine that it is for, and compare the probabilities.

    The graph maps uint8 [N, 1, crop, crop], for any N, to probabilities float32 [N, C] in 0..1. It includes
    normalization and sigmoid. With `crops="dense"`, it maps whole images, uint8 [N, 1, H, W] of any size of at least
    `crop` pixels, to the probabilities of dense evaluation. Everything runs on the CPU.

    Args:
        config: checkpoint to load, or the path of the weight file.
        folder: a new or empty folder, or an earlier export, which is replaced after the comparison.
        form: `paddle`, an inference program of this Paddle version; or `onnx`, which needs paddle2onnx and onnxruntime.

    Raises:
        InputError: the checkpoint cannot be used, the folder cannot be written, a package is missing, or the exported
            network gives different probabilities. The folder then remains unchanged.
    """
    ckpt = config.ckpt if isinstance(config, InferenceConfig) else config
    check_folder(folder, FILES, protected=(ckpt, checkpoint.metadata_path(ckpt)))
    _check_possible(form)
    predictor = Predictor(config, device="cpu", engine="paddle")
    network, crop = predictor.network, predictor.preprocessing.crop
    window = cam.window_cells(network.predict_cam, crop) if predictor.crops == DENSE else None
    save = {"paddle": graph_export.save_program, "onnx": graph_export.save_onnx}[form]
    with atomic_directory(folder, FILES) as new:
        graph = save(network, new, None, window=window) if window else save(network, new, crop)
        exported = [graph] if form == "onnx" else [graph, graph.with_suffix(".pdiparams")]
        for path in new.iterdir():
            if path not in exported:
                path.unlink()  # intermediate file of the conversion from Paddle to ONNX
        difference = _difference(network, graph, predictor.preprocessing, window)
        if not difference <= TOLERANCE:  # true for NaN
            raise InputError(
                f"{ckpt}: the probabilities of the exported network differ by {difference:.2g}, expected at most "
                f"{TOLERANCE}; no file was written"
            )
        description = _describe(predictor, graph, exported, difference)
        write_text(new / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    return Deployment(Path(folder), Path(folder) / graph.name, description)


def _describe(predictor: Predictor, graph: Path, files: Sequence[Path], difference: float) -> dict[str, Any]:
    """Return the content of the file DESCRIPTION."""
    preprocessing = predictor.preprocessing
    return {
        "schema": SCHEMA,
        "graph": graph.name,
        "files": {path.name: sha256(path) for path in files},
        "input": {
            "name": graph_export.INPUT,
            "dtype": "uint8",
            "shape": ["N", 1, *("HW" if predictor.crops == DENSE else [preprocessing.crop] * 2)],
        },
        "output": {"dtype": "float32", "shape": ["N", len(predictor.classes)], "is": "probabilities"},
        "classes": list(predictor.classes),
        "resize": preprocessing.resize,
        "crop": preprocessing.crop,
        "crops": predictor.crops,
        "scaling": f"{preprocessing.scaling}, inside the graph",
        "backbone": predictor.network.backbone_name,
        "notice": predictor.disclaimer,
        "ckpt": predictor.ckpt.name,
        "ckpt_sha256": predictor.ckpt_sha256,
        "largest_difference": difference,
        "chexnet": chexnet.__version__,
        "paddle": paddle.__version__,
    }


def _check_possible(form: str) -> None:
    if form != "onnx":
        return
    if not graph_export.ONNX_POSSIBLE:
        raise InputError(f"--format onnx: requires Paddle 3, this is Paddle {paddle.__version__}; use --format paddle")
    if why := engines.why_unavailable("onnxruntime"):
        raise InputError(f"--format onnx: {why}")


def _difference(network: model.CheXNet, graph: Path, preprocessing: Preprocessing, window: int | None) -> float:
    """Return the largest difference of probabilities, for smooth images and noise, as a batch and alone.

    With `window`, these are images of several shapes, in dense evaluation.
    """
    engine = engines.load_exported(graph)
    resize, crop = preprocessing.resize, preprocessing.crop
    sizes = [(resize, resize), (resize, resize * 4 // 3), (resize * 5 // 4, resize)] if window else [(crop, crop)]
    differences = []
    for images in map(_test_images, sizes):
        expected = _predict_dense(network, images, window) if window else network.predict(images)
        batches = (slice(None), slice(1))
        differences += [np.abs(engine.predict(images[batch]) - expected[batch]).max() for batch in batches]
    return float(np.max(differences))


def _test_images(size: tuple[int, int]) -> np.ndarray:
    """Return three smooth images and two of noise, uint8 [5, 1, H, W]."""
    rng = np.random.default_rng(0)
    coarse = (Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8)) for _ in range(3))
    smooth = [np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC)) for image in coarse]
    return np.stack([*smooth, *rng.integers(0, 256, (2, *size), np.uint8)])[:, None]


def _predict_dense(network: model.CheXNet, images: np.ndarray, window: int) -> np.ndarray:
    """Predict images uint8 [N, 1, H, W] by dense evaluation of them and their mirror images: float64 [N, C]."""
    views = (images, np.ascontiguousarray(images[..., ::-1]))
    bias = network.bias()
    return np.mean([cam.dense_probabilities(network.predict_cam(view), bias, window) for view in views], axis=0)
