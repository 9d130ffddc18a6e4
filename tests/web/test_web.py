"""The web page, over a real socket and in a real browser."""

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from browser import Browser
from conftest import ROOT
from PIL import Image

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference import Predictor, overlays
from chexnet.inference.thresholds import OperatingPoint, read_thresholds
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw
from chexnet.web import InferenceService, serve, server, service

CLASSES = ("Edema", "<b>Left</b> & lung", "Right_lung")
THRESHOLDS = {"Edema": 0.0, "<b>Left</b> & lung": 1.0, "Right_lung": 0.5}
"""The first finding is always present, the second never."""


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    """A small network with class maps, and its thresholds."""
    paddle.seed(5)
    network = CheXNet(len(CLASSES), "densenet_cifar")
    network.backbone.fc.weight.set_value(network.backbone.fc.weight * 3)
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save(network.state_dict(), path)
    facts = {"backbone": "densenet_cifar", "classes": CLASSES, "resize": 36, "crop": 32, "notice": "Only a <test>."}
    checkpoint.write_metadata_file(path, facts)
    points = {name: {"threshold": value, "sensitivity": 0.8, "specificity": 0.7} for name, value in THRESHOLDS.items()}
    facts = {"schema": 1, "chosen": "by hand", "ckpt_sha256": sha256(path), "thresholds": points}
    path.with_name("thresholds.json").write_text(json.dumps(facts))
    return path


@pytest.fixture(scope="module")
def predictor(ckpt) -> Predictor:
    return Predictor(ckpt, device="cpu", images=1)


@contextmanager
def running_server(predictions: InferenceService) -> Iterator[int]:
    """Start a server and return its port."""
    http_server = server._Server(("127.0.0.1", 0), predictions)
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield http_server.server_address[1]
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()


@pytest.fixture
def port(ckpt, predictor):
    """Port of a running server."""
    with running_server(
        InferenceService(predictor, read_thresholds(ckpt.with_name("thresholds.json"), None, CLASSES))
    ) as number:
        yield number


