import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import write_png
from hypothesis import given
from hypothesis import strategies as st

from chexnet.errors import InputError
from chexnet.lists import check_images, format_list, image_of, names_its_patient, patient_of, read_list

ZEROS = " ".join("0" * 14)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(labels=st.lists(st.lists(st.integers(0, 1), min_size=14, max_size=14), min_size=1, max_size=20))
def test_what_is_written_is_read(tmp_path_factory, labels):
    names = [f"{index:08d}_000.png" for index in range(len(labels))]
    path = written(tmp_path_factory.mktemp("lists"), format_list(names, np.array(labels)))
    read = read_list(path)
    assert read.names == tuple(names)
    assert read.labels.dtype == np.uint8
    np.testing.assert_array_equal(read.labels, labels)


@pytest.mark.parametrize("end", ["", "\n", "\n\n  \n"])
def test_white_space_between_columns_and_at_the_end_is_free(tmp_path, end):
    text = f"\ufeffa.png\t{ZEROS}\r\nb.png   1 {ZEROS[2:].replace(' ', '  ')}{end}"
    read = read_list(written(tmp_path, text))
    assert read.names == ("a.png", "b.png")
    assert read.labels.sum(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a.png {ZEROS}\nb.png 0 0\n", r"list\.txt:2: 2 labels after the name, expected 14"),
        (f"a.png {ZEROS}\n\nb.png {ZEROS}\n", r"list\.txt:2: 0 labels"),
        (f"a.png {ZEROS[:-1]}2\n", r"list\.txt:1: label 14 is '2', expected 0 or 1"),
        (f"a.png {ZEROS[:-1]}0.0\n", r"list\.txt:1: label 14 is '0\.0'"),
        (f"a.png {ZEROS}\nb.png {ZEROS}\na.png {ZEROS}\n", r"list\.txt:3: a\.png stands in line 1 already"),
        (f"../a.png {ZEROS}\n", r"list\.txt:1: '\.\./a\.png' is not a plain path"),
        (f"/etc/a.png {ZEROS}\n", r"list\.txt:1: '/etc/a\.png'"),
        ("\n \n", r"list\.txt: the list is empty"),
        (b"\x89PNG\r\n\x1a\n\xff", r"list\.txt: not a text file"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_list(written(tmp_path, text))


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt: the list file cannot be read"):
        read_list(tmp_path / "nowhere.txt")


def test_missing_images_are_counted_and_the_first_ten_named(tmp_path):
    names = [f"{index:02d}.png" for index in range(14)] + ["below/a.png", "below/b.png"]
    for name in ("00.png", "below/a.png"):
        write_png(tmp_path / "images" / name)
    image_list = read_list(written(tmp_path, format_list(names, np.zeros((16, 14), int))))
    with pytest.raises(InputError) as caught:
        check_images(image_list, tmp_path / "images")
    message = str(caught.value)
    assert "14 of 16 images are missing" in message
    assert "01.png (line 2)" in message
    assert "10.png (line 11), ..." in message
    assert "11.png" not in message
    with pytest.raises(InputError, match="no such image folder"):
        check_images(image_list, tmp_path / "elsewhere")


def test_images_in_folders_below_are_found(tmp_path):
    write_png(tmp_path / "images" / "images_001" / "a.png")
    image_list = read_list(written(tmp_path, f"images_001/a.png {ZEROS}"))
    check_images(image_list, tmp_path / "images")
    assert image_list.names == ("images_001/a.png",)


def test_a_packed_list_is_read_and_a_torn_one_refused(tmp_path):
    text = f"a.png {ZEROS}\nb.png {ZEROS}\n".encode()
    packed = tmp_path / "list.txt.gz"
    packed.write_bytes(gzip.compress(text))
    assert read_list(packed).names == read_list(written(tmp_path, text)).names == ("a.png", "b.png")
    for damaged in (gzip.compress(text)[:-12], text):
        packed.write_bytes(damaged)
        with pytest.raises(InputError, match=r"list\.txt\.gz: the list file cannot be read"):
            read_list(packed)


def test_the_number_of_labels_is_free_and_may_be_none(tmp_path):
    assert read_list(written(tmp_path, "a.png 1 0\nb.png 1 1\n"), n_classes=2).labels.tolist() == [[1, 0], [1, 1]]
    names = read_list(written(tmp_path, "a.png\nb.png\n"), n_classes=0)
    assert (names.names, names.labels.shape) == (("a.png", "b.png"), (2, 0))
    with pytest.raises(InputError, match=r"list\.txt:1: 1 labels after the name, expected 0: a name alone"):
        read_list(written(tmp_path, "a.png 1\n"), n_classes=0)


@pytest.mark.parametrize(
    ("name", "image", "patient"),
    [
        ("00000013_005.png", "00000013_005", "00000013"),
        ("images_001/images/00000013_005.dcm", "00000013_005", "00000013"),
        ("CheXpert-v1.0/valid/patient64541/study1/view1.jpg", None, "patient64541"),
        ("img_005.png", None, None),
        ("00000013_0005.png", None, None),
        ("patient1.png", None, None),
        ("00000013_005.png/a.png", None, None),
    ],
)
def test_a_name_says_which_image_it_is_and_whose(name, image, patient):
    assert image_of(name) == (image or name)
    assert patient_of(name) == (patient or name)
    assert names_its_patient(name) == (patient is not None)


@pytest.mark.real_data
def test_the_reference_test_list_has_its_known_counts():
    if "CHEXNET_METADATA" not in os.environ:
        pytest.skip("CHEXNET_METADATA is not set")
    packed = Path(os.environ["CHEXNET_METADATA"]).parent / "reference_lists" / "test_list.txt.gz"
    if not packed.exists():
        pytest.skip(f"{packed.name} is not beside CHEXNET_METADATA")
    image_list = read_list(packed)
    assert len(image_list) == 22433
    assert image_list.labels.sum(axis=0)[[0, 6, 13]].tolist() == [2420, 242, 42]
