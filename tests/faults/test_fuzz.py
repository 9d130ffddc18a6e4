"""Randomly damaged data: each file is read, or refused with an error that names the problem."""

import gzip
import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from label_files import HEADER_2017, nih_row
from PIL import Image

from chexnet.data import images
from chexnet.data.cache import ImageCache, build_cache
from chexnet.data.download import unpack
from chexnet.data.lists import format_list, read_csv, read_list, read_nih
from chexnet.data.transforms import Preprocessing
from chexnet.model import checkpoint
from faults.fuzzing import Outcomes, damaged, tries

# Lists

GOOD_LIST = format_list([f"images_{n:03d}/{n:08d}_000.png" for n in range(4)], np.eye(4, 14, dtype=int)).encode()
LISTS = [GOOD_LIST, GOOD_LIST.replace(b"\n", b"\r\n"), "\ufeff".encode() + GOOD_LIST.replace(b" ", b"\t")]


def test_list_files(tmp_path, tally):
    outcomes = Outcomes(tally, "damaged list files")
    path = tmp_path / "list.txt"

    @tries(ci=80, full=2500)
    @given(
        st.binary(max_size=80)
        | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
        | damaged(LISTS)
    )
    def check(data):
        path.write_bytes(data)
        found = outcomes.attempt(lambda: read_list(path))
        if found is not None:
            assert found.labels.shape == (len(found), 14)
            assert set(np.unique(found.labels)) <= {0, 1}
            assert len(set(found.names)) == len(found)
            inside = (tmp_path / "images").resolve()
            assert all((inside / name).resolve().is_relative_to(inside) for name in found.names if "\0" not in name)

    check()
    outcomes.close()


# Label files

GOOD_TABLE = "\n".join(
    [
        HEADER_2017,
        *(nih_row(f"{n:08d}_000.png", "Mass|Hernia" if n % 2 else "No Finding", release=2017) for n in range(1, 5)),
    ]
).encode()
GOOD_CSV = b'Path,"Edema",Fracture,Who\na/b.jpg,1.0,,x\n"c.jpg",0,-1,y\nd.jpg,-1.0,0.0,z\n'


@pytest.mark.parametrize("kind", ["NIH", "other"])
def test_label_files(kind, tmp_path, tally):
    outcomes = Outcomes(tally, f"damaged label files, {kind}")
    path, copy = tmp_path / "labels.csv", tmp_path / "list.txt"
    nih = kind == "NIH"
    originals = [GOOD_TABLE, GOOD_TABLE.replace(b"\n", b"\r\n")] if nih else [GOOD_CSV, b"\xef\xbb\xbf" + GOOD_CSV]

    @tries(ci=100, full=3000)
    @given(st.binary(max_size=60) | damaged(originals))
    @example(b'"' * 200_000)
    @example((GOOD_TABLE if nih else GOOD_CSV) + b"x" * 200_000)
    def check(data):
        path.write_bytes(data)
        columns = (path, "Path", ["Edema", "Fracture"], "Who", "drop")
        table = outcomes.attempt(lambda: read_nih(path) if nih else read_csv(*columns))
        if table is not None:
            assert len(table.names) == len(table.patients) == len(table.labels) > 0
            copy.write_text(format_list(table.names, table.labels), encoding="utf-8")
            again = read_list(copy, len(table.classes))  # the labels can be written and read again
            assert again.names == table.names
            np.testing.assert_array_equal(again.labels, table.labels)

    check()
    outcomes.close()


def test_packed_label_files(tmp_path, tally):
    outcomes = Outcomes(tally, "damaged packed label files")
    path = tmp_path / "labels.csv.gz"

    @tries(ci=50, full=1500)
    @given(damaged([gzip.compress(GOOD_TABLE, mtime=0)]))
    def check(data):
        path.write_bytes(data)
        outcomes.attempt(lambda: read_nih(path))

    check()
    outcomes.close()


# Archives


def test_archives(tmp_path, tally):
    outcomes = Outcomes(tally, "damaged archives")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("images/a.png", "images/b.png"):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"x" * 700))
    path, out = tmp_path / "deep" / "a.tar.gz", tmp_path / "deep" / "out"
    path.parent.mkdir()

    @tries(ci=50, full=1500)
    @given(damaged([file.getvalue()]))
    def check(data):
        path.write_bytes(gzip.compress(data, 1))
        shutil.rmtree(out, ignore_errors=True)
        outcomes.attempt(lambda: unpack(path, out, lambda *_: None))
        assert {entry.name for entry in tmp_path.iterdir()} == {"deep"}
        assert {entry.name for entry in path.parent.iterdir()} <= {"a.tar.gz", "out"}

    check()
    outcomes.close()


