import os
from collections import Counter

import numpy as np
import pytest
from conftest import write_png
from dicom_files import TWELVE, dataset, save, save_bare, scale_full_range
from pydicom import uid

from chexnet.data import images
from chexnet.data.images import image_folders
from chexnet.data.images.image_folders import MAX_KINDS, find_images, format_counts
from chexnet.errors import InputError


def found_names(*names) -> list[str]:
    return [str(path) for path in find_images(map(str, names))]


def test_a_folder_yields_all_images_below_it_sorted(tmp_path):
    for name in ("b/z.PNG", "b/c/a.jpg", "a.tif", "c.png", "b/IM1.dcm"):
        write_png(tmp_path / "x.png")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x.png").rename(tmp_path / name)
    for name in ("labels.csv", "b/README", ".hidden.png", "b/.cache/x.png", "x.png.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    expected = ["a.tif", "b/IM1.dcm", "b/c/a.jpg", "b/z.PNG", "c.png"]
    assert found_names(tmp_path) == [str(tmp_path / name) for name in expected]


def test_dicom_is_found_with_any_suffix(tmp_path):
    pixels = images.read(write(tmp_path / "x.png"))
    (tmp_path / "x.png").unlink()
    for name in ("IM000001", "1.2.840.113619"):
        save(dataset(pixels), tmp_path / name)
    (tmp_path / "1.2.txt").write_bytes(bytes(128) + b"DICT")
    assert found_names(tmp_path) == [str(tmp_path / name) for name in ("1.2.840.113619", "IM000001")]


def test_files_are_not_checked_and_the_order_of_names_is_kept(tmp_path):
    write_png(tmp_path / "f/b.png")
    write_png(tmp_path / "f/a.png")
    (tmp_path / "notes.txt").write_text("no image")
    names = [tmp_path / "notes.txt", tmp_path / "f", tmp_path / "none.png", tmp_path / "f/b.png"]
    assert found_names(*names) == [
        str(path) for path in (names[0], tmp_path / "f/a.png", tmp_path / "f/b.png", *names[2:])
    ]


def test_a_folder_without_images_yields_an_error_and_the_others_are_found(tmp_path):
    (tmp_path / "empty").mkdir()
    write_png(tmp_path / "x.png")
    first, second = find_images([str(tmp_path / "empty"), str(tmp_path / "x.png")])
    assert isinstance(first, InputError)
    assert str(first).startswith(f"{tmp_path / 'empty'}: a folder without images")
    assert "DICOM" in str(first)
    assert ".png" in str(first)
    assert second == tmp_path / "x.png"


def test_a_pipe_in_a_folder_is_skipped(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    write_png(tmp_path / "x.png")
    assert found_names(tmp_path) == [str(tmp_path / "x.png")]


def test_skipped_files_are_counted_by_kind(tmp_path):
    write_png(tmp_path / "x.png")
    for name in ("a.txt", "b.TXT", "README", "odd.\x1b[31m", "autorun.inf"):
        (tmp_path / name).write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "round").symlink_to(tmp_path)
    skipped = Counter()
    assert list(find_images([str(tmp_path)], skipped)) == [tmp_path / "x.png"]
    expected = {".txt": 2, "without a known suffix": 2, ".inf": 1, "pipe or device": 1, "link to a folder": 1}
    assert skipped == expected
    assert format_counts(skipped).startswith(".txt (2), without a known suffix (2), ")


def test_the_number_of_listed_kinds_is_limited(tmp_path):
    skipped = Counter({f".{number}": 100 - number for number in range(60)})
    assert format_counts(skipped).count("(") == MAX_KINDS + 1
    assert format_counts(skipped).endswith(f"others ({sum(100 - number for number in range(MAX_KINDS, 60)):,})")


def test_images_on_a_dicom_cd_are_found_and_other_files_are_counted(tmp_path):
    """DICOMDIR, reports and presentation states have file names like those of images."""
    pixels = np.add.outer(np.arange(20), np.arange(30)).astype(np.uint16)
    (tmp_path / "DICOM").mkdir()
    for name in ("IM0", "IM1.dcm"):
        save(dataset(pixels), tmp_path / "DICOM" / name)
    kinds = {
        "DICOMDIR": uid.MediaStorageDirectoryStorage,
        "DICOM/SR0": uid.BasicTextSRStorage,
        "DICOM/SR1.dcm": uid.ComprehensiveSRStorage,
        "DICOM/PR0": uid.GrayscaleSoftcopyPresentationStateStorage,
        "DICOM/KO0": uid.KeyObjectSelectionDocumentStorage,
        "DICOM/PDF": uid.EncapsulatedPDFStorage,
    }
    for name, kind in kinds.items():
        other = dataset(pixels)
        del other.PixelData, other.Rows, other.Columns
        other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = kind
        save(other, tmp_path / name)
    skipped = Counter()
    names = [tmp_path / "DICOM" / name for name in ("IM0", "IM1.dcm")]
    assert list(find_images([str(tmp_path)], skipped)) == names
    assert skipped == {
        "DICOMDIR": 1,
        "DICOM structured report": 2,
        "DICOM presentation state": 1,
        "DICOM key object selection": 1,
        "DICOM encapsulated document": 1,
    }
    only = tmp_path / "only"
    only.mkdir()
    (tmp_path / "DICOMDIR").rename(only / "DICOMDIR")
    (error,) = find_images([str(only)])
    assert str(error).endswith("DICOMDIR (1)")


def test_a_folder_of_many_files_is_listed_in_parts_in_the_same_order(tmp_path, monkeypatch):
    names = ["b.png", "B.png", "a b.png", "a/z.png", "a/b/x.png", "a/b.png", "a.png", "é.png", "10.png", "9.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    expected = sorted(tmp_path / name for name in names)
    for limit in (1, 2, 3, 7, 100):
        monkeypatch.setattr(image_folders, "MAX_NAMES", limit)
        assert list(find_images([str(tmp_path)])) == expected


def test_images_are_found_while_they_are_used(tmp_path, monkeypatch):
    for name in ("a/x.png", "b/x.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    found = find_images([str(tmp_path)])
    assert next(found) == tmp_path / "a/x.png"
    (tmp_path / "b/y.png").write_bytes(b"")
    assert list(found) == [tmp_path / "b/x.png", tmp_path / "b/y.png"]


BARE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)


@pytest.mark.parametrize("keep_meta", [True, False])
@pytest.mark.parametrize("syntax", BARE, ids=lambda syntax: syntax.name)
def test_dicom_without_a_preamble_is_found(syntax, keep_meta, tmp_path):
    save_bare(dataset(TWELVE, syntax), tmp_path / "IM0", keep_meta)
    assert found_names(tmp_path) == [str(tmp_path / "IM0")]
    np.testing.assert_array_equal(images.read(tmp_path / "IM0"), scale_full_range(TWELVE))


@pytest.mark.parametrize("start", [b"\x08\0", b"\x08\0\x05\0CS", b"\x08\0\x16\0UI\x1a\0", b"\0\x08\0\x05", b"\2\0"])
@pytest.mark.parametrize("rest", [bytes(range(200)), bytes(9000), b"\xff" * 9000, b"text, nothing else " * 9])
def test_files_that_only_begin_like_dicom_are_skipped(start, rest, tmp_path):
    (tmp_path / "x").write_bytes(start + rest)
    write_png(tmp_path / "y.png")
    assert found_names(tmp_path) == [str(tmp_path / "y.png")]


def test_a_broken_link_is_an_error_and_links_to_images_are_followed(tmp_path):
    write_png(tmp_path / "x.png")
    (tmp_path / "y.png").symlink_to(tmp_path / "x.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    gone, loop, *rest = find_images([str(tmp_path)])
    assert str(gone).startswith(f"{tmp_path / 'gone.png'}: ")
    assert str(gone).endswith(str(tmp_path / "nothing.png"))
    assert isinstance(loop, InputError)
    assert str(loop).startswith(f"{tmp_path / 'loop'}: ")
    assert rest == [tmp_path / "x.png", tmp_path / "y.png"]


def test_an_unreadable_folder_does_not_affect_the_others(tmp_path, monkeypatch):
    write_png(tmp_path / "a/x.png")
    write_png(tmp_path / "b/x.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    error, image = find_images([str(tmp_path)])
    assert str(error).startswith(f"{tmp_path / 'a'}: ")
    assert str(error).endswith("Permission denied")
    assert image == tmp_path / "b/x.png"


def write(path):
    write_png(path)
    return path
