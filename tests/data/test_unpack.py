"""Unpacking of valid, damaged and malicious archives."""

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
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4777
    return info


def packed(path, files, *others):
    """Write an archive of a folder, files and other members."""
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member("images", tarfile.DIRTYPE))
        for name, content in files.items():
            file = member(name)
            file.size = len(content)
            archive.addfile(file, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return path


def below(folder):
    """Return the contents of all files in a folder and its subfolders, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_names_and_contents_are_unpacked(tmp_path):
    archive, progress = packed(tmp_path / "a.tar.gz", IMAGES), []
    assert unpack(archive, tmp_path / "out", lambda *numbers: progress.append(numbers)) == 3
    assert below(tmp_path / "out") == {os.path.normpath(name): content for name, content in IMAGES.items()}
    assert (tmp_path / "out/images/00000001_000.png").stat().st_mode & 0o7000 == 0
    size = archive.stat().st_size
    assert progress[-1] == (size, size)


def test_unpacking_again_adds_only_missing_files(tmp_path):
    archive, out = packed(tmp_path / "a.tar.gz", IMAGES), tmp_path / "out"
    unpack(archive, out, lambda *_: None)
    first, second = (out / name for name in list(IMAGES)[:2])
    first.unlink()
    before = second.stat().st_mtime_ns
    unpack(archive, out, lambda *_: None)
    assert first.read_bytes() == b"one"
    assert second.stat().st_mtime_ns == before
    second.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"00000001_001\.png: .*a\.tar\.gz"):
        unpack(archive, out, lambda *_: None)
    assert second.read_bytes() == b"mine"


def test_existing_links_in_the_target_folder_are_followed(tmp_path):
    """A user may have linked the folder to a larger disk."""
    (tmp_path / "large").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "large")
    unpack(packed(tmp_path / "a.tar.gz", IMAGES), tmp_path / "out", lambda *_: None)
    assert (tmp_path / "large" / "00000001_000.png").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("../outside.png"), r"'\.\./outside\.png'"),
        (member("images/../../outside.png"), r"'images/\.\./\.\./outside\.png'"),
        (member("/tmp/outside.png"), "'/tmp/outside\\.png'"),
        (member("..\\outside.png"), r"'\.\.\\\\outside\.png'"),
        (member("C:outside.png"), r"'C:outside\.png'"),
        (member("images/\x1b[2J.png"), r"'images/\\x1b\[2J\.png'"),
        (member("images/link", tarfile.SYMTYPE, "/etc"), "'images/link', a link or device"),
        (member("images/link", tarfile.SYMTYPE, "00000001_000.png"), "'images/link', a link or device"),
        (member("images/link", tarfile.LNKTYPE, "images/00000001_000.png"), "'images/link', a link or device"),
        (member("images/pipe", tarfile.FIFOTYPE), "'images/pipe', a link or device"),
        (member("images/disk", tarfile.BLKTYPE), "'images/disk', a link or device"),
        (member("images/tty", tarfile.CHRTYPE), "'images/tty', a link or device"),
    ],
)
def test_members_outside_the_folder_links_and_devices_are_refused(tmp_path, bad, message):
    archive = packed(tmp_path / "a.tar.gz", {"images/before.png": b"x"}, bad, member("images/after.png"))
    with pytest.raises(InputError, match=rf"a\.tar\.gz: contains {message}"):
        unpack(archive, tmp_path / "deep" / "out", lambda *_: None)
    assert below(tmp_path) == {"a.tar.gz": archive.read_bytes()}
    assert not list(tmp_path.rglob("link"))


def test_a_damaged_archive_is_refused_before_anything_is_written(tmp_path):
    archive = packed(tmp_path / "a.tar.gz", {name: os.urandom(5000) for name in IMAGES})
    good = archive.read_bytes()
    for damaged in (good[: len(good) // 2], good[:-4], good[:-8] + b"\0\0\0\0" + good[-4:], b"", b"<html>"):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.tar\.gz: not a complete \.tar\.gz archive"):
            unpack(archive, tmp_path / "out", lambda *_: None)
        assert not (tmp_path / "out").exists()


def test_errors_of_the_file_system_are_reported(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tar\.gz: .*: No such file"):
        unpack(tmp_path / "nowhere.tar.gz", tmp_path, lambda *_: None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").touch()
    with pytest.raises(InputError, match=r"a\.tar\.gz: .*out: "):
        unpack(packed(tmp_path / "a.tar.gz", IMAGES), tmp_path / "out", lambda *_: None)


def crafted(path, **fields):
    """Write an archive whose second header is malformed in a way that tarfile cannot write."""
    valid = io.BytesIO()
    with tarfile.open(fileobj=valid, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(member("before.png"))
    info = member("images/a.png", fields.get("kind", tarfile.REGTYPE))
    info.size = fields["size"]
    header = info.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(gzip.compress(valid.getvalue()[:512] + header + b"\0" * 4096))
    return path


@pytest.mark.parametrize("size", [-512, -1024, -1, -(2**60)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.DIRTYPE])
def test_a_negative_size_is_refused_at_once(tmp_path, size, kind):
    """CVE-2025-8194: tarfile seeks backwards in an endless loop."""
    archive = crafted(tmp_path / "a.tar.gz", size=size, kind=kind)
    with pytest.raises(InputError, match=r"a\.tar\.gz: (contains .* of -.* bytes|not a complete|.*header)"):
        unpack(archive, tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_a_pax_header_with_a_negative_size_is_refused_at_once(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = member("images/a.png")
        info.pax_headers = {"size": "-1024"}
        archive.addfile(info)
        archive.addfile(member("images/b.png"))
    with pytest.raises(InputError, match=r"a\.tar\.gz: "):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [2**33, 2**62])
def test_a_name_of_gigabytes_is_not_read(tmp_path, size):
    archive = crafted(tmp_path / "a.tar.gz", size=size, kind=tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(InputError, match=r"a\.tar\.gz: not a complete \.tar\.gz archive"):
        unpack(archive, tmp_path / "out", lambda *_: None)


def test_a_sparse_file_is_refused(tmp_path):
    """GNU tar packs ten terabytes of zeros into a kilobyte, which would fill the disk."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = member("images/a.png")
        content = b"1\n0\n0\n".ljust(512, b"\0")
        info.size = len(content)
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "images/a.png",
            "GNU.sparse.realsize": str(10**13),
        }
        archive.addfile(info, io.BytesIO(content))
    with pytest.raises(InputError, match=r"a\.tar\.gz: contains 'images/a\.png', a sparse file"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_detected_before_anything_is_written(tmp_path, monkeypatch):
    archive = packed(tmp_path / "a.tar.gz", IMAGES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3000))
    with pytest.raises(InputError, match=r"a\.tar\.gz: .* 3,003 bytes, .*out has 3,000 free"):
        unpack(archive, tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3003))
    assert unpack(archive, tmp_path / "out", lambda *_: None) == 3


def test_deeply_nested_headers_are_an_error_without_a_traceback(tmp_path):
    info = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 1
    block = info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(block * 5000))
    with pytest.raises(InputError, match=r"a\.tar\.gz: not a complete \.tar\.gz archive"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", lambda *_: None)
