"""The whole-image graph of the shipped checkpoint, with thresholds, calibration and class maps."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chexnet.files.shipped_weights import SHIPPED
from chexnet.inference import Predictor, engines
from chexnet.inference.thresholds import Thresholds
from chexnet.inference.whole_image import Verification, graph_writer, save_whole_image
from chexnet.metrics.platt import PlattScaling

MAP_SIDE = 32
"""Cells along the longer side of the class maps."""


@dataclass(frozen=True)
class ShippedGraph:
    """A graph with the predictor that it was made of."""

    path: Path
    predictor: Predictor
    thresholds: Thresholds


_made: list[ShippedGraph] = []


def shipped_graph(tmp_path_factory: pytest.TempPathFactory) -> ShippedGraph:
    """Return the graph. It is made once in a run of the tests, because that takes some seconds."""
    if why := engines.why_no_onnx():
        pytest.skip(why)
    if not _made:
        predictor = Predictor(str(SHIPPED), images=1, crops=1, device="cpu", graph_cache="off")
        found = predictor.find_thresholds(None, lambda line: None)
        assert found
        thresholds = replace(found[1], calibration={"Mass": PlattScaling(0.8, -0.5)})
        path = tmp_path_factory.mktemp("shipped_graph") / "model.onnx"
        with pytest.MonkeyPatch.context() as patch:  # the tests that use the graph compare its numbers
            patch.setattr(graph_writer, "verify", lambda *_: Verification({"none": 0.0}, ()))
            save_whole_image(predictor, path, thresholds=thresholds, maps=MAP_SIDE)
        _made.append(ShippedGraph(path, predictor, thresholds))
    return _made[0]
