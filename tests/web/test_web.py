"""The page to drop an image on: over a real socket, and in a real browser."""

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
"""The first is always present, the second never."""


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    """A small network with class maps and thresholds beside it."""
    paddle.seed(5)
    network = CheXNet(len(CLASSES), "densenet_cifar")
    network.body.fc.weight.set_value(network.body.fc.weight * 3)
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
def served(looks: InferenceService) -> Iterator[int]:
    """The port of a server."""
    running = server._Server(("127.0.0.1", 0), looks)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running.server_address[1]
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


@pytest.fixture
def asked(ckpt, predictor):
    """The port of what answers."""
    with served(InferenceService(predictor, read_thresholds(ckpt.with_name("thresholds.json"), None, CLASSES))) as port:
        yield port


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str):
    """Status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def packed(patient: int, size: int = 64) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw(["Mass"], size, patient=patient).image).save(file, "PNG")
    return file.getvalue()


def test_it_says_what_the_predictor_says(asked, predictor, tmp_path):
    (tmp_path / "image.png").write_bytes(packed(1))
    wanted = predictor.predict(tmp_path / "image.png")
    status, headers, body = ask(asked, "POST", "/predict", packed(1))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found = json.loads(body)
    for one in found["findings"]:
        probability = wanted.probability(one["name"])
        assert one["probability"] == pytest.approx(probability, abs=1e-6)
        assert one["present"] == (probability >= one["threshold"])
        assert (one["threshold"], one["sensitivity"], one["specificity"]) == (THRESHOLDS[one["name"]], 0.8, 0.7)
    assert "Edema" in [one["name"] for one in found["findings"] if one["present"]]
    by_decision = sorted(found["findings"], key=lambda one: (not one["present"], -one["probability"]))
    assert found["findings"] == by_decision
    assert found["warnings"] == list(wanted.warnings)
    assert found["meaningful"]
    for one in found["findings"]:
        status, headers, picture = ask(asked, "GET", f"/picture?image={found['image']}&finding={one['place']}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        size = overlays.panel_size(wanted.gray)
        gray = wanted.gray.resize(size[::-1], Image.Resampling.BICUBIC)
        title = f"{one['name']} {wanted.probability(one['name']):.3f}"
        drawn = overlays.render_panel(gray, wanted.heatmap(one["name"], size), wanted.cam_max, title, "Only a <test>.")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), np.asarray(drawn))
    plain = Image.open(io.BytesIO(ask(asked, "GET", f"/picture?image={found['image']}")[2]))
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(gray))
    about = json.loads(ask(asked, "GET", "/about")[2])
    assert (about["classes"], about["notice"], about["chosen"]) == (list(CLASSES), "Only a <test>.", "by hand")


def noise() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_what_is_no_radiograph_is_called_so_and_ranked_by_probability_alone(asked):
    found = json.loads(ask(asked, "POST", "/predict", noise())[2])
    assert found["meaningful"] is False
    assert found["warnings"]
    probabilities = [one["probability"] for one in found["findings"]]
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/about", "/nothing"])
def test_every_answer_keeps_other_pages_out(asked, path):
    status, headers, _ = ask(asked, "GET", path)
    assert status == (404 if path == "/nothing" else 200)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_the_page_asks_this_server_alone(asked):
    texts = [ask(asked, "GET", path)[2].decode() for path in ("/", "/page.css", "/page.js")]
    assert not [one for text in texts for one in re.findall(r"https?://\S*|\burl\(|@import|innerHTML|<script>", text)]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the image: .*it is empty"), (b"no image", "the image: cannot be decoded"), (None, "the image: .*")],
)
def test_what_is_no_image_is_said_without_a_path(asked, content, message):
    content = packed(1)[:-200] if content is None else content
    status, headers, body = ask(asked, "POST", "/predict", content)
    assert status == 422
    assert re.match(message, json.loads(body)["error"])
    assert tempfile.gettempdir() not in json.loads(body)["error"]
    assert headers["Connection"] is None  # the next one comes over the same connection


def test_requests_that_cannot_be_are_refused(asked, monkeypatch):
    def refused(*arguments, **headers):
        status, answered, body = ask(asked, *arguments, **headers)
        assert answered["Connection"] == "close"
        return status, json.loads(body)["error"]

    monkeypatch.setattr(server, "MAX_BYTES", 100)
    assert refused("POST", "/predict", packed(1)) == (
        413,
        f"the image has {len(packed(1)):,} bytes, expected at most 100",
    )
    assert refused("POST", "/predict", Content_Length="-1")[0] == 411
    assert refused("POST", "/other", b"")[0] == 404
    assert refused("GET", "/../service.py")[0] == 404
    assert refused("GET", "/about", Host="attacker.example") == (
        403,
        "asked for as 'attacker.example', expected 127.0.0.1 or localhost",
    )
    assert refused("POST", "/predict", b"", Origin="http://attacker.example")[0] == 403
    assert refused("POST", "/predict", b"", Origin="null")[0] == 403


def test_an_image_that_does_not_come_whole_is_refused(asked):
    with socket.create_connection(("127.0.0.1", asked)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 " in connection.makefile("rb").readline()


def test_who_says_nothing_keeps_nobody_waiting(asked):
    with socket.create_connection(("127.0.0.1", asked)):
        assert ask(asked, "GET", "/about")[0] == 200


def test_all_who_ask_at_once_get_their_own(asked):
    def of(patient: int) -> dict:
        return json.loads(ask(asked, "POST", "/predict", packed(patient))[2])

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(of, range(6)))
    assert len({one["image"] for one in answers}) == 6
    assert answers == [of(patient) for patient in range(6)]


def test_only_the_last_images_are_kept_and_none_on_disk(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = InferenceService(predictor)
    keys = [seen.predict(packed(patient))["image"] for patient in range(service.KEPT)]
    seen.predict(packed(0))  # the first becomes the last
    seen.predict(packed(service.KEPT))
    assert seen.render(keys[0], None)
    for key, finding in ((keys[1], 0), ("none", 0), (keys[0], len(CLASSES)), (keys[0], -1)):
        with pytest.raises(KeyError):
            seen.render(key, finding)
    assert "present" not in seen.predict(packed(1))["findings"][0]
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_not_there_are_404(asked):
    for query in ("", "?image=none", "?image=none&finding=x", "?finding=1"):
        status, _, body = ask(asked, "GET", f"/picture{query}")
        assert (status, "choose the image again" in json.loads(body)["error"]) == (404, True)


def test_a_port_in_use_is_one_line(predictor, asked):
    with pytest.raises(InputError, match=rf"--host 127\.0\.0\.1 --port {asked}: cannot be listened on: .*in use"):
        serve(InferenceService(predictor), "127.0.0.1", asked, lambda address: pytest.fail("two on one port"))
    with pytest.raises(InputError, match="--port 70000: cannot be listened on"):
        serve(InferenceService(predictor), "127.0.0.1", 70000, lambda address: None)


def test_the_script_serves_until_it_is_interrupted(ckpt):
    flags = ["--ckpt", str(ckpt), "--port", "0", "--device", "cpu", "--engine", "paddle"]
    command = [sys.executable, str(ROOT / "tools/serve.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        address = next(line for line in process.stdout if "open http" in line)
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", address)[1])
        assert len(json.loads(ask(port, "POST", "/predict", packed(3))[2])["findings"]) == len(CLASSES)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture
def page(asked, tmp_path):
    """A browser on the page."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{asked}/")
        browser.wait("!document.getElementById('notice').hidden")
        yield browser