def request(port: int, method: str, path: str, body: bytes | None = None, **headers: str):
    """Send a request; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def png_of(patient: int, size: int = 64) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw(["Mass"], size, patient=patient).image).save(file, "PNG")
    return file.getvalue()


def test_the_server_returns_the_results_of_the_predictor(port, predictor, tmp_path):
    (tmp_path / "image.png").write_bytes(png_of(1))
    expected = predictor.predict(tmp_path / "image.png")
    status, headers, body = request(port, "POST", "/predict", png_of(1))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found = json.loads(body)
    for finding in found["findings"]:
        probability = expected.probability(finding["name"])
        assert finding["probability"] == pytest.approx(probability, abs=1e-6)
        assert finding["present"] == (probability >= finding["threshold"])
        point = (finding["threshold"], finding["sensitivity"], finding["specificity"])
        assert point == (THRESHOLDS[finding["name"]], 0.8, 0.7)
    assert "Edema" in [finding["name"] for finding in found["findings"] if finding["present"]]
    by_decision = sorted(found["findings"], key=lambda finding: (not finding["present"], -finding["probability"]))
    assert found["findings"] == by_decision
    assert found["warnings"] == list(expected.warnings)
    assert found["meaningful"]
    for finding in found["findings"]:
        status, headers, picture = request(port, "GET", f"/picture?image={found['image']}&finding={finding['place']}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        size = overlays.panel_size(expected.gray)
        gray = expected.gray.resize(size[::-1], Image.Resampling.BICUBIC)
        title = f"{finding['name']} {expected.probability(finding['name']):.3f}"
        heatmap = expected.heatmap(finding["name"], size)
        drawn = overlays.render_panel(gray, heatmap, expected.cam_max, title, "Only a <test>.")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), np.asarray(drawn))
    plain = Image.open(io.BytesIO(request(port, "GET", f"/picture?image={found['image']}")[2]))
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(gray))
    info = json.loads(request(port, "GET", "/about")[2])
    assert (info["classes"], info["notice"], info["chosen"]) == (list(CLASSES), "Only a <test>.", "by hand")


def noise() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_another_image_gives_a_warning_and_is_ranked_by_probability(port):
    found = json.loads(request(port, "POST", "/predict", noise())[2])
    assert found["meaningful"] is False
    assert found["warnings"]
    probabilities = [finding["probability"] for finding in found["findings"]]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/about", "/nothing"])
def test_every_response_keeps_other_pages_out(port, path):
    status, headers, _ = request(port, "GET", path)
    assert status == (404 if path == "/nothing" else 200)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_the_page_uses_no_other_server(port):
    texts = [request(port, "GET", path)[2].decode() for path in ("/", "/page.css", "/page.js")]
    pattern = r"https?://\S*|\burl\(|@import|innerHTML|<script>"
    assert not [match for text in texts for match in re.findall(pattern, text)]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the image: .*empty"), (b"no image", "the image: cannot be decoded"), (None, "the image: .*")],
)
def test_an_unreadable_image_gives_an_error_without_a_path(port, content, message):
    content = png_of(1)[:-200] if content is None else content
    status, headers, body = request(port, "POST", "/predict", content)
    assert status == 422
    assert re.match(message, json.loads(body)["error"])
    assert tempfile.gettempdir() not in json.loads(body)["error"]
    assert headers["Connection"] is None  # the connection stays open


def test_bad_requests_are_refused(port, monkeypatch):
    def refused(*arguments, **headers):
        status, response_headers, body = request(port, *arguments, **headers)
        assert response_headers["Connection"] == "close"
        return status, json.loads(body)["error"]

    monkeypatch.setattr(server, "MAX_BYTES", 100)
    status, message = refused("POST", "/predict", png_of(1))
    assert (status, f"{len(png_of(1)):,} bytes" in message) == (413, True)
    assert refused("POST", "/predict", Content_Length="-1")[0] == 411
    assert refused("POST", "/other", b"")[0] == 404
    assert refused("GET", "/../service.py")[0] == 404
    status, message = refused("GET", "/about", Host="attacker.example")
    assert (status, "'attacker.example'" in message) == (403, True)
    assert refused("POST", "/predict", b"", Origin="http://attacker.example")[0] == 403
    assert refused("POST", "/predict", b"", Origin="null")[0] == 403


def test_an_incomplete_upload_is_refused(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 " in connection.makefile("rb").readline()


def test_a_silent_connection_does_not_block_the_others(port):
    with socket.create_connection(("127.0.0.1", port)):
        assert request(port, "GET", "/about")[0] == 200


def test_parallel_requests_get_their_own_responses(port):
    def predict(patient: int) -> dict:
        return json.loads(request(port, "POST", "/predict", png_of(patient))[2])

    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(predict, range(6)))
    assert len({response["image"] for response in responses}) == 6
    assert responses == [predict(patient) for patient in range(6)]


def test_only_recent_images_are_kept_and_none_on_disk(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    predictions = InferenceService(predictor)
    keys = [predictions.predict(png_of(patient))["image"] for patient in range(service.MAX_CACHED)]
    predictions.predict(png_of(0))  # the oldest becomes the most recent
    predictions.predict(png_of(service.MAX_CACHED))
    assert predictions.render(keys[0], None)
    for key, finding in ((keys[1], 0), ("none", 0), (keys[0], len(CLASSES)), (keys[0], -1)):
        with pytest.raises(KeyError):
            predictions.render(key, finding)
    assert "present" not in predictions.predict(png_of(1))["findings"][0]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_picture_is_404(port):
    for query in ("", "?image=none", "?image=none&finding=x", "?finding=1"):
        status, _, body = request(port, "GET", f"/picture{query}")
        assert (status, list(json.loads(body))) == (404, ["error"])


def test_a_port_in_use_is_refused(predictor, port):
    with pytest.raises(InputError, match=rf"--host 127\.0\.0\.1 --port {port}: .*in use"):
        serve(InferenceService(predictor), "127.0.0.1", port, lambda address: pytest.fail("two on one port"))
    with pytest.raises(InputError, match="--port 70000: "):
        serve(InferenceService(predictor), "127.0.0.1", 70000, lambda address: None)


def test_the_script_serves_until_it_is_interrupted(ckpt):
    flags = ["--ckpt", str(ckpt), "--port", "0", "--device", "cpu", "--engine", "paddle"]
    command = [sys.executable, str(ROOT / "tools/serve.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        address = next(line for line in process.stdout if "open http" in line)
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", address)[1])
        assert len(json.loads(request(port, "POST", "/predict", png_of(3))[2])["findings"]) == len(CLASSES)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture
def page(port, tmp_path):
    """A browser with the page open."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait("!document.getElementById('notice').hidden")
        yield browser


def results(page: Browser, path: Path) -> dict[str, Any]:
    """Choose an image on the page and return the displayed texts."""
    page.evaluate("document.getElementById('list').replaceChildren()")
    page.choose_file("#file", path)
    page.wait("document.querySelectorAll('#list button').length > 0")
    return page.evaluate(
        "({ summary: document.getElementById('summary').textContent,"
        "   warnings: [...document.querySelectorAll('#warnings li')].map(node => node.textContent),"
        "   names: [...document.querySelectorAll('#list button')].map(node => node.firstChild.textContent),"
        "   decisions: [...document.querySelectorAll('#list .decision')].map(node => node.textContent),"
        "   ticks: [...document.querySelectorAll('#list .tick')].map(node => node.style.left) })"
    )


