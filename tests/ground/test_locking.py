"""Locks on folders."""

import errno
import os
import subprocess
import sys
import tempfile

import pytest
from conftest import ROOT, run_python

from chexnet.errors import InputError
from chexnet.files import (
    exclusive_lock,
)


def test_a_locked_folder_is_refused_until_the_lock_is_gone(tmp_path):
    folder = tmp_path / "new"
    with (
        exclusive_lock(folder),
        pytest.raises(InputError, match=r"new: another process is writing"),
        exclusive_lock(folder),
    ):
        pass
    with pytest.raises(RuntimeError), exclusive_lock(folder):
        raise RuntimeError
    with exclusive_lock(folder), exclusive_lock(tmp_path):
        pass


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "from chexnet.files import exclusive_lock\n"
        f"with exclusive_lock({str(tmp_path)!r}): print('locked', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(InputError, match="another process"), exclusive_lock(tmp_path):
        pass
    process.kill()
    process.communicate()
    with exclusive_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/below: cannot be written"), exclusive_lock(tmp_path / "file" / "below"):
        pass
    (tmp_path / "odd" / ".lock").mkdir(parents=True)
    with (
        pytest.raises(InputError, match=r"odd/\.lock: cannot be locked: Is a directory"),
        exclusive_lock(tmp_path / "odd"),
    ):
        pass
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):  # like a network share without a lock service
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(InputError, match=r"\.lock: cannot be locked: No locks available"), exclusive_lock(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change the user")
def test_a_lock_file_of_another_user_is_an_error(tmp_path):
    code = (
        "import os, sys\nfrom filelock import FileLock\nfrom chexnet.errors import InputError\n"
        "from chexnet.files import exclusive_lock\n"
        "with exclusive_lock(sys.argv[1]): pass\n"
        "os.chmod(sys.argv[1], 0o777)\nos.setgroups([])\nos.setresgid(1001, 1001, 1001)\n"
        "os.setresuid(1001, 1001, 1001)\n"
        "os.chdir(sys.argv[1])\n"
        "try:\n    with exclusive_lock('.'): print('locked')\nexcept InputError as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as folder:  # other users cannot enter pytest's folders
        os.chmod(folder, 0o755)
        shared = os.path.join(folder, "shared")
        os.mkdir(shared)
        done = run_python("-c", code, shared)
        assert (done.returncode, done.stdout) == (0, b".lock: cannot be locked: Permission denied\n"), done.stderr
