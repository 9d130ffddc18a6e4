"""Every script works without what Windows lacks, also where its outputs exist already. Simulated; see the module."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from conftest import ROOT, run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulation needs Linux's /proc")

REFUSE_TO_REPLACE = {"tools/make_phantom.py", "tools/prepare_lists.py", "train.py"}


def test_every_script_runs_twice_on_a_western_console(tmp_path):
    folder = tmp_path / "胸片 a"
    command = [sys.executable, "-X", "warn_default_encoding", str(ROOT / "tests/faults/every_script.py")]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*command, str(folder), "--as_on_windows"], env=environment, cwd=ROOT, capture_output=True, check=False
    )
    errors = done.stderr.decode("cp1252")
    assert done.returncode == 0, errors[-3000:]
    ended = [line.removesuffix(" ended with 2") for line in done.stdout.decode("cp1252").splitlines()]
    assert set(ended) == REFUSE_TO_REPLACE, errors[-3000:]
    assert errors.count("already") + errors.count("contains another run") >= len(ended)
    for parent, folders, files in os.walk(folder):
        assert max(Counter(map(str.lower, [*folders, *files])).values(), default=0) <= 1, parent


HELD = {
    "replaced": "os.replace('new', 'held')",
    "removed": "os.remove('held')",
    "in a folder that is renamed": "os.rename('../folder', '../other')",
    "in a folder that is removed": "shutil.rmtree('../folder')",
}


@pytest.mark.parametrize("action", HELD.values(), ids=HELD)
@pytest.mark.parametrize("held", ["open", "mapped"])
def test_a_file_in_use_is_held(action, held, tmp_path):
    """Without this, the test above might be unable to fail."""
    (tmp_path / "folder").mkdir()
    code = (
        "import as_on_windows, mmap, os, shutil, sys\n"
        "as_on_windows.apply()\n"
        "os.chdir(sys.argv[1])\n"
        "for name in ('held', 'new'): open(name, 'w').write('text')\n"
        "file = open('held', 'rb')\n"
        f"{'pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); file.close()' if held == 'mapped' else ''}\n"
        f"{action}\n"
    )
    done = run_python("-c", code, str(tmp_path / "folder"), PYTHONPATH=str(ROOT / "tests/support"))
    assert done.stderr.decode().splitlines()[-1].startswith("PermissionError"), done.stderr
    assert sorted(path.name for path in (tmp_path / "folder").iterdir())[:1] == ["held"]


MISSING = {
    "os.fork()": "AttributeError",
    "signal.SIGKILL": "AttributeError",
    "open('/proc/self/maps', 'rb').read()": "FileNotFoundError",
    "Path('/proc/cpuinfo').read_bytes()": "FileNotFoundError",
    "os.open('.', os.O_RDONLY)": "PermissionError",
    "os.fsync(os.open('file', os.O_RDONLY))": "OSError",
    "open('a:b', 'wb')": "OSError",
    "Path('nul.txt').write_bytes(b'')": "OSError",
    "Path('new').symlink_to('file')": "PermissionError",
    "os.rename('file', 'second')": "FileExistsError",
    "import fcntl": "ModuleNotFoundError",
    "Path('file').read_text()": "EncodingWarning",
}


@pytest.mark.parametrize(("statement", "error"), MISSING.items(), ids=list(MISSING))
def test_the_projects_code_lacks_what_windows_lacks(statement, error, tmp_path):
    for name in ("file", "second"):
        (tmp_path / name).write_text("text")
    (tmp_path / "script_part.py").write_text(f"import os, signal\nfrom pathlib import Path\n{statement}\n")
    code = (
        "import as_on_windows, os, sys\n"
        "as_on_windows.apply()\n"
        "os.chdir(sys.argv[1])\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import script_part\n"
    )
    environment = {"PYTHONPATH": str(ROOT / "tests/support"), "PYTHONWARNDEFAULTENCODING": "1"}
    done = run_python("-c", code, str(tmp_path), **environment)
    assert done.stderr.decode().splitlines()[-1].startswith(error), done.stderr
