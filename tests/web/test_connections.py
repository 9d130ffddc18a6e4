"""Bytes on the connection: streamed limits, slow clients, chunks, half requests, pipelines, disconnects."""

import json
import re
import socket
import tempfile
import threading
import time

import httpx
import pytest
from api_server import Served, png_of, receive_response, running_server

POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


def with_length(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, size: int = 100) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return (
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    )


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def code(answer: bytes) -> str:
    return json.loads(answer.rpartition(b"\r\n\r\n")[2])["code"]


def wait_until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def receive(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_chunked_and_pipelined_requests_are_answered(api: Served):
    assert statuses(api.ask(chunked(png_of(1)) + b"0\r\n\r\n")) == [200]
    pipeline = (
        with_length(png_of(1)) + chunked(png_of(2)) + b"0\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    with api.connect() as connection:
        connection.sendall(pipeline)
        answer = b""
        while b"alive" not in answer:
            answer += connection.recv(65536)
    assert statuses(answer) == [200, 200, 200]


def test_the_server_asks_for_a_body_that_waits_to_be_sent(api: Served):
    with api.connect() as connection:
        content = png_of(1)
        connection.sendall(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(content))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(content)
        assert statuses(receive_response(connection)) == [200]


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_declared_length_above_the_limit_is_refused_before_the_upload(api_predictor, expect):
    with running_server(api_predictor, max_bytes=1000) as served, served.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1001\r\n" + expect + b"\r\n")
        answer = receive_response(connection)
        assert statuses(answer) == [413]
        assert b"connection: close" in answer
        assert code(answer) == "too_large"
        if not expect:
            connection.sendall(b"x" * 1001)  # the rest is discarded, and the connection ends
        else:
            connection.shutdown(socket.SHUT_WR)
        assert receive(connection) == b""


@pytest.mark.parametrize("multipart", [False, True])
def test_a_body_above_the_limit_is_refused_while_it_is_streamed(api_predictor, multipart):
    """The length is not declared; the client never finishes."""
    with running_server(api_predictor, max_bytes=100_000) as served, served.connect() as connection:
        form = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
        start = chunked((form if multipart else b"") + b"x" * 100_001, 65536)
        if multipart:
            start = start.replace(b"image/png", b"multipart/form-data; boundary=b", 1)
        connection.sendall(start)
        answer = receive_response(connection)
        assert statuses(answer) == [413]
        assert served.service.waiting == 0


def test_all_uploads_together_are_limited(api_predictor):
    with running_server(api_predictor, max_waiting_bytes=150_000) as served:
        with served.connect() as first:
            first.sendall(POST + b"Content-Length: 150000\r\n\r\n" + b"x" * 100_000)
            metrics = f"{served.url}/metrics"
            wait_until(lambda: "chexnet_waiting_bytes 100000.0" in httpx.get(metrics).text)
            response = httpx.post(f"{served.url}/v1/predict", content=b"x" * 60_000)
            assert (response.status_code, response.json()["code"]) == (429, "queue_full")
        wait_until(lambda: "chexnet_waiting_bytes 0.0" in httpx.get(metrics).text)
        assert httpx.post(f"{served.url}/v1/predict", content=png_of(1), timeout=60).status_code == 200


def test_slow_clients_are_disconnected(api_predictor):
    with running_server(api_predictor, silence_seconds=0.3) as served:
        with served.connect() as silent, served.connect() as slow, served.connect() as upload:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
            upload.sendall(POST + b"Content-Length: 100\r\n\r\nhalf")
            assert receive(silent) == receive(slow) == b""
            answer = receive_response(upload)
            assert (statuses(answer), code(answer)) == ([408], "slow_upload")
        with served.connect() as connection:  # a second request on a connection is limited, too
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert statuses(receive_response(connection)) == [200]
            connection.sendall(b"GET")
            assert receive(connection) == b""


def test_an_upload_that_trickles_is_ended(api_predictor):
    with running_server(api_predictor, upload_seconds=0.3) as served, served.connect() as upload:
        upload.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.01):
                upload.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        answer = receive_response(upload)
        ended.set()
        thread.join()
        assert statuses(answer) == [408]


@pytest.mark.parametrize(
    "request_bytes",
    [
        with_length(b"x" * 100)[:-50],
        chunked(b"x" * 100),
        POST + b"Transfer-Encoding: chunked\r\n\r\nnot a length\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"nothing\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ],
)
def test_incomplete_and_invalid_requests_are_refused(api: Served, request_bytes, capfd):
    answer = api.exchange(request_bytes)
    assert (statuses(answer), code(answer)) == ([400], "bad_request")
    assert b"nosniff" in answer
    assert httpx.get(f"{api.url}/healthz").status_code == 200
    assert capfd.readouterr().err == ""


def test_rubbish_after_a_refusal_is_discarded(api: Served, capfd):
    refused = POST.replace(b"image/png", b"text/plain") + b"Transfer-Encoding: chunked\r\n\r\n"
    assert statuses(api.exchange(refused + b"no chunk\r\n")) in ([400], [415])
    assert capfd.readouterr().err == ""


def test_websockets_and_upgrades_are_not_offered(api: Served):
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert statuses(api.ask(upgrade)) == [200]


def test_a_client_that_leaves_frees_its_place(api_predictor, monkeypatch):
    entered, released = threading.Event(), threading.Event()
    original = api_predictor.predict_prepared

    def wait(batch):
        entered.set()
        assert released.wait(60)
        return original(batch)

    monkeypatch.setattr(api_predictor, "predict_prepared", wait)
    with running_server(api_predictor) as served:
        connections = [served.connect() for _ in range(3)]
        connections[0].sendall(with_length(png_of(0)))
        assert entered.wait(60)
        for patient, connection in enumerate(connections[1:]):
            connection.sendall(with_length(png_of(patient)))
        wait_until(lambda: served.service.waiting == 3)
        for connection in connections:
            connection.close()
        try:
            wait_until(lambda: served.service.waiting == 1)  # the running one
        finally:
            released.set()
        wait_until(lambda: served.service.waiting == 0)
        assert 'status="499"} 3.0' in httpx.get(f"{served.url}/metrics").text


def test_uploads_are_never_on_disk(api_predictor, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # a temporary file would fail
    large = png_of(1) + b"\0" * 5_000_000  # bytes after the image are ignored
    with running_server(api_predictor) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        assert client.post("/v1/predict", files=[("a", ("a.png", large))] * 3).status_code == 200
        assert client.post("/v1/predict", content=large).status_code == 200


def test_silent_connections_do_not_block_others(api_predictor):
    with running_server(api_predictor, max_connections=4) as served:
        with served.connect(), served.connect():
            assert httpx.get(f"{served.url}/healthz").status_code == 200
            with served.connect(), served.connect():
                assert httpx.get(f"{served.url}/healthz").status_code == 503
        wait_until(lambda: httpx.get(f"{served.url}/healthz").status_code == 200)


def test_a_stopping_server_finishes_requests_and_ends_uploads(api_predictor, monkeypatch):
    entered, released = threading.Event(), threading.Event()
    original = api_predictor.predict_prepared

    def wait(batch):
        entered.set()
        assert released.wait(60)
        return original(batch)

    monkeypatch.setattr(api_predictor, "predict_prepared", wait)
    with running_server(api_predictor) as served:  # noqa: SIM117
        with served.connect() as running, served.connect() as upload, served.connect() as silent:
            running.sendall(with_length(png_of(1)))
            upload.sendall(POST + b"Content-Length: 100\r\n\r\nhalf")
            assert entered.wait(60)
            served.stop()
            assert receive(silent) == b""
            answer = receive(upload)
            assert (statuses(answer), code(answer)) == ([503], "closing")
            with pytest.raises(ConnectionError):
                served.connect()
            released.set()
            assert statuses(receive(running)) == [200]