# JSON metadata files

GOOD_METADATA = json.dumps(
    {"backbone": "densenet121", "resize": 256, "crop": 224, "classes": ["a"], "x": [1.5, None]}
).encode()


def test_metadata_files(tmp_path, tally):
    outcomes = Outcomes(tally, "damaged JSON metadata files")
    path = tmp_path / "model.json"

    @tries(ci=50, full=1500)
    @given(st.binary(max_size=40) | damaged([GOOD_METADATA]))
    @example(b"[" * 200_000)
    @example(b'{"a": ' + b"9" * 5000 + b"}")
    def check(data):
        path.write_bytes(data)
        assert isinstance(outcomes.attempt(lambda: checkpoint.read_metadata_file(path)), dict | None)

    check()
    outcomes.close()


# Images


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


GRAY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (18, 20), dtype=np.uint8))
DEEP = Image.fromarray(np.asarray(GRAY).astype(np.uint16) * 257)
IMAGES = {
    "PNG": [
        encoded(GRAY, "PNG"),
        encoded(DEEP, "PNG"),
        encoded(GRAY.convert("RGBA"), "PNG"),
        encoded(GRAY.convert("P"), "PNG"),
    ],
    "JPEG": [encoded(GRAY, "JPEG"), encoded(GRAY.convert("RGB"), "JPEG", progressive=True)],
    "TIFF": [encoded(GRAY, "TIFF", compression=method) for method in (None, "tiff_lzw", "tiff_deflate")]
    + [encoded(DEEP, "TIFF")],
    "GIF": [encoded(GRAY, "GIF"), encoded(GRAY.convert("P"), "GIF", save_all=True, append_images=[GRAY.rotate(90)])],
    "WEBP": [encoded(GRAY.convert("RGB"), "WEBP"), encoded(GRAY.convert("RGB"), "WEBP", lossless=True)],
    "JPEG2000": [encoded(GRAY, "JPEG2000")],
    "PPM": [encoded(GRAY, "PPM"), encoded(DEEP, "PPM")],
    "BMP": [encoded(GRAY, "BMP"), encoded(GRAY.convert("RGB"), "BMP"), encoded(GRAY.convert("1"), "BMP")],
}


@pytest.mark.filterwarnings("ignore")  # Pillow warns about damage that it can repair
@pytest.mark.parametrize("kind", IMAGES)
def test_images(kind, tmp_path, tally):
    outcomes = Outcomes(tally, f"damaged {kind} files")
    path = tmp_path / "image"

    @tries(ci=40, full=800)
    @given(damaged(IMAGES[kind]))
    def check(data):
        path.write_bytes(data)
        image = outcomes.attempt(lambda: images.open_gray(path))
        assert image is None or (image.mode == "L" and min(image.size) >= images.MIN_SIDE)

    check()
    outcomes.close()


# Image caches


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_image_caches(tmp_path, tally):
    names = [f"{n}.png" for n in range(4)]
    for name in names:
        GRAY.save(tmp_path / name)
    preprocessing, folder = Preprocessing(20, 16), tmp_path / "cache"
    build_cache(tmp_path, names, folder, preprocessing, workers=1)
    manifest = folder / "manifest.txt"
    header, _, lines = manifest.read_bytes().partition(b"\n")
    outcomes = Outcomes(tally, "damaged manifests of image caches")

    def use() -> ImageCache:
        cache = ImageCache(folder, preprocessing)
        for row in cache.rows(names, "list.txt", tmp_path):
            assert min(cache.image(row).shape) == 20
        cache.find_damaged()
        return cache

    @tries(ci=60, full=1500)
    @given(
        damaged([lines]).map(lambda data: header + b"\n" + data)
        | damaged([header + b"\n" + lines])
        | st.binary(max_size=40)
    )
    @example(b"[" * 200_000 + b"\n")
    def check(data):
        manifest.write_bytes(data)
        outcomes.attempt(use)

    check()
    outcomes.close()
