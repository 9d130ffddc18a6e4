"""No script looks up a host name or connects to another machine, in Python or in compiled code."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

TRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg")

_ADDRESS = re.compile(r'htons\((\d+)\).*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')


@cache
def why_no_trace() -> str:
    """Return why strace cannot be used on this machine, or an empty string."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run([*TRACE, "true"], capture_output=True, text=True, check=False)
    return f"strace cannot be used: {done.stderr.splitlines()[0]}" if done.returncode else ""


def foreign(trace: str) -> list[str]:
    """Return the lines of a trace that connect to another machine, or to a name server on this one."""
    found = []
    for line in trace.splitlines():
        for port, address in _ADDRESS.findall(line):
            if port == "53" or not (address.startswith("127.") or address == "::1"):
                found.append(line)
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run every script and return the folder of the files, the finished process, and the trace or None."""
    folder = tmp_path_factory.mktemp("silence")
    (folder / "home").mkdir()
    # With CI or its own variables set, ONNX Runtime sends nothing anyway.
    ours = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("ORT_")}
    command = [sys.executable, str(ROOT / "tests/faults/every_script.py"), str(folder)]
    if not why_no_trace():
        command = [*TRACE, "-o", str(folder / "trace"), *command]
    done = subprocess.run(
        command, env={**ours, "HOME": str(folder / "home")}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    trace = (folder / "trace").read_text() if not why_no_trace() else None
    return folder, done, trace


def test_every_script_succeeds_and_python_connects_to_no_other_machine(ran):
    _, done, _ = ran
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-3000:]


def test_compiled_code_connects_to_no_other_machine(ran):
    if why_no_trace():
        pytest.skip(why_no_trace())
    _, _, trace = ran
    assert "127.0.0.1" in trace, "the visit of the page is not in the trace"
    assert foreign(trace) == []


def test_no_telemetry_is_stored(ran):
    """ONNX Runtime would store a device identifier and a database, OpenVINO's telemetry a client identifier."""
    folder, _, _ = ran
    stored = {str(path.relative_to(folder / "home")) for path in (folder / "home").rglob("*") if path.is_file()}
    assert not {name for name in stored if not name.startswith((".cache/matplotlib/", ".config/matplotlib/"))}


def test_a_look_up_in_a_trace_is_detected():
    """Lines as strace writes them; without this, the tests above might be unable to fail."""
    lines = [
        'connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0',
        'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("20.1.2.3")}, 16) = -1 EINPROGRESS',
        'sendto(3, "", 0, 0, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), '
        'inet_pton(AF_INET6, "2603::1", &sin6_addr), sin6_scope_id=0}, 28) = 0',
    ]
    quiet = [
        'connect(3, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        'connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT',
    ]
    assert foreign("\n".join(lines + quiet)) == lines


def test_a_look_up_in_python_is_detected(tmp_path):
    code = (
        "import os, socket, sys\n"
        "sys.path.insert(0, 'tests/faults')\n"
        "import every_script\n"
        "os.dup2(1, 3)\n"
        "sys.addaudithook(every_script.watch)\n"
        "calls = ((socket.getaddrinfo, ('name.invalid', 80)), (socket.gethostbyname, ('name.invalid',)))\n"
        "for look_up, arguments in calls:\n"
        "    try:\n"
        "        look_up(*arguments)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["socket.getaddrinfo", "socket.gethostbyname"]
