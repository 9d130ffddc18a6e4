"""Export a checkpoint for other programs: a folder with the network as a graph and a description of its input."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chexnet
from chexnet import device
from chexnet._types import LogFn
from chexnet.config import EXPORT_FORMATS, GRAPH_CACHE_OFF, InferenceConfig
from chexnet.config.crops import DENSE
from chexnet.errors import InputError
from chexnet.files import atomic_directory, check_folder, sha256, write_text
from chexnet.inference import Predictor, cam, engines, graph_export
from chexnet.inference.whole_image.graph_writer import build_whole_image
from chexnet.inference.whole_image.verification import Verification, verify_crop_graph
from chexnet.model import checkpoint

DESCRIPTION = "description.json"
FILES = ("model.onnx", "model.json", "model.pdmodel", "model.pdiparams", DESCRIPTION)
"""Names of the files that an export may contain."""

SCHEMA = 1


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
    *,
    whole_image: bool | None = None,
    thresholds: str | None = None,
    log: LogFn = lambda line: None,
    **options: Any,
) -> Deployment:
    """Export a checkpoint, load the export with the engines that it is for, and compare the probabilities.

    A whole-image graph maps images to all results, see `chexnet.inference.whole_image.save_whole_image`. A crop graph
    maps uint8 [N, 1, crop, crop], for any N, to probabilities float32 [N, C] in 0..1. It includes normalization and
    sigmoid. With `crops="dense"`, it maps whole images, uint8 [N, 1, H, W] of any size of at least `crop` pixels, to
    the probabilities of dense evaluation. Everything runs on the CPU.

    Args:
        config: checkpoint to load, or the path of the weight file.
        folder: a new or empty folder, or an earlier export, which is replaced after the comparison.
        form: `onnx`, which needs onnx, paddle2onnx and onnxruntime; or `paddle`, an inference program of this Paddle
            version for crops.
        whole_image: True for a whole-image graph, False for a crop graph; None for the former if `form` is `onnx`.
        thresholds: file of operating points for a whole-image graph; None for the checkpoint's own, if it exists.
        log: receives lines about the thresholds.
        options: `maps`, `channels` and `weights` of a whole-image graph.

    Raises:
        InputError: the checkpoint cannot be used, the folder cannot be written, a package is missing, an option does
            not apply to the form, or the exported network gives different results. The folder then remains unchanged.
    """
    ckpt = config.ckpt if isinstance(config, InferenceConfig) else config
    whole = form == "onnx" if whole_image is None else whole_image
    options = {name: value for name, value in options.items() if value is not None}
    _check_options(form, whole, {"thresholds": thresholds, **options})
    check_folder(folder, FILES, protected=(ckpt, checkpoint.metadata_path(ckpt)))
    if form == "onnx" and (why := engines.why_no_onnx()):
        raise InputError(f"--format onnx: {why}")
    predictor = Predictor(config, device="cpu", engine="auto", images=1, graph_cache=GRAPH_CACHE_OFF)
    with atomic_directory(folder, FILES) as new:
        if whole:
            found = predictor.find_thresholds(thresholds, log)
            graph = new / "model.onnx"
            model, verification = build_whole_image(predictor, thresholds=found and found[1], **options)
            graph.write_bytes(model)
            facts = _describe_whole_image(model)
        else:
            graph = _save_crop_graph(predictor, new, form)
            verification = verify_crop_graph(graph, predictor)
            facts = _describe_crop_graph(predictor)
        description = _describe(predictor, new, graph, verification, facts)
        write_text(new / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    return Deployment(Path(folder), Path(folder) / graph.name, description)


def _check_options(form: str, whole_image: bool, options: Mapping[str, Any]) -> None:
    """Refuse options of whole-image graphs for other graphs."""
    if whole_image and form != "onnx":
        raise InputError(f"--whole_image: needs --format onnx, not {form}")
    if not whole_image and (given := [name for name, value in options.items() if value is not None]):
        raise InputError(f"--{given[0]}: needs --format onnx and --whole_image")


def _save_crop_graph(predictor: Predictor, folder: Path, form: str) -> Path:
    """Write the network for crops or, with dense evaluation, for resized images, without intermediate files."""
    network, crop = predictor.network, predictor.preprocessing.crop
    window = cam.window_cells(network.predict_cam, crop) if predictor.crops == DENSE else None
    save = {"paddle": graph_export.save_program, "onnx": graph_export.save_onnx}[form]
    graph = save(network, folder, None, window=window) if window else save(network, folder, crop)
    keep = (graph, graph.with_suffix(".pdiparams")) if form == "paddle" else (graph,)
    for path in folder.iterdir():
        if path not in keep:
            path.unlink()
    return graph


def _describe(
    predictor: Predictor, folder: Path, graph: Path, verification: Verification, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of the file DESCRIPTION."""
    preprocessing = predictor.preprocessing
    return {
        "schema": SCHEMA,
        "graph": graph.name,
        "files": {path.name: sha256(path) for path in sorted(folder.iterdir())},
        **facts,
        "classes": list(predictor.classes),
        "resize": preprocessing.resize,
        "crop": preprocessing.crop,
        "crops": predictor.crops,
        "scaling": f"{preprocessing.scaling}, inside the graph",
        "backbone": predictor.network.backbone_name,
        "notice": predictor.disclaimer,
        "ckpt": predictor.ckpt.name,
        "ckpt_sha256": predictor.ckpt_sha256,
        "largest_difference": verification.largest,
        "differences": verification.differences,
        "not_verified_in": list(verification.not_installed),
        "chexnet": chexnet.__version__,
        "paddle": device.paddle_version(),
    }


def _describe_whole_image(model: bytes) -> dict[str, Any]:
    import onnx

    graph = onnx.load_model_from_string(model).graph
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    name = graph.input[0].name
    return {
        "whole_image": True,
        "input": {"name": name, "dtype": "uint8", "shape": shapes.pop(name)},
        "outputs": shapes,
    }


def _describe_crop_graph(predictor: Predictor) -> dict[str, Any]:
    sides = "HW" if predictor.crops == DENSE else [predictor.preprocessing.crop] * 2
    return {
        "whole_image": False,
        "input": {"name": graph_export.INPUT, "dtype": "uint8", "shape": ["N", 1, *sides]},
        "output": {"dtype": "float32", "shape": ["N", len(predictor.classes)], "is": "probabilities"},
    }
