"""No word to anybody: no script looks up a name or connects to another machine, in Python or in compiled code."""

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
def can_trace() -> str:
    """What keeps strace from being used here, or nothing."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run([*TRACE, "true"], capture_output=True, text=True, check=False)
    return f"strace cannot be used: {done.stderr.splitlines()[0]}" if done.returncode else ""


def foreign(trace: str) -> list[str]:
    """The lines of a trace that reach another machine, or a name server on this one."""
    found = []
    for line in trace.splitlines():
        for port, address in _ADDRESS.findall(line):
            if port == "53" or not (address.startswith("127.") or address == "::1"):
                found.append(line)
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Every script has run: the folder of its files, what was reported, the trace or None, standard error."""
    folder = tmp_path_factory.mktemp("silence")
    (folder / "home").mkdir()
    # Under CI, or told so by the user, ONNX Runtime is silent of itself.
    ours = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("ORT_")}
    command = [sys.executable, str(ROOT / "tests/faults/every_script.py"), str(folder)]
    if not can_trace():
        command = [*TRACE, "-o", str(folder / "trace"), *command]
    done = subprocess.run(
        command, env={**ours, "HOME": str(folder / "home")}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    trace = (folder / "trace").read_text() if not can_trace() else None
    return folder, done, trace


def test_every_script_ends_well_and_python_reaches_nobody(ran):
    _, done, _ = ran
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-3000:]


def test_compiled_code_reaches_nobody(ran):
    if can_trace():
        pytest.skip(can_trace())
    _, _, trace = ran
    assert "127.0.0.1" in trace, "the visit of the page is not in the trace"
    assert foreign(trace) == []


def test_nothing_is_kept_for_reporting_later(ran):
    """ONNX Runtime keeps a device identifier and a database; OpenVINO's telemetry a client identifier."""
    folder, _, _ = ran
    kept = {str(one.relative_to(folder / "home")) for one in (folder / "home").rglob("*") if one.is_file()}
    assert not {one for one in kept if not one.startswith((".cache/matplotlib/", ".config/matplotlib/"))}


def test_a_trace_with_a_look_up_is_noticed():
    """So that the two tests above can fail: lines as strace writes them."""
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


def test_the_guard_in_python_notices_a_look_up(tmp_path):
    code = (
        "import os, socket, sys\n"
        "sys.path.insert(0, 'tests/faults')\n"
        "import every_script\n"
        "os.dup2(1, 3)\n"
        "sys.addaudithook(every_script.watch)\n"
        "for ask in (lambda: socket.getaddrinfo('name.invalid', 80), lambda: socket.gethostbyname('name.invalid')):\n"
        "    try:\n"
        "        ask()\n"
        "    except OSError:\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["socket.getaddrinfo", "socket.gethostbyname"]
