"""Batches of concurrent images, and hosts that a server accepts."""

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
from api_server import noise, png_of

from chexnet.data.images import ImageBytes
from chexnet.errors import InputError
from chexnet.web import InferenceService, ServerConfig
from chexnet.web.server_config import host_name, is_loopback


class Held:
    """Hold the network back and record the sizes of its batches."""

    def __init__(self, predictor, monkeypatch, fail=lambda batch: None) -> None:
        self.entered, self.released, self.batches = threading.Event(), threading.Event(), []
        original = predictor.predict_prepared

        def predict(batch):
            self.entered.set()
            assert self.released.wait(60)
            self.batches.append(len(batch))
            fail(batch)
            return original(batch)

        monkeypatch.setattr(predictor, "predict_prepared", predict)


def submit_all(service: InferenceService, held: Held, contents: list[bytes]) -> list:
    """Submit images; all but the first one are decoded while the network computes the first one."""
    futures = [service.submit(contents[0])]
    assert held.entered.wait(60)
    futures += [service.submit(content) for content in contents[1:]]
    while service._decoded.qsize() < len(contents) - 1:
        threading.Event().wait(0.005)
    return futures


def test_waiting_images_are_predicted_together(api_predictor, monkeypatch):
    contents = [png_of(patient) for patient in range(6)]
    alone = [api_predictor.predict_prepared([api_predictor.prepare(ImageBytes(content))])[0] for content in contents]
    held = Held(api_predictor, monkeypatch)
    service = InferenceService(api_predictor)
    observed = []
    service.observe_batch = lambda images, seconds: observed.append(images)
    futures = submit_all(service, held, contents)
    assert service.waiting == 6
    held.released.set()
    for future, expected in zip(futures, alone, strict=True):
        np.testing.assert_allclose(future.result(60).probabilities, expected.probabilities, rtol=0, atol=1e-5)
    service.close()
    assert held.batches == observed == [1, 5]
    assert service.waiting == 0
    assert service.expected_seconds >= 1


def test_canceled_images_are_left_out(api_predictor, monkeypatch):
    held = Held(api_predictor, monkeypatch)
    service = InferenceService(api_predictor)
    futures = submit_all(service, held, [png_of(patient) for patient in range(4)])
    assert [future.cancel() for future in futures] == [False, True, True, True]
    held.released.set()
    assert futures[0].result(60)
    assert service.submit(noise()).result(60).meaningful is False
    service.close()
    assert held.batches == [1, 1]


def test_the_fault_of_one_image_is_not_that_of_the_others(api_predictor, monkeypatch):
    bad = api_predictor.prepare(ImageBytes(png_of(2))).crops

    def fail(batch):
        if any(np.array_equal(image.crops, bad) for image in batch):
            raise InputError("/secret/model.pdparams: class maps are not finite")

    held = Held(api_predictor, monkeypatch, fail)
    service = InferenceService(api_predictor)
    futures = submit_all(service, held, [png_of(patient) for patient in range(4)])
    held.released.set()
    assert [bool(future.exception(60)) for future in futures] == [False, False, True, False]
    assert not isinstance(futures[2].exception(), InputError)  # which would blame the image
    assert "secret" not in str(futures[2].exception())
    service.close()


@pytest.mark.parametrize("finish", [True, False])
def test_closing_finishes_or_drops_what_waits(api_predictor, monkeypatch, finish):
    held = Held(api_predictor, monkeypatch)
    service = InferenceService(api_predictor)
    futures = submit_all(service, held, [png_of(patient) for patient in range(4)])
    closing = threading.Thread(target=service.close, args=(finish,))
    closing.start()
    while not service._decoders._shutdown:
        threading.Event().wait(0.005)
    held.released.set()
    closing.join()
    assert futures[0].result(0)
    for future in futures[1:]:
        if finish:
            assert future.result(0)
        else:
            with pytest.raises(CancelledError):
                future.result(0)
    assert service.waiting == 0
    assert not service.alive


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost.:80", "localhost"),
        ("[::1]:8000", "::1"),
        ("::1", "::1"),
        ("a.example:65535", "a.example"),
        ("", None),
        (":80", None),
        ("a b", None),
        ("a/b", None),
        ("user@localhost", None),
        ("localhost:80:80", None),
        ("localhost:http", None),
        ("[::1", None),
        (".", None),
    ],
)
def test_host_names(header, name):
    assert host_name(header) == name


def test_hosts_that_a_server_accepts():
    loopback = ServerConfig(allowed_hosts=("chest.example",))
    anywhere = ServerConfig(host="0.0.0.0", token="x" * 20)
    named = ServerConfig(host="chest.example", token="x" * 20)
    for config in (loopback, anywhere, named):
        assert all(map(config.accepts_host, ("localhost:8000", "127.0.0.1", "[::1]")))
        assert not any(map(config.accepts_host, ("attacker.example", "", "localhost.attacker.example")))
    assert loopback.accepts_host("Chest.Example:443")
    assert named.accepts_host("chest.example:1")
    assert not loopback.accepts_host("10.0.0.1")
    assert anywhere.accepts_host("10.0.0.1:8000")
    assert anywhere.accepts_host("[fe80::1]:8000")
    assert not anywhere.accepts_host("chest.example")
    assert not named.accepts_host("10.0.0.1")
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "localhost", "0.0.0.0", "10.0.0.1", "x")] == [
        *(True, True, True),
        *(False, False, False),
    ]
