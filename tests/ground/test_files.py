import errno
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time

import pytest
from conftest import ROOT

from chexnet.errors import InputError
from chexnet.files import (
    atomic_directory,
    atomic_write,
    check_folder,
    check_inputs,
    check_writable,
    exclusive_lock,
    remove_leftovers,
    sha256,
    temporary_folder,
    write_each,
    write_text,
)


def run_in_new_process(code: str, *arguments: str) -> str:
    """Run a program in a new process and return its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_unwritable_paths_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "below.json", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            check_writable(path, path.suffix, protected=())
    with pytest.raises(InputError, match="below"):
        write_text(tmp_path / "file" / "below.json", "")
    check_writable(tmp_path / "fine.json", ".json", protected=())
    assert not (tmp_path / "fine.json").exists()


def test_inputs_are_not_overwritten(tmp_path):
    with pytest.raises(InputError, match=r"model\.json: is read by this run"):
        check_writable(tmp_path / "deep" / ".." / "model.json", ".json", protected=[tmp_path / "model.json"])
    with pytest.raises(InputError, match=r"model\.pdparams: expected a name that ends in \.json"):
        check_writable(tmp_path / "model.pdparams", ".json", protected=())


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


AS_ON_WINDOWS = """
import os, sys
sys.modules["fcntl"] = None
for name in ("O_DIRECTORY", "O_NOFOLLOW", "fchmod", "umask"):
    if hasattr(os, name):
        delattr(os, name)
real_open, real_fsync = os.open, os.fsync
read_only = set()

def windows_open(path, flags, *rest, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    descriptor = real_open(path, flags, *rest, **named)
    read_only.discard(descriptor)
    if not flags & (os.O_WRONLY | os.O_RDWR):
        read_only.add(descriptor)
    return descriptor

def windows_fsync(descriptor):
    if descriptor in read_only:
        raise OSError(9, "Bad file descriptor")
    real_fsync(descriptor)

os.open, os.fsync = windows_open, windows_fsync
from pathlib import Path
from chexnet.errors import InputError
from chexnet.files import atomic_directory, atomic_folders, exclusive_lock, write_text
atomic_folders.sys = type("sys", (), {"platform": "win32"})
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
    """There is no fcntl, folders cannot be opened, and only files that are open for writing can be synced."""
    refusal, outcome = run_in_new_process(AS_ON_WINDOWS, str(tmp_path)).splitlines()
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
    run_in_new_process(code, str(tmp_path))
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


def test_a_missing_folder_for_temporary_files_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"temporary files: .*TMPDIR"), temporary_folder():
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    full = f"^{tmp_path}: cannot be written: No space left on device$"
    with pytest.raises(InputError, match=full), temporary_folder() as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "model"))
    assert list(tmp_path.iterdir()) == []