def shown(page: Browser, path: Path) -> dict[str, Any]:
    """Drops an image on the page; what somebody reads then."""
    page.evaluate("document.getElementById('list').replaceChildren()")
    page.choose_file("#file", path)
    page.wait("document.querySelectorAll('#list button').length > 0")
    return page.evaluate(
        "({ summary: document.getElementById('summary').textContent,"
        "   warnings: [...document.querySelectorAll('#warnings li')].map(one => one.textContent),"
        "   names: [...document.querySelectorAll('#list button')].map(one => one.firstChild.textContent),"
        "   decisions: [...document.querySelectorAll('#list .decision')].map(one => one.textContent),"
        "   ticks: [...document.querySelectorAll('#list .tick')].map(one => one.style.left) })"
    )


@pytest.mark.browser
def test_somebody_drops_an_image_in_a_real_browser(page, tmp_path):
    (tmp_path / "chest.png").write_bytes(packed(1))
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
    names = page.evaluate("[...document.querySelectorAll('#list button')].map(one => one.firstChild.textContent)")
    assert sorted(names) == sorted(name.replace("_", " ") for name in CLASSES)
    assert page.evaluate("document.querySelectorAll('#list b').length") == 0
    before = page.evaluate("document.getElementById('picture').src")
    page.evaluate("document.querySelectorAll('#list button')[1].focus()")
    page.key("Enter", "\r")
    page.wait(f"document.getElementById('picture').src !== {json.dumps(before)}")
    pressed = "[...document.querySelectorAll('button')].map(one => one.getAttribute('aria-pressed'))"
    assert page.evaluate(pressed) == ["false", "true", "false", "false"]
    assert page.serious_faults() == []
    assert page.screenshot(1000, 800).startswith(b"\x89PNG")


