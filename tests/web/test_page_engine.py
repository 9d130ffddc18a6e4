"""The engine of the page, run in Node, gives the results of the Predictor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from page_reader import predict_in_page, skip_without_node
from PIL import Image
from shipped_graph import MAP_SIDE, shipped_graph

from chexnet import phantom
from chexnet.inference.prediction import Prediction
from chexnet.inference.thresholds import Thresholds

FINDINGS = ((), ("Effusion", "Mass"))


@dataclass(frozen=True)
class Run:
    """Files predicted by the engine and by the library."""

    model: dict
    results: list[dict]
    predictions: list[Prediction]
    thresholds: Thresholds
    graph: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    skip_without_node()
    folder = tmp_path_factory.mktemp("engine")
    made = shipped_graph(tmp_path_factory)
    images = [phantom.draw(findings, 300, seed=seed).image for seed, findings in enumerate(FINDINGS)]
    files = [folder / f"{number}.png" for number in range(len(images) + 2)]
    for file, image in zip(files, images, strict=False):
        Image.fromarray(image).save(file)
    Image.fromarray(images[0].astype(np.uint16) * 257).save(files[-2])
    Image.fromarray(255 - images[0][:-60]).save(files[-1])
    model, *results = predict_in_page(made.path, files, folder)
    predictions = [made.predictor.predict(file) for file in files]
    return Run(model, results, predictions, made.thresholds, made.path)


def test_probabilities_are_those_of_the_predictor(run):
    for result, prediction in zip(run.results, run.predictions, strict=True):
        values = [result["probabilities"][name] for name in prediction.classes]
        np.testing.assert_allclose(values, prediction.probabilities, rtol=0, atol=1e-5)
        assert (result["width"], result["height"]) == prediction.gray.size


def test_findings_have_the_order_and_decisions_of_the_predictor(run):
    for result, prediction in zip(run.results, run.predictions, strict=True):
        names = [finding["name"] for finding in result["findings"]]
        if prediction.meaningful:
            assert names == prediction.ranked(run.thresholds)
            present = [finding["name"] for finding in result["findings"] if finding["present"]]
            assert present == prediction.present(run.thresholds)
        else:
            assert names == prediction.ranked(None)
            assert not any("present" in finding for finding in result["findings"])
        assert [prediction.classes[finding["place"]] for finding in result["findings"]] == names


def test_only_the_fitted_findings_are_calibrated(run):
    for result, prediction in zip(run.results, run.predictions, strict=True):
        (found,) = [finding for finding in result["findings"] if "calibrated" in finding]
        expected = run.thresholds.calibration["Mass"].apply(prediction.probability("Mass"))
        assert found["name"] == "Mass"
        assert found["calibrated"] == pytest.approx(float(expected), abs=1e-4)


def test_warnings_are_those_of_the_predictor(run):
    assert [tuple(result["warnings"]) for result in run.results] == [item.warnings for item in run.predictions]
    assert [result["meaningful"] for result in run.results] == [item.meaningful for item in run.predictions]
    assert run.results[0]["meaningful"]
    assert not run.results[-1]["meaningful"]


def test_maps_are_the_heatmaps_of_the_predictor(run):
    for result, prediction in zip(run.results, run.predictions, strict=True):
        for name in prediction.classes:
            found = result["maps"][name]
            expected = np.nan_to_num(prediction.heatmap(name))
            opacity = np.array(found["opacity"]).reshape(found["rows"], found["columns"]) / 255
            assert max(opacity.shape) == MAP_SIDE
            enlarged = np.asarray(Image.fromarray(opacity.astype(np.float32)).resize(expected.shape[::-1]))
            assert np.abs(enlarged - expected).mean() < 0.02


def test_a_window_applies_to_the_samples_of_deep_files_only(run):
    assert [result["samples"] is None for result in run.results] == [True, True, False, True]
    deep = run.results[2]["samples"]
    assert (deep["low"], deep["high"], len(deep["values"])) == (0, 65535, 300 * 300)


def test_the_model_is_described_by_its_metadata(run):
    model = run.model
    assert model["classes"] == list(run.predictions[0].classes)
    assert model["chosen"] == run.thresholds.chosen
    assert model["calibrated"]
    assert model["header"]["thresholds"]["points"]["Mass"]["threshold"] == run.thresholds.points["Mass"].threshold
    assert model["header"]["preprocessing"] == {"resize": 256, "crop": 224, "scaling": "imagenet", "sample_bits": 16}
    assert model["notice"]


def test_a_graph_of_another_layout_and_a_damaged_one_are_refused(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(run.graph)
    del graph.graph.node[1:], graph.graph.initializer[:]
    for entry in graph.metadata_props:
        if entry.key == "schema":
            entry.value = "99"
    (tmp_path / "new.onnx").write_bytes(graph.SerializeToString())
    del graph.metadata_props[:]
    (tmp_path / "plain.onnx").write_bytes(graph.SerializeToString())
    (tmp_path / "cut.onnx").write_bytes(run.graph.read_bytes()[:-1000])
    (tmp_path / "page.onnx").write_bytes(b"<!doctype html><title>Not found</title>")
    errors = {}
    for name in ("new", "plain", "cut", "page"):
        (answer,) = predict_in_page(tmp_path / f"{name}.onnx", [], tmp_path)
        errors[name] = answer["error"]
        assert "tools/build_page.py" in errors[name], name
    assert "99" in errors["new"]
