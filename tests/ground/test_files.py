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


def in_a_process(code: str, *arguments: str) -> str:
    """What a program prints that has this one's library and nothing loaded yet."""
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


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path):
    target = tmp_path / "deep" / "state.bin"
    with atomic_write(target) as temporary:
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
            check_writable(path, path.suffix, protected=())
    with pytest.raises(InputError, match="below"):
        write_text(tmp_path / "file" / "below.json", "")
    check_writable(tmp_path / "fine.json", ".json", protected=())
    assert not (tmp_path / "fine.json").exists()


def test_what_is_read_is_not_written_over(tmp_path):
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
    code = f"from chexnet.files import locked\nwith locked({str(tmp_path)!r}): print('locked', flush=True); input()"
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

    def no_locks(*_):  # as a network share without a lock service
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
from chexnet.files import locked, replacing, replacing_folder, write_text
from chexnet.files import atomic_folders
folders.sys = type("sys", (), {"platform": "win32"})
os.chdir(sys.argv[1])
with locked("save"):
    try:
        with locked("save"):
            print("locked twice")
    except InputError as error:
        print(error)
    write_text("save/a.txt", "new")
with locked("save"):
    pass
for text in ("one", "two"):
    with replacing_folder("report", ("a", "b")) as new:
        (new / ("a" if text == "one" else "b")).write_text(text)
