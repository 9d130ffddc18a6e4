"""NIH's label file and other CSVs."""

import csv
import gzip

import numpy as np
import pytest
from label_files import HEADER_2020, label_file, nih_row, some_patients

from chexnet.data.lists import read_classes, read_csv, read_nih
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES

GOOD = nih_row("00000001_000.png", "Mass|Pleural_Thickening")


@pytest.mark.parametrize("release", [2017, 2020])
def test_both_releases_of_nih_are_read(tmp_path, release):
    images = some_patients(30)
    path = label_file(tmp_path / "labels.csv", images, release)
    table = read_nih(path)
    assert table.names == tuple(images)
    assert table.classes == CLASS_NAMES
    assert table.patients == tuple(name[:8] for name in images)
    assert table.labels.dtype == np.uint8
    # Compare with the csv module's dictionaries, cell by cell.
    with path.open() as file:
        for labels, cells in zip(table.labels, csv.DictReader(file), strict=True):
            assert [name in cells["Finding Labels"].split("|") for name in CLASS_NAMES] == labels.tolist()


def test_a_compressed_label_file_with_other_columns_in_another_order_is_read(tmp_path):
    path = tmp_path / "labels.csv.gz"
    path.write_bytes(gzip.compress(b"Patient ID,new,Image Index,Finding Labels\r\n7,,00000007_001.png,Hernia\r\n"))
    table = read_nih(path)
    assert (table.names, table.patients) == (("00000007_001.png",), ("00000007",))
    assert table.labels[0].nonzero()[0].tolist() == [13]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv:1: 0 columns 'Image Index'"),
        (HEADER_2020, r"labels\.csv: no images"),
        (HEADER_2020.replace("Patient ID", "Patient"), r"labels\.csv:1: 0 columns 'Patient ID'"),
        (f"Image Index,{HEADER_2020}\n{GOOD}", r"labels\.csv:1: 2 columns 'Image Index'"),
        (f"{HEADER_2020}\n{GOOD}\n{GOOD},9", r"labels\.csv:3: 12 columns, expected 11"),
        (f"{HEADER_2020}\n{GOOD}\n00000002_000.png,Mass", r"labels\.csv:3: 2 columns, expected 11"),
        (f"{HEADER_2020}\n{GOOD}\n\n{GOOD}", r"labels\.csv:4: '00000001_000\.png' .* line 2,"),
        (f"{HEADER_2020}\n{GOOD.replace('Mass', 'Mas')}", r"labels\.csv:2: .*'Mas\|Pleural_Thickening'"),
        (f"{HEADER_2020}\n{GOOD.replace('Mass', 'No Finding')}", r"labels\.csv:2: .*'No Finding\|"),
        (f"{HEADER_2020}\n{nih_row('00000001_000.png', 'Mass|Mass')}", r"labels\.csv:2: .*'Mass\|Mass'"),
        (f"{HEADER_2020}\n{nih_row('00000001_000.png', '')}", r"labels\.csv:2: .*''"),
        (f"{HEADER_2020}\n{GOOD.replace(',1,58', ',2,58')}", r"labels\.csv:2: '00000001_000\.png' has patient '2'"),
        (f"{HEADER_2020}\n{GOOD.replace('00000001', '../00000001')}", r"labels\.csv:2: '\.\./00000001_000\.png' "),
        (f"{HEADER_2020}\n{GOOD.replace('_000.png', ' 1')}", r"labels\.csv:2: .*'00000001 1'"),
        (f"{HEADER_2020}\n{GOOD.replace(',1,58', ',,58')}", r"labels\.csv:2: .*'Patient ID' is empty"),
        (f'{HEADER_2020}\n"{GOOD}', r"labels\.csv:2: not a CSV file"),
    ],
)
def test_a_malformed_label_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_nih(path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(InputError, match=r"labels\.csv: .*PNG image"):
        read_nih(path)


def a_csv(folder, *lines):
    path = folder / "other.csv"
    path.write_text("\n".join(("Path,Sex,Edema,Pleural Effusion,Who", *lines)))
    return path


CHEXPERT = (
    "train/patient00001/study1/view1.jpg,F,1.0,,a",
    "train/patient00001/study2/view1.jpg,F,-1.0,0.0,a",
    "train/patient00002/study1/view1.jpg,M,0.0,-1.0,b",
    "train/patient00003/study1/view1.jpg,M,,1,b",
)


@pytest.mark.parametrize(
    ("uncertain", "rows", "labels"),
    [
        ("zeros", [0, 1, 2, 3], [[1, 0], [0, 0], [0, 0], [0, 1]]),
        ("ones", [0, 1, 2, 3], [[1, 0], [1, 0], [0, 1], [0, 1]]),
        ("drop", [0, 3], [[1, 0], [0, 1]]),
    ],
)
def test_uncertain_labels_are_replaced_or_dropped(tmp_path, uncertain, rows, labels):
    table = read_csv(a_csv(tmp_path, *CHEXPERT), "Path", ["Edema", "Pleural Effusion"], uncertain=uncertain)
    assert table.labels.tolist() == labels
    assert table.names == tuple(CHEXPERT[row].partition(",")[0] for row in rows)
    assert table.patients == tuple(f"patient0000{(1, 1, 2, 3)[row]}" for row in rows)
    assert (table.uncertain, table.dropped) == ((1, 1), 4 - len(rows))


def test_columns_have_the_requested_order_and_patients_their_column(tmp_path):
    table = read_csv(a_csv(tmp_path, CHEXPERT[0], CHEXPERT[3]), "Path", ["Pleural Effusion", "Edema"], "Who")
    assert table.classes == ("Pleural Effusion", "Edema")
    assert table.labels.tolist() == [[0, 1], [1, 0]]
    assert table.patients == ("a", "b")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png,F,-1,0,a", r"other\.csv:2: Edema is uncertain \(-1\).* --uncertain"),
        ("a.png,F,0,2,a", r"other\.csv:2: Pleural Effusion is '2', expected 0, 1, -1"),
        ("a.png,F,0,nan,a", r"other\.csv:2: Pleural Effusion is 'nan'"),
        ('a.png,"F\nor M",0,0,a\n\nb.png,F,2,0,a', r"other\.csv:5: Edema is '2'"),
        ("a.png,F,0,0,", r"other\.csv:2: .*'Who' is empty"),
        (",F,0,0,a", r"other\.csv:2: the image name is ''"),
        ("a.png,F,0,0,a\na.png,F,1,0,a", r"other\.csv:3: 'a\.png' .* line 2,"),
    ],
)
def test_a_malformed_csv_is_refused_with_its_line(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_csv(a_csv(tmp_path, line), "Path", ["Edema", "Pleural Effusion"], "Who")


@pytest.mark.parametrize("values", [("True", "False"), ("YES", "no"), ("1.0", "0.0"), ("Positive", "negative")])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_labels_as_words_and_other_delimiters_are_read(tmp_path, values, delimiter):
    rows = [("", "File", "Edema"), ("0", "a b.png", values[0]), ("1", "x\\\\c.png", values[1]), ("2", "d.png", "")]
    path = tmp_path / "other.csv"
    path.write_text("\r\n".join(delimiter.join(row) for row in rows))
    table = read_csv(path, "file", ["Edema"])
    assert table.names == ("a b.png", "x/c.png", "d.png")
    assert table.labels.tolist() == [[1], [0], [0]]
    assert (table.patients, table.blank) == ((None,) * 3, (1,))


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
@pytest.mark.filterwarnings("ignore::chexnet.errors.InputWarning")
def test_columns_are_found_in_the_encodings_of_excel(tmp_path, encoding):
    path = tmp_path / "other.csv"
    path.write_bytes("文件,肺水肿\r\n000.png,0\r\n001.png,1\r\n".encode(encoding))
    assert read_csv(path, "文件", ["肺水肿"]).labels.tolist() == [[0], [1]]


@pytest.mark.parametrize("value", [str(10**400), "9" * 10**5, "1e400", "inf", "0.5", "1,0", "ja", "?"])
def test_other_labels_are_refused_in_one_short_line(tmp_path, value):
    path = tmp_path / "other.csv"
    path.write_text(f'Path,Edema\na.png,"{value}"\n')
    with pytest.raises(InputError, match=r"other\.csv:2: Edema is '") as caught:
        read_csv(path, "Path", ["Edema"])
    assert len(str(caught.value)) < 400


def test_invalid_label_columns_are_refused(tmp_path):
    path = a_csv(tmp_path, *CHEXPERT)
    with pytest.raises(InputError, match="--label_columns: class 1 is "):
        read_csv(path, "Path", ["\udcff"])
    with pytest.raises(InputError, match="--label_columns: class 2 is 'Edema'"):
        read_csv(path, "Path", ["Edema", "Edema"])
    with pytest.raises(InputError, match=r"0 columns 'Fracture'.* Path, Sex"):
        read_csv(path, "Path", ["Fracture"])


def test_a_csv_without_images_after_dropping_uncertain_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"other\.csv: .*--uncertain drop"):
        read_csv(a_csv(tmp_path, "a.png,F,-1,0,a"), "Path", ["Edema"], uncertain="drop")


def test_class_names_are_read_and_checked(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("Edema\nPleural Effusion\n\n")
    assert read_classes(path) == ("Edema", "Pleural Effusion")
    for text, line in (("", 1), ("a\n\nb\n", 2), ("a\nb\na\n", 3)):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"classes\.txt:{line}: the class is "):
            read_classes(path)


@pytest.mark.real_data
def test_all_of_nih_is_read(nih_metadata):
    table = read_nih(nih_metadata / "Data_Entry_2017_v2020.csv.gz")
    assert (len(table), len(set(table.patients))) == (112_120, 30_805)
    assert table.labels.sum(axis=0)[[0, 3, 6, 13]].tolist() == [11559, 19894, 1431, 227]
    assert table.labels.any(axis=1).sum() == 112_120 - 60_361