@pytest.mark.browser
def test_the_page_says_what_is_present_what_is_not_and_what_means_nothing(page, tmp_path):
    (tmp_path / "chest.png").write_bytes(packed(1))
    (tmp_path / "noise.png").write_bytes(noise())
    found = shown(page, tmp_path / "chest.png")
    present = [one.startswith("present (") for one in found["decisions"]]
    assert present == sorted(present, reverse=True)
    assert found["summary"] == f"{sum(present)} of 3 findings reach their threshold"
    assert (found["names"][0], present[0], found["warnings"]) == ("Edema", True, [])
    wanted = {name.replace("_", " "): f"{100 * value:g}%" for name, value in THRESHOLDS.items()}
    assert found["ticks"] == [wanted[name] for name in found["names"]]

    found = shown(page, tmp_path / "noise.png")
    assert "mean nothing" in found["summary"]
    assert found["decisions"] == ["meaningless"] * 3
    assert found["ticks"] == []
    assert found["warnings"]
    assert page.serious_faults() == []


@pytest.mark.browser
def test_what_cannot_be_sent_is_not_blamed_on_the_server(predictor, monkeypatch, tmp_path):
    monkeypatch.setattr(server, "MAX_BYTES", 20_000)
    with served(InferenceService(predictor)) as port, Browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.wait("mostBytes === 20000")
        error = "document.getElementById('error').textContent"
        page.evaluate("look(new File([new Uint8Array(20001)], 'large.png'))")
        assert page.evaluate(error) == "large.png: 20001 bytes, expected at most 20000"
        page.evaluate("look({ name: 'folder', size: 4096, arrayBuffer: () => Promise.reject(new Error('x')) })")
        assert page.evaluate(error) == "folder: the browser cannot read it"
        (tmp_path / "chest.png").write_bytes(packed(1))
        shown(page, tmp_path / "chest.png")
        files = "{ const one = document.getElementById('file').files[0]; lookAtFirst([one, one, one]); }"
        page.evaluate(files)
        page.wait("document.getElementById('status').textContent === 'Of 3 files only the first is shown.'")
        assert page.evaluate(error) == ""


@pytest.mark.browser
def test_the_page_says_that_nothing_is_present(page, monkeypatch, tmp_path):
    (tmp_path / "chest.png").write_bytes(packed(1))
    monkeypatch.setattr(OperatingPoint, "decides", lambda *_: False)
    found = shown(page, tmp_path / "chest.png")
    assert found["summary"] == "No finding reaches its threshold"
    assert [one.split()[0] for one in found["decisions"]] == ["absent"] * 3


FOREIGN = "<img src=x onerror=alert(1)> \u202e\u2066 \x1b[2J" + "long" * 500
"""Markup, signs that turn the direction of what follows, a terminal's command, no place to break the line."""


@pytest.mark.browser
def test_foreign_text_is_text_and_stays_in_its_place(ckpt, predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "disclaimer", FOREIGN)
    monkeypatch.setattr(predictor, "classes", tuple(FOREIGN + str(number) for number in range(3)))
    (tmp_path / "<b>\u202egnp.png").write_bytes(packed(1))
    looks = InferenceService(predictor)
    with served(looks) as port, Browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{port}/")
        page.screenshot(360, 740)
        page.wait("!document.getElementById('notice').hidden")
        assert len(shown(page, tmp_path / "<b>\u202egnp.png")["names"]) == 3
        page.wait("document.getElementById('picture').naturalWidth > 100")
        assert page.evaluate("document.querySelectorAll('b, [onerror]').length") == 0
        assert page.evaluate("document.getElementById('notice').textContent") == FOREIGN
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.screenshot(1000, 740)
        page.evaluate("{ window.size = document.createRange(); size.selectNode(caption.lastChild); }")
        name = "caption.querySelector('bdi').getBoundingClientRect().right"
        assert page.evaluate(f"size.getBoundingClientRect().left >= {name} - 1")  # what follows is not turned round
