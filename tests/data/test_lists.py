import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import write_png
from hypothesis import given
from hypothesis import strategies as st

from chexnet.data.lists import check_images, format_list, image_id, patient_id, read_classes, read_list
from chexnet.errors import InputError
from chexnet.labels import validate_class_names

ZEROS = " ".join("0" * 14)


def written(folder: Path, text: str | bytes) -> Path:
    """Write a list file and return its path."""
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(labels=st.lists(st.lists(st.integers(0, 1), min_size=14, max_size=14), min_size=1, max_size=20))
def test_a_formatted_list_is_read_back(tmp_path_factory, labels):
    names = [f"{index:08d}_000.png" for index in range(len(labels))]
    path = written(tmp_path_factory.mktemp("lists"), format_list(names, np.array(labels)))
    read = read_list(path)
    assert read.names == tuple(names)
    assert read.labels.dtype == np.uint8
    np.testing.assert_array_equal(read.labels, labels)


@pytest.mark.parametrize(
    ("line", "name", "labels"),
    [
        ("chest 1.png 0 1", "chest 1.png", [0, 1]),
        ("a  b c.png\t1 0", "a  b c.png", [1, 0]),
        ("a.png True no", "a.png", [1, 0]),
        ("a.png 0.0 1.000", "a.png", [0, 1]),
        ("train\\a b\\c.png YES FALSE", "train/a b/c.png", [1, 0]),
        ("./x//a.png 0 0", "x/a.png", [0, 0]),
        ("7 0 1", "7", [0, 1]),
    ],
)
def test_names_with_spaces_or_backslashes_and_labels_as_words_are_read(tmp_path, line, name, labels):
    read = read_list(written(tmp_path, f"{line}\nother.png 0 1\n"), n_classes=2)
    assert read.names == (name, "other.png")
    assert read.labels.tolist() == [labels, [0, 1]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "gbk"])
@pytest.mark.filterwarnings("ignore::chexnet.errors.InputWarning")
def test_a_list_in_another_encoding_is_read(tmp_path, encoding):
    assert read_list(written(tmp_path, f"肺.png {ZEROS}\r\n".encode(encoding))).names == ("肺.png",)


@pytest.mark.parametrize(
    "line",
    [
        "a" * 10**7,
        "a.png " + "0 " * 10**6,
        f"a.png {ZEROS[:-1]}{10**400}",
        f"a.png {ZEROS[:-1]}{'9' * 10**6}",
        f"a\0.png {ZEROS}",
        f"a\x1b[31m.png {ZEROS}",
        f"{'a/' * 10**5}../../b.png {ZEROS}",
        "0" * 10**6,
        f"a.png nan {ZEROS[2:]}",
    ],
    ids=["endless name", "endless labels", "10**400", "digits", "NUL", "escape", "deep", "no name", "nan"],
)
def test_malicious_lines_are_refused_with_a_short_message(tmp_path, line):
    with pytest.raises(InputError, match=r"list\.txt") as caught:
        read_list(written(tmp_path, f"good.png {ZEROS}\n{line}\n"))
    assert len(str(caught.value)) < 600


def test_checking_class_names_takes_linear_time(tmp_path, monkeypatch):
    """Comparisons are counted, because times vary."""

    class Counted(str):
        compared = 0
        __slots__ = ()

        def __eq__(self, other):
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    validate_class_names([Counted(f"finding {index}") for index in range(2000)])
    assert Counted.compared < 20_000
    (tmp_path / "classes.txt").write_text("".join(f"finding {index}\n" for index in range(100_000)))
    assert len(read_classes(tmp_path / "classes.txt")) == 100_000
    with pytest.raises(InputError, match="class 3 is 'a'"):
        validate_class_names(["a", "b", "a"])


