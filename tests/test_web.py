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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import paddle
import pytest
from browser import Browser
from conftest import ROOT
from PIL import Image

from chexnet import checkpoint, drawing
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.model import CheXNet
from chexnet.phantom import draw
from chexnet.predictor import Predictor
from chexnet.thresholds import read_thresholds
from chexnet.web import Looks, looks, serve, server

CLASSES = ("Edema", "<b>Left</b> & lung", "Right_lung")


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    """A small network with class maps, spread probabilities, and thresholds beside it."""
    paddle.seed(5)
    network = CheXNet(len(CLASSES), "densenet_cifar")
    network.body.fc.weight.set_value(network.body.fc.weight * 20)
    path = tmp_path_factory.mktemp("ckpt") / "model.pdparams"
    checkpoint.save(network.state_dict(), path)
    facts = {"backbone": "densenet_cifar", "classes": CLASSES, "resize": 36, "crop": 32, "notice": "Only a <test>."}
    checkpoint.write_sidecar(path, facts)
    points = {name: {"threshold": 0.5, "sensitivity": 0.8, "specificity": 0.7} for name in CLASSES}
    facts = {"schema": 1, "chosen": "by hand", "ckpt_sha256": sha256(path), "thresholds": points}
    path.with_name("thresholds.json").write_text(json.dumps(facts))
    return path


@pytest.fixture(scope="module")
def predictor(ckpt) -> Predictor:
    return Predictor(ckpt, device="cpu", images=1)


@pytest.fixture
def asked(ckpt, predictor):
    """What answers, and its port."""
    thresholds = read_thresholds(ckpt.with_name("thresholds.json"), None, CLASSES)
    running = server._Server(("127.0.0.1", 0), Looks(predictor, thresholds))
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running.server_address[1]
    running.shutdown()
    running.server_close()
    thread.join()


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
    assert [one["name"] for one in found["findings"]] == wanted.top(len(CLASSES))
    for one in found["findings"]:
        probability = wanted.probability(one["name"])
        assert one["probability"] == pytest.approx(probability, abs=1e-6)
        assert one["present"] == (probability >= 0.5)
        assert (one["threshold"], one["sensitivity"], one["specificity"]) == (0.5, 0.8, 0.7)
    assert found["warnings"] == list(wanted.warnings)
    assert found["warnings"]
    for one in found["findings"]:
        status, headers, picture = ask(asked, "GET", f"/picture?image={found['image']}&finding={one['place']}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        size = drawing.panel_size(wanted.gray)
        gray = wanted.gray.resize(size[::-1], Image.Resampling.BICUBIC)
        title = f"{one['name']}  {wanted.probability(one['name']):.3f}"
        drawn = drawing.overlay(gray, wanted.shown_map(one["name"], size), wanted.limit, title, "Only a <test>.")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), np.asarray(drawn))
    plain = Image.open(io.BytesIO(ask(asked, "GET", f"/picture?image={found['image']}")[2]))
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(gray))
    about = json.loads(ask(asked, "GET", "/about")[2])
    assert (about["classes"], about["notice"], about["chosen"]) == (list(CLASSES), "Only a <test>.", "by hand")


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
    assert refused("GET", "/../looks.py")[0] == 404
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
    seen = Looks(predictor)
    keys = [seen.look(packed(patient))["image"] for patient in range(looks.KEPT)]
    seen.look(packed(0))  # the first becomes the last
    seen.look(packed(looks.KEPT))
    assert seen.picture(keys[0], None)
    for key, finding in ((keys[1], 0), ("none", 0), (keys[0], len(CLASSES)), (keys[0], -1)):
        with pytest.raises(KeyError):
            seen.picture(key, finding)
    assert "present" not in seen.look(packed(1))["findings"][0]
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_not_there_are_404(asked):
    for query in ("", "?image=none", "?image=none&finding=x", "?finding=1"):
        status, _, body = ask(asked, "GET", f"/picture{query}")
        assert (status, "choose the image again" in json.loads(body)["error"]) == (404, True)


def test_a_port_in_use_is_one_line(predictor, asked):
    with pytest.raises(InputError, match=rf"--host 127\.0\.0\.1 --port {asked}: cannot be listened on: .*in use"):
        serve(Looks(predictor), "127.0.0.1", asked, lambda address: pytest.fail("two on one port"))
    with pytest.raises(InputError, match="--port 70000: cannot be listened on"):
        serve(Looks(predictor), "127.0.0.1", 70000, lambda address: None)


def test_the_script_serves_until_it_is_interrupted(ckpt):
    flags = ["--ckpt", str(ckpt), "--port", "0", "--device", "cpu", "--engine", "paddle"]
    command = [sys.executable, str(ROOT / "tools/serve.py"), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        address = next(line for line in process.stdout if "open http" in line)
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", address)[1])
        assert len(json.loads(ask(port, "POST", "/predict", packed(3))[2])["findings"]) == len(CLASSES)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.browser
def test_somebody_drops_an_image_in_a_real_browser(asked, tmp_path):
    (tmp_path / "chest.png").write_bytes(packed(1))
    (tmp_path / "text.png").write_text("no image")
    with Browser(tmp_path / "profile") as page:
        page.open(f"http://127.0.0.1:{asked}/")
        page.wait("!document.getElementById('notice').hidden")
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
