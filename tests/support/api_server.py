"""A small network behind a real server, and a client."""

import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from chexnet.files import sha256
from chexnet.inference import Predictor
from chexnet.inference.thresholds import Thresholds, read_thresholds
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import draw
from chexnet.web import InferenceService, ServerConfig, create_app, listen
from chexnet.web.server import build_server

CLASSES = ("Edema", "<b>Left</b> & lung", "Right_lung")
THRESHOLDS = {"Edema": 0.0, "<b>Left</b> & lung": 1.0, "Right_lung": 0.5}
"""The first finding is always present, the second never."""


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: address without a slash at the end.
        port: its port.
        service: its service.
        log: lines that it logged.
        stop: ends it; called at the end of the block, too.
    """

    url: str
    port: int
    service: InferenceService
    log: list[str]
    stop: Callable[[], None]

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, request: bytes) -> bytes:
        """Send bytes and nothing more, and return what the server answers before it closes the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def ask(self, request: bytes) -> bytes:
        """Send a request and return its response."""
        with self.connect() as connection:
            connection.sendall(request)
            return receive_response(connection)


def receive_response(connection: socket.socket) -> bytes:
    """Return one response with a Content-Length."""
    answer = b""
    while not (match := re.search(rb"content-length: (\d+)\r\n(?s:.*?)\r\n\r\n", answer)) or (
        len(answer) < match.end() + int(match[1])
    ):
        received = connection.recv(65536)
        assert received, answer
        answer += received
    return answer


@pytest.fixture(scope="session")
def api_ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with class maps, its thresholds."""
    import paddle

    paddle.seed(5)
    network = CheXNet(len(CLASSES), "densenet_cifar")
    network.backbone.fc.weight.set_value(network.backbone.fc.weight * 3)
    path = tmp_path_factory.mktemp("api") / "model.pdparams"
    checkpoint.save(network.state_dict(), path)
    facts = {"backbone": "densenet_cifar", "classes": CLASSES, "resize": 36, "crop": 32, "notice": "Only a <test>."}
    checkpoint.write_metadata_file(path, facts)
    points = {name: {"threshold": value, "sensitivity": 0.8, "specificity": 0.7} for name, value in THRESHOLDS.items()}
    facts = {"schema": 1, "chosen": "by hand", "ckpt_sha256": sha256(path), "thresholds": points}
    path.with_name("thresholds.json").write_text(json.dumps(facts))
    return path


@pytest.fixture(scope="session")
def api_predictor(api_ckpt: Path) -> Predictor:
    return Predictor(api_ckpt, device="cpu", engine="paddle", crops=1, num_workers=2)


@pytest.fixture(scope="session")
def api_thresholds(api_ckpt: Path) -> Thresholds:
    return read_thresholds(api_ckpt.with_name("thresholds.json"), None, CLASSES)


@contextmanager
def running_server(predictor: Predictor, thresholds: Thresholds | None = None, **settings: Any) -> Iterator[Served]:
    """Start a server on a free port of this computer; `settings` are fields of ServerConfig."""
    config = ServerConfig(**{"port": 0, **settings})
    service, log, started = InferenceService(predictor, thresholds), [], threading.Event()
    server = build_server(create_app(service, config, log.append), config, started.set)
    with listen(config) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()

        def stop() -> None:
            server.should_exit = True

        try:
            assert started.wait(60)
            yield Served(f"http://127.0.0.1:{port}", port, service, log, stop)
        finally:
            stop()
            thread.join()
            service.close()


@pytest.fixture(scope="session")
def api(api_predictor: Predictor, api_thresholds: Thresholds) -> Iterator[Served]:
    """A server with thresholds for all tests that do not change it."""
    with running_server(api_predictor, api_thresholds) as served:
        yield served


@pytest.fixture
def client(api: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as opened:
        yield opened


def png_of(patient: int, size: int = 64) -> bytes:
    """Return a PNG of a phantom."""
    return encoded(draw(["Mass"], size, patient=patient).image)


def noise() -> bytes:
    """Return a PNG that is no radiograph."""
    return encoded(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))


def encoded(pixels: np.ndarray, suffix: str = "PNG") -> bytes:
    """Return an image file of uint8 [H, W]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, suffix)
    return file.getvalue()