def test_two_outputs_must_be_two_files(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a.json").write_text("")
    os.link(tmp_path / "a.json", tmp_path / "hard.json")
    (tmp_path / "soft.json").symlink_to("a.json")
    pairs = [("a.json", "A.JSON"[:-4] + "json"), ("real/b.json", "link/b.json"), ("a.json", "hard.json")]
    pairs += [("a.json", "soft.json"), ("x/../a.json", "a.json"), ("caf\u00e9.json", "cafe\u0301.json")]
    for first, second in pairs:
        with pytest.raises(InputError, match="which is the same file"):
            check_writable(tmp_path / second, ".json", protected=(), others=[tmp_path / first])
    check_writable(
        tmp_path / "b.json", ".json", protected=(), others=[tmp_path / "a.json", tmp_path / "real" / "b.json"]
    )


def test_an_output_is_not_the_json_of_a_weight_file(tmp_path):
    for name in ("other.pdparams", "third.safetensors"):
        (tmp_path / name).write_text("")
        json = (tmp_path / name).with_suffix(".json")
        with pytest.raises(InputError, match=rf"\.json: .*{name}"):
            check_writable(json, ".json", protected=())
        check_writable(json, ".json", protected=(), others=[tmp_path / name])


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is a device or pipe"):
        check_writable(tmp_path / "pipe.json", ".json", protected=())


def test_outputs_in_a_replaced_folder_are_refused(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "elsewhere").symlink_to("r")
    for output in ("r/metrics.json", "r/deep/x.json", "R/x.json", "elsewhere/x.json", "r"):
        with pytest.raises(InputError, match=f"would be lost, .*{tmp_path / 'r'};"):
            check_folder(tmp_path / "r", ["metrics.json"], protected=(), others=[tmp_path / output])
    check_folder(
        tmp_path / "r", ["metrics.json"], protected=(), others=[tmp_path / "r.json", tmp_path / "rr" / "x.json"]
    )


def test_an_output_is_not_an_input_under_another_name(tmp_path):
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "a.png"
    image.write_bytes(b"image")
    (tmp_path / "soft.png").symlink_to(image)
    os.link(image, tmp_path / "hard.png")
    for output in (image, tmp_path / "soft.png", tmp_path / "hard.png"):
        with pytest.raises(InputError, match="is read by this run, as"):
            check_inputs([tmp_path / "missing.png", image], [tmp_path / "new.png", output])
    check_inputs([image], [tmp_path / "new.png", tmp_path / "images" / "b.png"])


def write_folder(folder, **texts):
    with atomic_directory(folder, ("a", "b", "c")) as new:
        for name, text in texts.items():
            (new / name).write_text(text)


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_folder_behind_a_link_is_replaced_where_it_is(tmp_path):
    write_folder(tmp_path / "real" / "r", a="old", b="old")
    (tmp_path / "r").symlink_to("real/r")
    write_folder(tmp_path / "r", a="new", c="new")
    assert (tmp_path / "r").is_symlink()
    assert content(tmp_path / "real" / "r") == {"a": "new", "c": "new"}
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["r"]


@pytest.mark.parametrize("how", ["bind", "tmpfs"])
def test_the_files_of_a_mounted_folder_are_replaced(tmp_path, mount, how, monkeypatch):
    (tmp_path / "host").mkdir()
    arguments = ["--bind", tmp_path / "host"] if how == "bind" else ["-t", "tmpfs", "tmpfs"]
    folder = mount(tmp_path / "out", *arguments)
    for texts in ({"a": "old", "b": "old"}, {"a": "new", "c": "new"}):
        write_folder(folder, **texts)
        assert content(folder) == texts
    rename = os.rename

    def refuse(source, target):
        if os.path.basename(os.path.dirname(source)) == "new" and os.path.basename(target) == "c":
            raise OSError(errno.EIO, "Input/output error", str(source), None, str(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(InputError, match="out: cannot be written: Input/output error"):
        write_folder(folder, b="newer", c="newer")
    assert content(folder) == {"a": "new", "c": "new"}
    assert sorted(os.listdir(folder)) == ["a", "c"]
    assert sorted(os.listdir(tmp_path)) == ["host", "out"]


def test_a_mounted_file_is_detected_before_the_work(tmp_path, mount):
    (tmp_path / "host.json").write_text("old")
    mount(tmp_path / "out.json", "--bind", tmp_path / "host.json", kind="file")
    with pytest.raises(InputError, match=r"out\.json: is mounted and cannot be replaced"):
        check_writable(tmp_path / "out.json", ".json", protected=())
    check_writable(tmp_path / "host.json", ".json", protected=())
    check_writable(tmp_path / "new.json", ".json", protected=())
    other_disk = mount(tmp_path / "disk", "-t", "tmpfs", "tmpfs")
    (other_disk / "a.json").write_text("")
    (tmp_path / "link.json").symlink_to(other_disk / "a.json")  # the link itself is replaced; it is not mounted
    (tmp_path / "sub").symlink_to(other_disk)
    for path in (tmp_path / "link.json", tmp_path / "sub" / "a.json"):
        check_writable(path, ".json", protected=())


def test_private_files_stay_private(tmp_path):
    write_folder(tmp_path / "r", a="old")
    write_text(tmp_path / "a", "old")
    for path, mode in ((tmp_path / "r", 0o700), (tmp_path / "a", 0o600)):
        path.chmod(mode)
    write_folder(tmp_path / "r", a="new")
    write_text(tmp_path / "a", "new")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("r", "a")] == [0o700, 0o600]
    assert (tmp_path / "a").read_text() == (tmp_path / "r" / "a").read_text() == "new"


def test_a_read_only_disk_is_detected_before_the_work(tmp_path, mount):
    disk = mount(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs")
    for check in (
        lambda: check_writable(disk / "a.json", ".json", protected=()),
        lambda: check_writable(disk / "deep" / "a.json", ".json", protected=()),
        lambda: check_folder(disk, (), protected=()),
        lambda: check_folder(disk / "r", (), protected=()),
        lambda: exclusive_lock(disk).__enter__(),
    ):
        with pytest.raises(InputError, match=r"disk.*: cannot be (written|locked): Read-only file system"):
            check()


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
        assert run_in_new_process(code, shared) == ".lock: cannot be locked: Permission denied\n"
