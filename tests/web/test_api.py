"""The JSON API over a real socket: results, several images, maps, health and metrics."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from api_server import CLASSES, THRESHOLDS, Served, encoded, noise, png_of, running_server
from dicom_files import dataset, save
from PIL import Image

from chexnet.inference import Predictor
from chexnet.inference.thresholds import Thresholds
from chexnet.metrics.platt import PlattScaling
from chexnet.phantom import draw


def post(client: httpx.Client, content: bytes, query: str = "", media_type: str = "image/png") -> httpx.Response:
    return client.post(f"/v1/predict{query}", content=content, headers={"Content-Type": media_type})


def test_results_are_those_of_the_predictor(client, api_predictor, tmp_path):
    (tmp_path / "image.png").write_bytes(png_of(1))
    expected = api_predictor.predict(tmp_path / "image.png")
    response = post(client, png_of(1))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer = response.json()
    assert answer.keys() == {"ckpt_sha256", "notice", "results", "errors"}
    assert (answer["ckpt_sha256"], answer["notice"]) == (api_predictor.ckpt_sha256, "Only a <test>.")
    (result,) = answer["results"]
    assert (result["index"], result["width"], result["height"], answer["errors"]) == (0, 64, 64, [])
    assert {name: np.float32(value) for name, value in result["probabilities"].items()} == dict(
        zip(CLASSES, expected.probabilities, strict=True)
    )
    assert (result["warnings"], result["meaningful"]) == (list(expected.warnings), True)
    for finding in result["findings"]:
        assert finding["probability"] == result["probabilities"][finding["name"]]
        assert finding["present"] == (finding["probability"] >= finding["threshold"])
        point = (finding["threshold"], finding["sensitivity"], finding["specificity"])
        assert point == (THRESHOLDS[finding["name"]], 0.8, 0.7)
        assert CLASSES[finding["place"]] == finding["name"]
    order = sorted(result["findings"], key=lambda finding: (not finding["present"], -finding["probability"]))
    assert result["findings"] == order
    assert "maps" not in result
    assert "gray" not in result


def test_class_maps_and_the_gray_image_on_request(client, api_predictor):
    pixels = draw(["Mass"], 128, patient=4).image[:96]
    expected = api_predictor.predict(pixels)
    content = encoded(pixels)
    result = post(client, content, "?maps=all&gray=true").json()["results"][0]
    assert list(result["maps"]) == list(CLASSES)
    for name, drawn in result["maps"].items():
        assert (drawn["rows"], drawn["columns"]) == (48, 64)
        opacity = np.frombuffer(base64.b64decode(drawn["opacity"]), np.uint8).reshape(48, 64)
        heatmap = expected.heatmap(name, (48, 64))
        np.testing.assert_allclose(opacity / 255, np.nan_to_num(heatmap), rtol=0, atol=0.5 / 255 + 1e-6)
        assert np.isnan(heatmap).any()  # outside the crop
    gray = Image.open(io.BytesIO(base64.b64decode(result["gray"])))
    np.testing.assert_array_equal(np.asarray(gray), pixels)
    for query in ({"maps": "Edema,Right_lung"}, {"maps": ["Right_lung", "Edema", "Edema"]}):
        response = client.post("/v1/predict", content=content, params=query, headers={"Content-Type": "image/png"})
        assert set(response.json()["results"][0]["maps"]) == {"Edema", "Right_lung"}


def test_large_gray_images_are_reduced(client):
    pixels = np.tile(np.linspace(0, 255, 3000).astype(np.uint8), (300, 1))
    result = post(client, encoded(pixels), "?gray=true").json()["results"][0]
    assert (result["width"], result["height"]) == (3000, 300)
    assert Image.open(io.BytesIO(base64.b64decode(result["gray"]))).size == (2048, 205)


def test_one_bad_image_among_good_ones(client):
    files = [
        ("image", ("a.png", png_of(1), "image/png")),
        ("image", ("text.png", b"no image", "image/png")),
        ("other", ("a.png", png_of(2), "application/octet-stream")),
        ("empty", ("empty.png", b"", "image/png")),
        ("名", ("胸片.png", png_of(3), "image/png")),
    ]
    answer = client.post("/v1/predict", files=files)
    assert answer.status_code == 200
    results, errors = answer.json()["results"], answer.json()["errors"]
    assert [(result["index"], result["name"]) for result in results] == [(0, "a.png"), (2, "a.png"), (4, "胸片.png")]
    assert [(error["index"], error["name"]) for error in errors] == [(1, "text.png"), (3, "empty.png")]
    assert "cannot be decoded" in errors[0]["detail"]
    alone = [post(client, png_of(patient)).json()["results"][0]["probabilities"] for patient in (1, 2, 3)]
    for result, expected in zip(results, alone, strict=True):  # kernels may depend on the batch size
        assert result["probabilities"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("content", [b"", b"no image", png_of(1)[:-200], b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_an_unreadable_image_is_a_problem_without_a_path(client, content):
    response = post(client, content)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    problem = response.json()
    assert (problem["status"], problem["code"]) == (422, "unreadable")
    assert [(error["index"], error["detail"]) for error in problem["errors"]] == [(0, problem["detail"])]
    assert "/" not in problem["detail"]
    assert client.get("/v1/model").status_code == 200  # the connection stays usable


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000", "PPM"])
def test_every_format_is_read_from_memory(client, api_predictor, tmp_path, suffix):
    content = encoded(draw(["Mass"], 64, patient=1).image, suffix)
    (tmp_path / "x").write_bytes(content)
    expected = api_predictor.predict(tmp_path / "x")
    for media_type in ("application/octet-stream", "image/anything"):
        found = post(client, content, media_type=media_type).json()["results"][0]["probabilities"]
        assert [np.float32(found[name]) for name in CLASSES] == list(expected.probabilities)


def test_dicom_is_read_from_memory(client, api_predictor, tmp_path):
    path = save(dataset(draw(["Mass"], 64, patient=1).image, ViewPosition="LL"), tmp_path / "x.dcm")
    expected = api_predictor.predict(path)
    result = post(client, path.read_bytes(), media_type="application/dicom").json()["results"][0]
    assert [np.float32(result["probabilities"][name]) for name in CLASSES] == list(expected.probabilities)
    assert result["warnings"] == list(expected.warnings)
    assert any("not frontal" in warning for warning in result["warnings"])
    damaged = post(client, path.read_bytes()[:-2000], media_type="application/dicom").json()
    assert damaged["code"] == "unreadable"
    assert str(tmp_path) not in damaged["detail"]


def test_a_meaningless_image_has_no_decisions(client):
    result = post(client, noise()).json()["results"][0]
    assert result["warnings"]
    assert not any("present" in finding for finding in result["findings"])
    probabilities = [finding["probability"] for finding in result["findings"]]
    assert probabilities == sorted(probabilities, reverse=True)


def test_calibrated_probabilities_are_those_of_the_scaling(api_predictor, api_thresholds):
    scaling = {"Edema": PlattScaling(2.0, -1.0)}
    calibrated = Thresholds(api_thresholds.chosen, api_thresholds.points, calibration=scaling)
    with running_server(api_predictor, calibrated) as served, httpx.Client(base_url=served.url) as client:
        assert client.get("/v1/model").json()["calibrated"] is True
        result = post(client, png_of(1)).json()["results"][0]
    by_name = {finding["name"]: finding for finding in result["findings"]}
    odds = (by_name["Edema"]["probability"] / (1 - by_name["Edema"]["probability"])) ** 2 * np.exp(-1.0)
    assert by_name["Edema"]["calibrated"] == pytest.approx(odds / (1 + odds), abs=1e-6)
    assert "calibrated" not in by_name["Right_lung"]


def test_parallel_requests_get_their_own_results(api):
    def predict(patient: int) -> dict:
        with httpx.Client(base_url=api.url, timeout=60) as client:
            return post(client, png_of(patient)).json()["results"][0]["probabilities"]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(predict, range(16)))
    for ours, alone in zip(together, map(predict, range(16)), strict=True):
        assert ours == pytest.approx(alone, abs=1e-5)


def test_the_description_of_the_network(client, api: Served):
    model = client.get("/v1/model").json()
    assert (model["classes"], model["notice"], model["chosen"]) == (list(CLASSES), "Only a <test>.", "by hand")
    assert (model["name"], model["calibrated"], model["max_images"]) == ("model.pdparams", False, 32)
    assert model["engine"] == api.service.predictor.engine


def test_health_and_metrics(api_predictor: Predictor):
    with running_server(api_predictor) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/healthz/ready").json() == {"status": "ready"}
        post(client, png_of(1))
        post(client, b"secret")
        client.get("/secret?password=1")
        text = client.get("/metrics").text
        open_metrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert open_metrics.headers["Content-Type"].startswith("application/openmetrics-text")
        assert open_metrics.text.endswith("# EOF\n")
    assert 'chexnet_requests_total{method="POST",route="/v1/predict",status="200"} 1.0' in text
    assert 'chexnet_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'chexnet_images_total{outcome="predicted"} 1.0' in text
    assert 'chexnet_images_total{outcome="unreadable"} 1.0' in text
    assert 'chexnet_refusals_total{code="unreadable"} 1.0' in text
    assert "chexnet_batch_images_sum 1.0" in text
    assert "chexnet_waiting_images 0.0" in text
    assert "chexnet_waiting_bytes 0.0" in text
    assert "secret" not in text
