"""docs/deployment.md: its commands and code run, and its tables match the server."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from api_server import running_server
from conftest import ROOT

from chexnet.files.shipped_weights import SHIPPED
from chexnet.inference import Predictor
from chexnet.web import ServerConfig
from chexnet.web.server_metrics import ServerMetrics

PAGE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (curl .*)$", PAGE, re.MULTILINE)
TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def served():
    """A server with the shipped network and one crop, and a token."""
    with running_server(Predictor(SHIPPED, device="cpu", crops=1, images=1), token=TOKEN) as server:
        yield server


def test_there_are_commands():
    assert len(COMMANDS) == 4


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_printed(served, tmp_path, command):
    (tmp_path / "token.txt").write_text(f"{TOKEN}\n")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    command = command.replace("127.0.0.1:8000", f"127.0.0.1:{served.port}")
    if "Authorization" not in command:  # they are for a server without a token
        command = command.replace("curl ", f"curl -H 'Authorization: Bearer {TOKEN}' ", 1)
    done = subprocess.run(
        ["bash", "-c", f"{command} --noproxy '*' -sS -f"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if "predict" in command:
        assert answer["results"]
        assert answer["errors"] == []
        assert ("maps" in answer["results"][0]) == ("maps=" in command)


def test_the_code_prints_the_findings(served):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace("127.0.0.1:8000", f"127.0.0.1:{served.port}")
    code = code.replace('{"Content-Type"', f'{{"Authorization": "Bearer {TOKEN}", "Content-Type"')
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == sorted(served.service.predictor.classes)


def test_the_limits_are_those_of_the_server():
    config = ServerConfig()
    table = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE))
    assert table["size of a request"].startswith(f"{config.max_bytes // 2**20} MiB")
    assert table["images per request"] == str(config.max_images)
    assert table["images that wait or are computed"] == str(config.max_waiting)
    assert table["request bodies in memory"] == f"{config.max_waiting_bytes // 2**30} GiB"
    assert table["silence within a request"] == f"{config.silence_seconds:g} s"
    assert table["time of an upload"] == f"{config.upload_seconds:g} s"
    assert table["time from the upload to the result"] == f"{config.predict_seconds:g} s"
    assert table["open connections"] == str(config.max_connections)


def test_every_metric_is_listed():
    text = ServerMetrics().render()[0].decode()
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)) - set(
        re.findall(r"^# TYPE (\S+_created) ", text, re.M)
    )
    assert names == set(re.findall(r"`(chexnet_\w+)`", PAGE))
