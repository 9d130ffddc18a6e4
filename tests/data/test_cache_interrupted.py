"""Interrupted builds of an image cache, which the next build resumes."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from originals import SMALL, counts

from chexnet.data.cache import building
from chexnet.data.cache.manifest import MANIFEST, PIXELS, read_manifest
from chexnet.errors import InputError
from chexnet.files import exclusive_lock


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_build_cut_at_any_byte_is_resumed(complete, data):
    originals = complete
    manifest, pixels = ((originals.cache / name).read_bytes() for name in (MANIFEST, PIXELS))
    start = manifest.index(b"\n") + 1
    cut = data.draw(st.integers(start, len(manifest)))
    lines = [line.split() for line in manifest[:cut].rpartition(b"\n")[0].split(b"\n")[1:]]
    end = max((int(offset) + int(height) * int(width) for _, offset, height, width, *_ in lines), default=0)
    (originals.cache / MANIFEST).write_bytes(manifest[:cut])
    (originals.cache / PIXELS).write_bytes(pixels[: data.draw(st.integers(end, len(pixels)))] + b"x" * (cut % 3))
    assert len(originals.open()) == len(lines)
    assert counts(originals.build(workers=0)) == (6 - len(lines), len(lines), 0, 0)
    assert [(originals.cache / name).read_bytes() for name in (MANIFEST, PIXELS)] == [manifest, pixels]


def test_manifest_lines_are_written_after_their_pixels(originals, monkeypatch):
    monkeypatch.setattr(building, "FLUSH_BYTES", 5000)
    originals.build(names=[])
    pixels = originals.cache / PIXELS
    on_disk = [0]
    original = os.fsync

    def fsync(descriptor: int) -> None:
        original(descriptor)
        if os.path.samestat(os.fstat(descriptor), pixels.stat()):
            on_disk.append(pixels.stat().st_size)
        assert read_manifest(originals.cache, SMALL).end <= on_disk[-1]

    monkeypatch.setattr(os, "fsync", fsync)
    originals.build()
    assert len(on_disk) > 3
    originals.assert_cached()


def test_a_killed_build_keeps_the_written_images(originals):
    code = (
        "import sys, time; from chexnet.data import images; from chexnet.data.cache import build_cache, building\n"
        "from chexnet.data.transforms import Preprocessing\n"
        "building.FLUSH_BYTES = 1\n"
        "read = images.open_gray\n"
        "images.open_gray = lambda path, *bits: (time.sleep(0.05), read(path, *bits))[1]\n"
        "preprocessing = Preprocessing(40, 32)\n"
        f"build_cache({str(originals.images)!r}, {originals.names!r}, {str(originals.cache)!r}, preprocessing, 1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    manifest = originals.cache / MANIFEST
    while not (manifest.exists() and manifest.read_bytes().count(b"\n") > 3):
        assert process.poll() is None
        time.sleep(0.005)
    with pytest.raises(InputError, match="another process is writing"):
        originals.build()
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(originals.open())
    assert 3 <= kept < 9
    assert counts(originals.build()) == (9 - kept, kept, 0, 0)
    originals.assert_cached()


def test_an_interrupted_build_keeps_the_written_images(originals, monkeypatch):
    monkeypatch.setattr(building, "FLUSH_BYTES", 1)

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        originals.build(progress=interrupt)
    assert counts(originals.build()) == (5, 4, 0, 0)


def test_a_full_disk_is_an_error_and_the_next_build_resumes(originals, monkeypatch):
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files")
    monkeypatch.setattr(building, "FLUSH_BYTES", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError, match=r"cache: .*: File too large"):
            originals.build()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = len(originals.open())
    assert 0 < kept < 9
    assert counts(originals.build()) == (9 - kept, kept, 0, 0)
    originals.assert_cached()


def test_two_processes_cannot_build_the_same_cache(originals):
    with exclusive_lock(originals.cache), pytest.raises(InputError, match=r"cache: another process is writing"):
        originals.build()
    originals.build()
