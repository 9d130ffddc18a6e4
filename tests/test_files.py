import hashlib
import os
import stat
import subprocess
import sys

import pytest
from conftest import ROOT

from chexnet.errors import InputError
from chexnet.files import check_writable, locked, replacing, sha256, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "state.bin"
    target.write_bytes(b"old")

    def write_half_of_it():
        with replacing(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half_of_it()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.bin"]


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path):
    target = tmp_path / "deep" / "state.bin"
    with replacing(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["state.bin"]


def test_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "a.txt", "é\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\nb\n"


def test_sha256_is_that_of_the_whole_file(tmp_path):
    data = b"0123456789" * 300_000  # more than one block
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below.json", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            check_writable(path, path.suffix, keep=())
    with pytest.raises(InputError, match="below"):
        write_text(tmp_path / "file" / "below.json", "")
    check_writable(tmp_path / "fine.json", ".json", keep=())
    assert not (tmp_path / "fine.json").exists()


def test_what_is_read_is_not_written_over(tmp_path):
    with pytest.raises(InputError, match=r"model\.json: is read by this run"):
        check_writable(tmp_path / "deep" / ".." / "model.json", ".json", keep=[tmp_path / "model.json"])
    with pytest.raises(InputError, match=r"model\.pdparams: expected a name that ends in \.json"):
        check_writable(tmp_path / "model.pdparams", ".json", keep=())


def test_a_locked_folder_is_refused_until_the_lock_is_gone(tmp_path):
    folder = tmp_path / "new"
    with locked(folder), pytest.raises(InputError, match=r"new: another process is writing"), locked(folder):
        pass
    with pytest.raises(RuntimeError), locked(folder):
        raise RuntimeError
    with locked(folder), locked(tmp_path):
        pass


def test_a_lock_ends_with_its_process(tmp_path):
    code = f"from chexnet.files import locked\nwith locked({str(tmp_path)!r}): print('locked', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(InputError, match="another process"), locked(tmp_path):
        pass
    process.kill()
    process.communicate()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/below: cannot be written"), locked(tmp_path / "file" / "below"):
        pass