@pytest.mark.browser
def test_an_image_is_dropped_in_a_real_browser(page, tmp_path):
    (tmp_path / "chest.png").write_bytes(png_of(1))
    (tmp_path / "text.png").write_text("no image")
    assert page.evaluate("document.getElementById('notice').textContent") == "Only a <test>."
    page.choose_file("#file", tmp_path / "text.png")
    page.wait("document.getElementById('error').textContent.includes('text.png: the image: cannot be decoded')")
    page.choose_file("#file", tmp_path / "chest.png")
    page.wait("document.querySelectorAll('#list button').length === 3")
    page.evaluate(
        "{ const files = new DataTransfer(); files.items.add(document.getElementById('file').files[0]);"
        "document.getElementById('list').replaceChildren();"
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: files, cancelable: true })); }"
    )
    page.wait("document.querySelectorAll('#list button').length === 3")
    page.wait("!document.getElementById('result').hidden && document.getElementById('picture').naturalWidth > 500")
    assert page.evaluate("document.getElementById('error').textContent") == ""
    names = page.evaluate("[...document.querySelectorAll('#list button')].map(node => node.firstChild.textContent)")
    assert sorted(names) == sorted(name.replace("_", " ") for name in CLASSES)
    assert page.evaluate("document.querySelectorAll('#list b').length") == 0
    before = page.evaluate("document.getElementById('picture').src")
    page.evaluate("document.querySelectorAll('#list button')[1].focus()")
    page.key("Enter", "\r")
    page.wait(f"document.getElementById('picture').src !== {json.dumps(before)}")
    pressed = "[...document.querySelectorAll('button')].map(node => node.getAttribute('aria-pressed'))"
    assert page.evaluate(pressed) == ["false", "true", "false", "false"]
    assert page.serious_faults() == []
    assert page.screenshot(1000, 800).startswith(b"\x89PNG")


@pytest.mark.browser
def test_the_page_shows_decisions_and_meaningless_numbers(page, tmp_path):
    (tmp_path / "chest.png").write_bytes(png_of(1))
    (tmp_path / "noise.png").write_bytes(noise())
    found = results(page, tmp_path / "chest.png")
    present = [decision.startswith("present (") for decision in found["decisions"]]
    assert present == sorted(present, reverse=True)
    assert found["summary"].startswith(f"{sum(present)} of 3 findings ")
    assert (found["names"][0], present[0], found["warnings"]) == ("Edema", True, [])
    expected = {name.replace("_", " "): f"{100 * value:g}%" for name, value in THRESHOLDS.items()}
    assert found["ticks"] == [expected[name] for name in found["names"]]

    found = results(page, tmp_path / "noise.png")
    assert "meaningless" in found["summary"]
    assert found["decisions"] == ["meaningless"] * 3
    assert found["ticks"] == []
    assert found["warnings"]
    assert page.serious_faults() == []


@pytest.mark.browser
def test_a_file_that_cannot_be_sent_gives_its_own_error(predictor, monkeypatch, tmp_path):
    monkeypatch.setattr(server, "MAX_BYTES", 20_000)
    with running_server(InferenceService(predictor)) as port, Browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.wait("maxBytes === 20000")
        error = "document.getElementById('error').textContent"
        page.evaluate("show(new File([new Uint8Array(20001)], 'large.png'))")
        assert page.evaluate(error).startswith("large.png: 20001 bytes")
        page.evaluate("show({ name: 'folder', size: 4096, arrayBuffer: () => Promise.reject(new Error('x')) })")
        assert page.evaluate(error) == "folder: the browser cannot read it"
        (tmp_path / "chest.png").write_bytes(png_of(1))
        results(page, tmp_path / "chest.png")
        files = "{ const file = document.getElementById('file').files[0]; showFirst([file, file, file]); }"
        page.evaluate(files)
        page.wait("document.getElementById('status').textContent.startsWith('3 files ')")
        assert page.evaluate(error) == ""


@pytest.mark.browser
def test_the_page_reports_that_no_finding_is_present(page, monkeypatch, tmp_path):
    (tmp_path / "chest.png").write_bytes(png_of(1))
    monkeypatch.setattr(OperatingPoint, "decides", lambda *_: False)
    found = results(page, tmp_path / "chest.png")
    assert found["summary"].startswith("No finding ")
    assert [decision.split()[0] for decision in found["decisions"]] == ["absent"] * 3


FOREIGN = "<img src=x onerror=alert(1)> \u202e\u2066 \x1b[2J" + "long" * 500
"""Markup, bidirectional control characters, a terminal command, and a long word."""


@pytest.mark.browser
def test_untrusted_text_is_displayed_as_text(ckpt, predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "disclaimer", FOREIGN)
    monkeypatch.setattr(predictor, "classes", tuple(FOREIGN + str(number) for number in range(3)))
    (tmp_path / "<b>\u202egnp.png").write_bytes(png_of(1))
    predictions = InferenceService(predictor)
    with running_server(predictions) as port, Browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.screenshot(360, 740)
        page.wait("!document.getElementById('notice').hidden")
        assert len(results(page, tmp_path / "<b>\u202egnp.png")["names"]) == 3
        page.wait("document.getElementById('picture').naturalWidth > 100")
        assert page.evaluate("document.querySelectorAll('b, [onerror]').length") == 0
        assert page.evaluate("document.getElementById('notice').textContent") == FOREIGN
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.screenshot(1000, 740)
        page.evaluate("{ window.size = document.createRange(); size.selectNode(caption.lastChild); }")
        name = "caption.querySelector('bdi').getBoundingClientRect().right"
        assert page.evaluate(f"size.getBoundingClientRect().left >= {name} - 1")  # the size is not reversed