@pytest.mark.parametrize("end", ["", "\n", "\n\n  \n"])
def test_any_white_space_between_columns_and_at_the_end_is_accepted(tmp_path, end):
    text = f"\ufeffa.png\t{ZEROS}\r\nb.png   1 {ZEROS[2:].replace(' ', '  ')}{end}"
    read = read_list(written(tmp_path, text))
    assert read.names == ("a.png", "b.png")
    assert read.labels.sum(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a.png {ZEROS}\nb.png 0 0\n", r"list\.txt:2: 2 labels .*expected 14"),
        (f"a.png {ZEROS}\n\nb.png {ZEROS}\n", r"list\.txt:2: 0 labels"),
        (f"a.png {ZEROS[:-1]}2\n", r"list\.txt:1: label 14 is '2'"),
        (f"a.png {ZEROS[:-1]}0.5\n", r"list\.txt:1: label 14 is '0\.5'"),
        (f"a.png {ZEROS[:-1]}-1\n", r"list\.txt:1: label 14 is uncertain, '-1'.*--uncertain"),
        (f"a.png {ZEROS} 0\n", r"list\.txt:1: 15 labels .*expected 14"),
        (f"a.png,{ZEROS.replace(' ', ',')}\n", r"list\.txt:1: 0 labels .*--csv"),
        ("C:/a.png " + ZEROS, r"list\.txt:1: 'C:/a\.png' "),
        ("..\\a.png " + ZEROS, r"list\.txt:1: '\.\.\\\\a\.png' "),
        (f"a.png {ZEROS}\n./a.png {ZEROS}\n", r"list\.txt:2: 'a\.png' .* line 1,"),
        (f"a.png {ZEROS}\nb.png {ZEROS}\na.png {ZEROS}\n", r"list\.txt:3: 'a\.png' .* line 1,"),
        (f"../a.png {ZEROS}\n", r"list\.txt:1: '\.\./a\.png' "),
        (f"/etc/a.png {ZEROS}\n", r"list\.txt:1: '/etc/a\.png'"),
        ("\n \n", r"list\.txt: .*empty"),
        (b"\x89PNG\r\n\x1a\n\xff", r"list\.txt: .*PNG image"),
        (b"a.png \xff\x00\x01", r"list\.txt: not a text file"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_list(written(tmp_path, text))


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt: "):
        read_list(tmp_path / "nowhere.txt")


def test_missing_images_are_counted_and_the_first_ten_named(tmp_path):
    names = [f"{index:02d}.png" for index in range(14)] + ["below/a.png", "below/b.png"]
    for name in ("00.png", "below/a.png"):
        write_png(tmp_path / "images" / name)
    image_list = read_list(written(tmp_path, format_list(names, np.zeros((16, 14), int))))
    with pytest.raises(InputError) as caught:
        check_images(image_list, tmp_path / "images")
    message = str(caught.value)
    assert "list.txt: 14 of 16 images" in message
    assert "01.png (line 2)" in message
    assert "10.png (line 11), ..." in message
    assert "11.png" not in message
    with pytest.raises(InputError, match="no such image folder"):
        check_images(image_list, tmp_path / "elsewhere")


def test_images_in_subfolders_are_found(tmp_path):
    write_png(tmp_path / "images" / "images_001" / "a.png")
    image_list = read_list(written(tmp_path, f"images_001/a.png {ZEROS}"))
    check_images(image_list, tmp_path / "images")
    assert image_list.names == ("images_001/a.png",)


def test_a_compressed_list_is_read_and_a_truncated_one_is_refused(tmp_path):
    text = f"a.png {ZEROS}\nb.png {ZEROS}\n".encode()
    packed = tmp_path / "list.txt.gz"
    packed.write_bytes(gzip.compress(text))
    assert read_list(packed).names == read_list(written(tmp_path, text)).names == ("a.png", "b.png")
    for damaged in (gzip.compress(text)[:-12], text):
        packed.write_bytes(damaged)
        with pytest.raises(InputError, match=r"list\.txt\.gz: "):
            read_list(packed)


def test_any_number_of_labels_is_accepted_including_none(tmp_path):
    assert read_list(written(tmp_path, "a.png 1 0\nb.png 1 1\n"), n_classes=2).labels.tolist() == [[1, 0], [1, 1]]
    names = read_list(written(tmp_path, "a.png\nb.png\n"), n_classes=0)
    assert (names.names, names.labels.shape) == (("a.png", "b.png"), (2, 0))
    with pytest.raises(InputError, match=r"list\.txt:1: 1 labels .*expected 0"):
        read_list(written(tmp_path, "a.png 1\n"), n_classes=0)


@pytest.mark.parametrize(
    ("name", "image", "patient"),
    [
        ("00000013_005.png", "00000013_005", "00000013"),
        ("images_001/images/00000013_005.dcm", "00000013_005", "00000013"),
        ("CheXpert-v1.0/valid/patient64541/study1/view1.jpg", None, "patient64541"),
        ("00000013_005", "00000013_005", "00000013"),
        ("CheXpert/patient64541_study1_view1_frontal.jpg", None, "patient64541"),
        ("files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg", None, "p10000032"),
        ("p10000032/s50414267.png", None, "p10000032"),
        ("sub-S03047/ses-E07985/mod-rx/sub-S03047_run-1.png", None, "sub-S03047"),
        ("20200413_001.png", None, None),
        ("00000013.png", None, None),
        ("img_005.png", None, None),
        ("00000013_0005.png", None, None),
        ("patient1.png", None, None),
        ("00000013_005.png/a.png", None, None),
    ],
)
def test_names_identify_image_and_patient(name, image, patient):
    assert image_id(name) == (image or name)
    assert patient_id(name) == patient


@pytest.mark.real_data
def test_the_reference_test_list_has_its_known_counts():
    if "CHEXNET_METADATA" not in os.environ:
        pytest.skip("CHEXNET_METADATA is not set")
    packed = Path(os.environ["CHEXNET_METADATA"]).parent / "reference_lists" / "test_list.txt.gz"
    if not packed.exists():
        pytest.skip(f"{packed.name} is not next to CHEXNET_METADATA")
    image_list = read_list(packed)
    assert len(image_list) == 22433
    assert image_list.labels.sum(axis=0)[[0, 6, 13]].tolist() == [2420, 242, 42]
