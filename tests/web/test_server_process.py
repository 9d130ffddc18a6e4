"""tools/serve.py as a process: signals, ports, tokens and errors."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from api_server import png_of, running_server
from conftest import ROOT, run_script

from chexnet.errors import InputError
from chexnet.inference import Predictor
from chexnet.labels import CLASS_NAMES
from chexnet.web import ServerConfig, check_server, listen

TOKEN = "a-token-of-24-characters"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Script:
    """tools/serve.py in a process; a context manager that kills it if it still runs."""

    def __init__(self, ckpt: Path, *flags: str) -> None:
        fixed = ["--ckpt", str(ckpt), "--port", "0", "--device", "cpu", "--engine", "paddle"]
        command = [sys.executable, str(ROOT / "tools/serve.py"), *fixed, *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if address := re.match(r"=> open (http://\S+:\d+)/$", line):
                self.url = address[1]
                return
        pytest.fail(self.process.communicate()[1])

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Return the exit code and what was printed after the address."""
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output + errors


def post_many(url: str, answers: list) -> threading.Thread:
    """Post 32 images of 1024 x 1024 in the background, and wait until they are computed."""
    content = png_of(1, 1024)

    def post() -> None:
        try:
            answers.append(
                httpx.post(f"{url}/v1/predict", files=[("a", content)] * 32, headers=HEADERS, timeout=60).status_code
            )
        except httpx.HTTPError as error:
            answers.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    with httpx.Client(headers=HEADERS) as client:
        while "chexnet_waiting_images 0.0" in client.get(f"{url}/metrics").text:
            assert thread.is_alive()
            time.sleep(0.005)
    return thread


def test_a_signal_ends_the_server_after_its_requests(lenet_ckpt):
    with Script(lenet_ckpt) as script:
        model = httpx.get(f"{script.url}/v1/model").json()
        assert model["classes"] == list(CLASS_NAMES)
        answers: list = []
        thread = post_many(script.url, answers)
        script.process.send_signal(signal.SIGTERM)
        assert script.end() == (143, "ended by SIGTERM\n")
        thread.join()
        assert answers == [200]


def test_a_second_signal_ends_the_server_at_once(api_ckpt):
    with Script(api_ckpt, "--crops", "10", "--num_workers", "1") as script:
        answers: list = []
        threads = [post_many(script.url, answers) for _ in range(3)]
        script.process.send_signal(signal.SIGTERM)
        while True:  # the first signal was received
            try:
                httpx.get(f"{script.url}/healthz", verify=False)
            except httpx.HTTPError:
                break
        script.process.send_signal(signal.SIGINT)
        code, text = script.end()
        assert (code, text) == (143, "ended by SIGTERM\n")
        for thread in threads:
            thread.join()
        assert answers != [200] * 3


def test_the_token_is_neither_printed_nor_logged_and_ctrl_c_ends_the_server(lenet_ckpt, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    flags = ["--host", "0.0.0.0", "--token_file", str(tmp_path / "token"), "--allowed_host", "chest.example"]
    with Script(lenet_ckpt, *flags) as script:
        url = script.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/model").status_code == 401
        for host in ("127.0.0.1", "10.1.2.3:80", "chest.example", "CHEST.example:443"):
            assert httpx.get(f"{url}/v1/model", headers={**HEADERS, "Host": host}).status_code == 200
        assert httpx.get(f"{url}/v1/model", headers={**HEADERS, "Host": "other.example"}).status_code == 403
        httpx.get(f"{url}/v1/model?token={TOKEN}&name=patient")
        answers: list = []
        thread = post_many(url, answers)
        script.process.send_signal(signal.SIGINT)
        code, text = script.end()
        thread.join()
        assert (code, text, answers) == (0, "", [200])
        printed = "".join(script.lines)
        assert TOKEN not in printed
        assert "patient" not in printed
        assert "not encrypted" in printed


def test_another_address_needs_a_token(tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1", "chest.example", ""):
        with pytest.raises(InputError, match="token is required"):
            check_server(host, 0, None, environment={})
        assert check_server(host, 0, None, environment={"CHEXNET_TOKEN": TOKEN}).token == TOKEN
    for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1"):
        assert check_server(host, 0, None, environment={}).token is None
    path = tmp_path / "token"
    path.write_text(f"  {TOKEN}\r\n")
    config = check_server("0.0.0.0", 0, str(path), environment={"CHEXNET_TOKEN": "another"})
    assert config.token == TOKEN
    assert TOKEN not in repr(config)


@pytest.mark.parametrize(
    "text", [b"", b"short", b"two words of a token", b"x" * 2000, "ä".encode() * 20, b"line\n" * 9, b"\0" * 20]
)
def test_a_bad_token_file_is_one_line_without_the_token(tmp_path, text):
    (tmp_path / "token").write_bytes(text)
    with pytest.raises(InputError) as raised:
        check_server("127.0.0.1", 0, str(tmp_path / "token"), environment={})
    assert "token" in str(raised.value)
    assert not text.strip() or text.decode().strip() not in str(raised.value)


def test_what_cannot_be_served_is_one_line(tmp_path, capsys, monkeypatch):
    for path in (tmp_path, tmp_path / "none"):
        assert run_script("tools/serve.py", "--token_file", str(path)) == 2
        assert str(path) in capsys.readouterr().err
    for flags in (["--port", "70000"], ["--allowed_host", "a/b"], ["--host", "no such host"]):
        monkeypatch.setenv("CHEXNET_TOKEN", TOKEN)
        assert run_script("tools/serve.py", *flags) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert flags[1] in error
    monkeypatch.setattr("chexnet.web.server_config.find_spec", lambda name: None if name == "uvicorn" else name)
    assert run_script("tools/serve.py") == 2
    assert "the server needs uvicorn: pip install" in capsys.readouterr().err


def test_a_port_in_use_is_refused_before_the_network_is_loaded(api_predictor, api_ckpt, capsys, monkeypatch):
    with running_server(api_predictor) as served:
        with pytest.raises(InputError, match=rf"--host 127\.0\.0\.1 --port {served.port}: .*in use"):
            listen(ServerConfig(port=served.port))
        monkeypatch.setattr(Predictor, "load", lambda *_: pytest.fail("loaded"))
        assert run_script("tools/serve.py", "--port", str(served.port), "--ckpt", str(api_ckpt)) == 2
        assert "in use" in capsys.readouterr().err


def test_connections_are_refused_until_the_server_is_ready():
    with listen(ServerConfig(port=0)) as listener, pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.getsockname())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_is_served(api_predictor):
    try:
        with running_server(api_predictor, host="::1") as served:
            assert httpx.get(f"http://[::1]:{served.port}/healthz").status_code == 200
    except InputError as error:
        pytest.skip(str(error))
