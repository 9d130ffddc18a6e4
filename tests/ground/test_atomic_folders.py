"""Folders that are replaced as a whole, and temporary folders."""

import errno
import os
import stat
import tempfile

import pytest

from chexnet.errors import InputError
from chexnet.files import (
    atomic_directory,
    temporary_folder,
    write_text,
)


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


def test_private_files_stay_private(tmp_path):
    write_folder(tmp_path / "r", a="old")
    write_text(tmp_path / "a", "old")
    for path, mode in ((tmp_path / "r", 0o700), (tmp_path / "a", 0o600)):
        path.chmod(mode)
    write_folder(tmp_path / "r", a="new")
    write_text(tmp_path / "a", "new")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("r", "a")] == [0o700, 0o600]
    assert (tmp_path / "a").read_text() == (tmp_path / "r" / "a").read_text() == "new"


def test_a_missing_folder_for_temporary_files_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"temporary files: .*TMPDIR"), temporary_folder():
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    full = f"^{tmp_path}: cannot be written: No space left on device$"
    with pytest.raises(InputError, match=full), temporary_folder() as folder:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "model"))
    assert list(tmp_path.iterdir()) == []
