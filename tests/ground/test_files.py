"""Atomic writes of files."""

import errno
import hashlib
import os
import stat
import time

import pytest
from conftest import ROOT, run_python

from chexnet.errors import InputError
from chexnet.files import (
    atomic_write,
    check_writable,
    remove_leftovers,
    sha256,
    write_each,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "state.bin"
    target.write_bytes(b"old")

    def write_half_of_it():
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half_of_it()
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.bin"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    target = tmp_path / "deep" / "state.bin"
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["state.bin"]


def test_text_is_written_unchanged(tmp_path):
    write_text(tmp_path / "a.txt", "é\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\nb\n"


def test_sha256_is_that_of_the_whole_file(tmp_path):
    data = b"0123456789" * 300_000  # more than one block
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


AS_ON_WINDOWS = """
import os, sys
import as_on_windows
as_on_windows.apply()
from pathlib import Path
from chexnet.errors import InputError
from chexnet.files import atomic_directory, exclusive_lock, write_text
os.chdir(sys.argv[1])
with exclusive_lock("save"):
    try:
        with exclusive_lock("save"):
            print("locked twice")
    except InputError as error:
        print(error)
    write_text("save/a.txt", "new")
with exclusive_lock("save"):
    pass
for text in ("one", "two"):
    with atomic_directory("report", ("a", "b")) as new:
        (new / ("a" if text == "one" else "b")).write_text(text)
print(Path("save/a.txt").read_text(), {path.name: path.read_text() for path in Path("report").iterdir()})
"""


def test_writing_and_locking_work_as_on_windows(tmp_path):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support")))
    done = run_python("-c", AS_ON_WINDOWS, str(tmp_path), PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    refusal, outcome = done.stdout.decode().splitlines()
    assert refusal.startswith("save: another process is writing")
    assert outcome == "new {'b': 'two'}"


def test_a_file_that_is_in_use_on_windows_is_replaced_later(tmp_path, monkeypatch):
    target = tmp_path / "state.bin"
    target.write_bytes(b"old")
    replace, refusals, slept = os.replace, [], []
    monkeypatch.setattr(time, "sleep", slept.append)

    def in_use(times):
        def replace_or_refuse(source, target):
            if len(refusals) < times:
                refusals.append(source)
                raise PermissionError(13, "Access is denied", str(source), 5, str(target))
            replace(source, target)

        return replace_or_refuse

    monkeypatch.setattr(os, "replace", in_use(times=3))
    write_text(target, "new")
    assert target.read_bytes() == b"new"
    assert len(slept) == 3
    refusals.clear()
    monkeypatch.setattr(os, "replace", in_use(times=1000))
    with pytest.raises(InputError, match=r"state\.bin: cannot be written: Access is denied"):
        write_text(target, "newer")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["state.bin"]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EIO, errno.ENOSPC])
def test_a_failing_disk_is_an_error_and_missing_fsync_is_not(tmp_path, monkeypatch, error):
    def fsync(_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fsync)
    if error == errno.EINVAL:
        write_text(tmp_path / "a", "x")
        assert (tmp_path / "a").read_text() == "x"
    else:
        with pytest.raises(InputError, match=f"a: cannot be written: {os.strerror(error)}"):
            write_text(tmp_path / "a", "x")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask_without_changing_it(tmp_path, mask):
    code = (
        f"import os, sys\nos.umask({mask})\ndel os.umask\n"
        "from chexnet.files import atomic_directory, write_text\n"
        "write_text(sys.argv[1] + '/a', '')\n"
        "with atomic_directory(sys.argv[1] + '/r', ['b']) as new: write_text(new / 'b', '')"
    )
    done = run_python("-c", code, str(tmp_path))
    assert done.returncode == 0, done.stderr
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "r/b", "r")]
    assert modes == [0o666 & ~mask, 0o666 & ~mask, 0o777 & ~mask]


def test_only_own_leftovers_are_removed(tmp_path):
    ours = {".best_model.tmp-1a2b3c4d.pdparams", ".after_epoch_03.tmp-k_2xwq0z.state", ".history.tmp-0a1b2c3d.csv"}
    others = {".result.tmp-1a2b3c4d.json", ".best_model.tmp-notes.pdparams", "best_model.pdparams", ".tmp-12345678"}
    for name in ours | others:
        (tmp_path / name).write_text("")
    (tmp_path / ".report.tmp-1a2b3c4d" / "new").mkdir(parents=True)
    (tmp_path / ".best_model.tmp-aaaaaaaa.pdparams").mkdir()
    remove_leftovers(tmp_path, ["best_model.*", "*.state", "history.csv"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *others,
        ".report.tmp-1a2b3c4d",
        ".best_model.tmp-aaaaaaaa.pdparams",
    }


def test_names_of_the_maximum_length_are_written(tmp_path):
    for name in ("n" * 250 + ".json", "é" * 124 + ".json", "x." + "y" * 250):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name
    too_long = tmp_path / ("n" * 300 + ".json")
    with pytest.raises(InputError, match=r"n\.json: cannot be written: File name too long"):
        check_writable(too_long, ".json", protected=())


def test_errors_name_the_target_instead_of_the_temporary_file(tmp_path):
    with (
        pytest.raises(InputError, match=r"/model\.bin: holds nothing"),
        atomic_write(tmp_path / "model.bin") as temporary,
    ):
        raise InputError(f"{temporary}: holds nothing")
    other = tmp_path / "other" / "image.png"
    with pytest.raises(InputError, match=f"^{other}: No such file or directory$"), atomic_write(tmp_path / "model.bin"):
        other.read_bytes()


def test_all_writers_are_called(tmp_path):
    (tmp_path / "file").write_text("")
    bad = [tmp_path / "file" / "a.txt", tmp_path / "file" / "b.txt"]
    writers = [lambda path=path: write_text(path, "x") for path in (bad[0], tmp_path / "good.txt", bad[1])]
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: .*; .*b\.txt: cannot be written"):
        write_each(writers)
    assert (tmp_path / "good.txt").read_text() == "x"