print(Path("save/a.txt").read_text(), {path.name: path.read_text() for path in Path("report").iterdir()})
"""


def test_everything_is_written_and_locked_where_the_system_has_less(tmp_path):
    """As on Windows: no fcntl, no folder can be opened, and only what is open for writing can be synced."""
    said, outcome = in_a_process(AS_ON_WINDOWS, str(tmp_path)).splitlines()
    assert said.startswith("save: another process is writing")
    assert outcome == "new {'b': 'two'}"


def test_a_file_that_somebody_reads_on_windows_is_replaced_a_little_later(tmp_path, monkeypatch):
    target = tmp_path / "state.bin"
    target.write_bytes(b"old")
    replace, refusals, slept = os.replace, [], []
    monkeypatch.setattr(time, "sleep", slept.append)

    def in_use(times):
        def replaced(source, place):
            if len(refusals) < times:
                refusals.append(source)
                raise PermissionError(13, "Access is denied", str(source), 5, str(place))
            replace(source, place)

        return replaced

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
def test_a_disk_that_fails_is_said_and_one_that_knows_no_fsync_is_not(tmp_path, monkeypatch, error):
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
def test_permissions_are_what_the_umask_leaves_and_it_is_never_touched(tmp_path, mask):
    code = (
        f"import os, sys\nos.umask({mask})\ndel os.umask\n"
        "from chexnet.files import replacing_folder, write_text\n"
        "write_text(sys.argv[1] + '/a', '')\n"
        "with replacing_folder(sys.argv[1] + '/r', ['b']) as new: write_text(new / 'b', '')"
    )
    in_a_process(code, str(tmp_path))
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "r/b", "r")]
    assert modes == [0o666 & ~mask, 0o666 & ~mask, 0o777 & ~mask]


def test_only_a_writers_own_leftovers_are_removed_and_none_stops_it(tmp_path):
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


def test_names_as_long_as_the_system_has_them_are_written(tmp_path):
    for name in ("n" * 250 + ".json", "é" * 124 + ".json", "x." + "y" * 250):
        write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name
    too_long = tmp_path / ("n" * 300 + ".json")
    with pytest.raises(InputError, match=r"n\.json: cannot be written: File name too long"):
        check_writable(too_long, ".json", protected=())


def test_what_is_said_of_the_temporary_file_is_said_of_its_target(tmp_path):
    with (
        pytest.raises(InputError, match=r"/model\.bin: holds nothing"),
        atomic_write(tmp_path / "model.bin") as temporary,
    ):
        raise InputError(f"{temporary}: holds nothing")
    other = tmp_path / "other" / "image.png"
    with pytest.raises(InputError, match=f"^{other}: No such file or directory$"), atomic_write(tmp_path / "model.bin"):
        other.read_bytes()


def test_each_writer_has_its_turn(tmp_path):
    (tmp_path / "file").write_text("")
    bad = [tmp_path / "file" / "a.txt", tmp_path / "file" / "b.txt"]
    writers = [lambda path=path: write_text(path, "x") for path in (bad[0], tmp_path / "good.txt", bad[1])]
    with pytest.raises(InputError, match=r"a\.txt: cannot be written: .*; .*b\.txt: cannot be written"):
        write_each(writers)
    assert (tmp_path / "good.txt").read_text() == "x"


def test_no_place_for_temporary_files_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no folder for temporary files: .*TMPDIR names one"), temporary_folder():
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    full = f"^{tmp_path}: cannot be written: No space left on device$"
    with pytest.raises(InputError, match=full), temporary_folder() as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "model"))
    assert list(tmp_path.iterdir()) == []


def test_two_outputs_are_two_files(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a.json").write_text("")
    os.link(tmp_path / "a.json", tmp_path / "hard.json")
    (tmp_path / "soft.json").symlink_to("a.json")
    pairs = [("a.json", "A.JSON"[:-4] + "json"), ("real/b.json", "link/b.json"), ("a.json", "hard.json")]
    pairs += [("a.json", "soft.json"), ("x/../a.json", "a.json"), ("caf\u00e9.json", "cafe\u0301.json")]
    for one, other in pairs:
        with pytest.raises(InputError, match="which is the same file"):
            check_writable(tmp_path / other, ".json", protected=(), others=[tmp_path / one])
    check_writable(
        tmp_path / "b.json", ".json", protected=(), others=[tmp_path / "a.json", tmp_path / "real" / "b.json"]
    )


def test_the_json_of_a_weight_file_is_no_place_for_an_output(tmp_path):
    for name in ("other.pdparams", "third.safetensors"):
        (tmp_path / name).write_text("")
        json = (tmp_path / name).with_suffix(".json")
        with pytest.raises(InputError, match=rf"would be taken for the JSON that describes .*{name}"):
            check_writable(json, ".json", protected=())
        check_writable(json, ".json", protected=(), others=[tmp_path / name])


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="is a device or pipe"):
        check_writable(tmp_path / "pipe.json", ".json", protected=())


def test_outputs_in_a_folder_that_is_replaced_are_refused(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "elsewhere").symlink_to("r")
    for output in ("r/metrics.json", "r/deep/x.json", "R/x.json", "elsewhere/x.json", "r"):
        with pytest.raises(InputError, match="would be lost, as this run writes the whole folder"):
            check_folder(tmp_path / "r", ["metrics.json"], protected=(), others=[tmp_path / output])
    check_folder(
        tmp_path / "r", ["metrics.json"], protected=(), others=[tmp_path / "r.json", tmp_path / "rr" / "x.json"]
    )


def test_no_output_is_an_input_under_another_name(tmp_path):
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
def test_a_mounted_folder_is_filled_anew(tmp_path, mount, how, monkeypatch):
    (tmp_path / "host").mkdir()
    arguments = ["--bind", tmp_path / "host"] if how == "bind" else ["-t", "tmpfs", "tmpfs"]
    folder = mount(tmp_path / "out", *arguments)
    for texts in ({"a": "old", "b": "old"}, {"a": "new", "c": "new"}):
        write_folder(folder, **texts)
        assert content(folder) == texts
    rename = os.rename

    def refused(source, target):
        if os.path.basename(os.path.dirname(source)) == "new" and os.path.basename(target) == "c":
            raise OSError(errno.EIO, "Input/output error", str(source), None, str(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(InputError, match="out: cannot be written: Input/output error"):
        write_folder(folder, b="newer", c="newer")
    assert content(folder) == {"a": "new", "c": "new"}
    assert sorted(os.listdir(folder)) == ["a", "c"]
    assert sorted(os.listdir(tmp_path)) == ["host", "out"]


def test_a_mounted_file_is_found_out_before_the_work(tmp_path, mount):
    (tmp_path / "host.json").write_text("old")
    mount(tmp_path / "out.json", "--bind", tmp_path / "host.json", kind="file")
    with pytest.raises(InputError, match=r"out\.json: is mounted and cannot be replaced"):
        check_writable(tmp_path / "out.json", ".json", protected=())
    check_writable(tmp_path / "host.json", ".json", protected=())
    check_writable(tmp_path / "new.json", ".json", protected=())
    other_disk = mount(tmp_path / "disk", "-t", "tmpfs", "tmpfs")
    (other_disk / "a.json").write_text("")
    (tmp_path / "link.json").symlink_to(other_disk / "a.json")  # replaced itself, and mounted nowhere
    (tmp_path / "sub").symlink_to(other_disk)
    for path in (tmp_path / "link.json", tmp_path / "sub" / "a.json"):
        check_writable(path, ".json", protected=())


def test_what_was_closed_to_others_stays_so(tmp_path):
    write_folder(tmp_path / "r", a="old")
    write_text(tmp_path / "a", "old")
    for path, mode in ((tmp_path / "r", 0o700), (tmp_path / "a", 0o600)):
        path.chmod(mode)
    write_folder(tmp_path / "r", a="new")
    write_text(tmp_path / "a", "new")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("r", "a")] == [0o700, 0o600]
    assert (tmp_path / "a").read_text() == (tmp_path / "r" / "a").read_text() == "new"


def test_a_disk_that_is_read_only_is_found_out_before_the_work(tmp_path, mount):
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


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_lock_of_somebody_else_is_named(tmp_path):
    code = (
        "import os, sys\nfrom filelock import FileLock\nfrom chexnet.errors import InputError\n"
        "from chexnet.files import locked, remove_leftovers\n"
        "with locked(sys.argv[1]): pass\n"
        "os.chmod(sys.argv[1], 0o777)\nos.setgroups([])\nos.setresgid(1001, 1001, 1001)\n"
        "os.setresuid(1001, 1001, 1001)\n"
        "os.chdir(sys.argv[1])\n"
        "try:\n    with locked('.'): print('locked')\nexcept InputError as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        shared = os.path.join(folder, "shared")
        os.mkdir(shared)
        assert in_a_process(code, shared) == ".lock: cannot be locked: Permission denied\n"
