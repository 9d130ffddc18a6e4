"""A checkpoint as a folder that other programs run: the network as a graph, and what they have to know of it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import chexnet
from chexnet import checkpoint, device, engine, export, model
from chexnet.config import EXPORT_FORMATS
from chexnet.errors import InputError
from chexnet.files import check_folder, replacing_folder, sha256, write_text
from chexnet.framework import paddle
from chexnet.phantom import draw

DESCRIPTION = "description.json"
FILES = ("model.onnx", "model.json", "model.pdmodel", "model.pdiparams", DESCRIPTION)
"""What may stand in such a folder."""

SCHEMA = 1

TOLERANCE = 1e-4
"""How far the probabilities of the exported network may be from those of the checkpoint."""


@dataclass(frozen=True)
class Deployment:
    """What was written.

    Attributes:
        folder: where.
        graph: the file to load.
        facts: what DESCRIPTION says.
    """

    folder: Path
    graph: Path
    facts: Mapping[str, Any]


def deploy(
    ckpt: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    form: str = EXPORT_FORMATS[0],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
) -> Deployment:
    """Exports a checkpoint, loads what was written with the engine that it is for, and compares their probabilities.

    The graph takes uint8 [N, 1, crop, crop], any N, and gives probabilities float32 [N, C] in 0..1; scaling and sigmoid
    are inside. Everything runs on the CPU.

    Args:
        ckpt: weight file.
        folder: new, empty, or one that this made before, which is replaced when everything is well.
        form: `paddle`, the inference program of this Paddle, or `onnx`, which needs paddle2onnx and onnxruntime.
        backbone: see `chexnet.model.describe`.
        classes: likewise.

    Raises:
        InputError: the checkpoint cannot be used, the folder not written, a package is missing, or the exported
            network gives other probabilities; then the folder is as it was.
    """
    check_folder(folder, FILES, keep=(ckpt, checkpoint.sidecar_path(ckpt)))
    _check_possible(form)
    device.select("cpu")
    opened = model.open_checkpoint(ckpt, backbone, classes)
    description, network = opened.description, opened.network()
    crop = description.preprocessing.crop
    save = {"paddle": export.save_program, "onnx": export.save_onnx}[form]
    with replacing_folder(folder, FILES) as new:
        graph = save(network, new, crop)
        kept = [graph] if form == "onnx" else [graph, graph.with_suffix(".pdiparams")]
        for path in new.iterdir():
            if path not in kept:
                path.unlink()  # of the way from Paddle to ONNX, or of use to no one
        difference = _difference(network, graph, crop)
        if not difference <= TOLERANCE:  # nor NaN
            raise InputError(
                f"{ckpt}: exported, its probabilities differ by {difference:.2g} from the checkpoint's, expected at "
                f"most {TOLERANCE}; nothing is written"
            )
        facts = {
            "schema": SCHEMA,
            "graph": graph.name,
            "files": {path.name: sha256(path) for path in kept},
            "input": {"name": export.INPUT, "dtype": "uint8", "shape": ["N", 1, crop, crop]},
            "output": {"dtype": "float32", "shape": ["N", len(description.classes)], "is": "probabilities"},
            "classes": list(description.classes),
            "resize": description.preprocessing.resize,
            "crop": crop,
            "scaling": f"{description.preprocessing.scaling}, inside the graph",
            "backbone": description.backbone,
            "notice": opened.notice,
            "ckpt": Path(ckpt).name,
            "ckpt_sha256": opened.sha256,
            "largest_difference": difference,
            "chexnet": chexnet.__version__,
            "paddle": paddle.__version__,
        }
        write_text(new / DESCRIPTION, json.dumps(facts, indent=2) + "\n")
    return Deployment(Path(folder), Path(folder) / graph.name, facts)


def _check_possible(form: str) -> None:
    if form != "onnx":
        return
    if not export.ONNX_POSSIBLE:
        raise InputError(f"--format onnx: needs Paddle 3, this is Paddle {paddle.__version__}; use --format paddle")
    if why := engine.missing("onnxruntime"):
        raise InputError(f"--format onnx: {why}")


def _difference(network: model.CheXNet, graph: Path, crop: int) -> float:
    """The largest difference of probabilities, on phantoms and noise, all at once and one alone."""
    phantoms = [draw([], max(crop, 64), patient=patient).image[:crop, :crop] for patient in range(3)]
    noise = np.random.default_rng(0).integers(0, 256, (2, crop, crop), np.uint8)
    crops = np.stack([*phantoms, *noise])[:, None]
    wanted = network.predict(crops)
    ready = engine.open_exported(graph)
    return float(max(np.abs(ready.predict(crops) - wanted).max(), np.abs(ready.predict(crops[:1]) - wanted[:1]).max()))
