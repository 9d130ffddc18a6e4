"""Archives as they should be, and as an enemy would make them."""

import gzip
import io
import os
import shutil
import tarfile
from types import SimpleNamespace

import pytest

from chexnet.data.download import unpack
from chexnet.errors import InputError

IMAGES = {"images/00000001_000.png": b"one", "images/00000001_001.png": b"two" * 1000, "./images/b/c.png": b""}


def member(name, kind=tarfile.REGTYPE, link=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o4777
    return made


def packed(path, files, *others):
    """An archive of a folder, files, and other members."""
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member("images", tarfile.DIRTYPE))
        for name, content in files.items():
            one = member(name)
            one.size = len(content)
            archive.addfile(one, io.BytesIO(content))
        for one in others:
            archive.addfile(one)
    return path


def below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_unpacked_with_nothing_but_their_bytes(tmp_path):
    archive, progress = packed(tmp_path / "a.tar.gz", IMAGES), []
    assert unpack(archive, tmp_path / "out", lambda *numbers: progress.append(numbers)) == 3
    assert below(tmp_path / "out") == {os.path.normpath(name): content for name, content in IMAGES.items()}
    assert (tmp_path / "out/images/00000001_000.png").stat().st_mode & 0o7000 == 0
    size = archive.stat().st_size
    assert progress[-1] == (size, size)


def test_unpacking_again_adds_what_is_missing_and_touches_nothing_else(tmp_path):
    archive, out = packed(tmp_path / "a.tar.gz", IMAGES), tmp_path / "out"
    unpack(archive, out, lambda *_: None)
    first, second = (out / name for name in list(IMAGES)[:2])
    first.unlink()
    before = second.stat().st_mtime_ns
    unpack(archive, out, lambda *_: None)
    assert first.read_bytes() == b"one"
    assert second.stat().st_mtime_ns == before
    second.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"00000001_001\.png: exists and differs .*a\.tar\.gz"):
        unpack(archive, out, lambda *_: None)
    assert second.read_bytes() == b"mine"


def test_a_link_of_the_user_in_the_folder_is_followed(tmp_path):
    """As to a larger disk."""
    (tmp_path / "large").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "large")
    unpack(packed(tmp_path / "a.tar.gz", IMAGES), tmp_path / "out", lambda *_: None)
    assert (tmp_path / "large" / "00000001_000.png").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("../outside.png"), r"'\.\./outside\.png', expected names inside the folder alone"),
        (member("images/../../outside.png"), "expected names inside the folder alone"),
        (member("/tmp/outside.png"), "expected names inside the folder alone"),
        (member("..\\outside.png"), "expected names inside the folder alone"),
        (member("C:outside.png"), "expected names inside the folder alone"),
        (member("images/\x1b[2J.png"), "expected names that can be printed"),
        (member("images/link", tarfile.SYMTYPE, "/etc"), "'images/link', a link or device"),
        (member("images/link", tarfile.SYMTYPE, "00000001_000.png"), "'images/link', a link or device"),
        (member("images/link", tarfile.LNKTYPE, "images/00000001_000.png"), "'images/link', a link or device"),
        (member("images/pipe", tarfile.FIFOTYPE), "'images/pipe', a link or device"),
        (member("images/disk", tarfile.BLKTYPE), "'images/disk', a link or device"),
        (member("images/tty", tarfile.CHRTYPE), "'images/tty', a link or device"),
    ],
)
def test_what_leaves_the_folder_or_is_no_file_is_refused(tmp_path, bad, message):
    archive = packed(tmp_path / "a.tar.gz", {"images/before.png": b"x"}, bad, member("images/after.png"))
    with pytest.raises(InputError, match=rf"a\.tar\.gz: holds .*{message}"):
        unpack(archive, tmp_path / "deep" / "out", lambda *_: None)
    assert below(tmp_path) == {"a.tar.gz": archive.read_bytes()}
    assert not list(tmp_path.rglob("link"))


def test_a_torn_or_other_archive_is_refused_before_anything_is_written(tmp_path):
    archive = packed(tmp_path / "a.tar.gz", {name: os.urandom(5000) for name in IMAGES})
    good = archive.read_bytes()
    for damaged in (good[: len(good) // 2], good[:-4], good[:-8] + b"\0\0\0\0" + good[-4:], b"", b"<html>"):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.tar\.gz: not a whole \.tar\.gz archive .* fetch it again"):
            unpack(archive, tmp_path / "out", lambda *_: None)
        assert not (tmp_path / "out").exists()


def test_what_the_system_refuses_is_said(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tar\.gz: cannot be unpacked into .*: No such file"):
        unpack(tmp_path / "nowhere.tar.gz", tmp_path, lambda *_: None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").touch()
    with pytest.raises(InputError, match=r"a\.tar\.gz: cannot be unpacked into .*out: "):
        unpack(packed(tmp_path / "a.tar.gz", IMAGES), tmp_path / "out", lambda *_: None)


def crafted(path, **fields):
    """An archive whose second header is as tarfile would not write it."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member("before.png"))
    one = member(fields.get("name", "images/a.png"), fields.get("kind", tarfile.REGTYPE))
    one.size = fields["size"]
    header = one.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(gzip.compress(whole.getvalue()[:512] + header + fields.get("content", b"") + b"\0" * 4096))
    return path


@pytest.mark.parametrize("size", [-512, -1024, -1, -(2**60)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.DIRTYPE])
def test_a_negative_size_ends_at_once(tmp_path, size, kind):
    """CVE-2025-8194: tarfile goes back by as much, for ever."""
    archive = crafted(tmp_path / "a.tar.gz", size=size, kind=kind)
    with pytest.raises(InputError, match=r"a\.tar\.gz: (holds .* of -.* bytes|not a whole|.*header)"):
        unpack(archive, tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_a_pax_header_with_a_negative_size_ends_at_once(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        one = member("images/a.png")
        one.pax_headers = {"size": "-1024"}
        archive.addfile(one)
        archive.addfile(member("images/b.png"))
    with pytest.raises(InputError, match=r"a\.tar\.gz: "):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [2**33, 2**62])
def test_a_name_of_gigabytes_is_not_read(tmp_path, size):
    archive = crafted(tmp_path / "a.tar.gz", size=size, kind=tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(InputError, match=r"not a whole \.tar\.gz archive"):
        unpack(archive, tmp_path / "out", lambda *_: None)


def test_a_file_with_holes_does_not_fill_the_disk(tmp_path):
    """One that GNU tar packs: ten terabytes of nothing in a kilobyte."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        one = member("images/a.png")
        content = b"1\n0\n0\n".ljust(512, b"\0")
        one.size = len(content)
        one.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "images/a.png",
            "GNU.sparse.realsize": str(10**13),
        }
        archive.addfile(one, io.BytesIO(content))
    with pytest.raises(InputError, match=r"holds 'images/a\.png', a file with holes"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_what_there_is_no_room_for_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    archive = packed(tmp_path / "a.tar.gz", IMAGES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3000))
    with pytest.raises(InputError, match=r"a\.tar\.gz: its files take 3,003 bytes, .*out has 3,000 free"):
        unpack(archive, tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3003))
    assert unpack(archive, tmp_path / "out", lambda *_: None) == 3


def test_headers_within_headers_are_no_traceback(tmp_path):
    one = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    one.size = 1
    block = one.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(block * 5000))
    with pytest.raises(InputError, match=r"not a whole \.tar\.gz archive"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", lambda *_: None)
