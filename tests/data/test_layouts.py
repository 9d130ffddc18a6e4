"""Label files of known data sets: a small file in the layout of each, read by tools/prepare_lists.py."""

import gzip
import json

import pytest
from prepared_lists import prepare, rows

from chexnet.data.lists import read_classes
from chexnet.data.lists.layouts import LAYOUTS
from chexnet.labels import CLASS_NAMES

GOOGLE = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,OriginalImage[Width,"
    "Height],OriginalImagePixelSpacing[x,y],Fracture,Pneumothorax,Airspace opacity,Nodule or mass,Set Id\r\n"
)


def test_adjudicated_labels_of_google(tmp_path):
    """The header divides `OriginalImage[Width,Height]` in two columns; lines end in CRLF."""
    (tmp_path / "test.csv").write_bytes(
        f"{GOOGLE}00000013_008.png,No Finding,8,13,60,M,AP,3056,2544,0.139,0.139,NO,NO,YES,NO,test\r\n"
        "00000013_026.png,Cardiomegaly|Emphysema,26,13,57,M,AP,2500,2048,0.168,0.168,NO,YES,NO,NO,test\r\n".encode()
    )
    (tmp_path / "validation.csv.gz").write_bytes(
        gzip.compress(
            f"{GOOGLE}00000119_001.png,Atelectasis,1,119,56,M,AP,2500,2048,0.168,0.168,YES,NO,NO,YES,val".encode()
        )
    )
    code, lists = prepare(
        tmp_path, "--csv", tmp_path / "test.csv", tmp_path / "validation.csv.gz", "--layout", "google_four"
    )
    assert code == 0
    assert rows(lists["test"]) == {"00000013_008.png": "0010", "00000013_026.png": "1000"}
    assert rows(lists["val"]) == {"00000119_001.png": "0101"}
    assert lists["test"].patients.ids == ("00000013", "00000013")
    names = read_classes(tmp_path / "lists" / "classes.txt")
    assert names == ("Pneumothorax", "Nodule or mass", "Airspace opacity", "Fracture")


READERS = "Patient ID,Image ID,Reader ID,Fracture,Pneumothorax,Airspace opacity,Nodule/mass,Set ID"


def test_individual_readers_of_google(tmp_path, capsys):
    path = tmp_path / "four_findings_expert_labels_individual_readers.csv"
    lines = [
        "13,00000013_008.png,4295367682,NO,YES,YES,NO,test",
        "13,00000013_008.png,4295232296,NO,HEDGE,YES,HEDGE,test",
        "13,00000013_008.png,4323195249,NO,NO,YES,NO,test",
        "14,00000014_000.png,4295367682,YES,NO,NO,NO,val",
    ]
    path.write_text("\r\n".join([READERS, *lines]))
    flags = ("--csv", path, "--layout", "google_four_readers")
    assert prepare(tmp_path, *flags)[0] == 2
    assert "2: Pneumothorax is uncertain (-1)" in capsys.readouterr().err  # one HEDGE decides
    code, lists = prepare(tmp_path, *flags, "--uncertain", "ones")
    assert code == 0
    assert rows(lists["test"]) == {"00000013_008.png": "1010"}
    assert rows(lists["val"]) == {"00000014_000.png": "0001"}
    printed = capsys.readouterr().out
    assert "1 with 1, 1 with 3; merged by --readers majority" in printed
    assert "disagree on: Pneumothorax 1, Nodule/mass 1\n" in printed


def test_all_findings_of_google_have_the_classes_of_chestx_ray14(tmp_path):
    findings = [name.replace("_", " ") for name in CLASS_NAMES]
    header = ",".join(["Image ID", "Patient ID", "Reader ID", "Abnormal", *findings, "Other"])
    votes = [["1", *["NO"] * 14, "YES"], ["1", "YES", *["NO"] * 13, "NO"], ["0", "YES", *["NO"] * 13, "NO"]]
    lines = [",".join(["00029560_000.png", "29560", str(reader), *cells]) for reader, cells in enumerate(votes)]
    (tmp_path / "readers.csv").write_text("\n".join([header, *lines]))
    (tmp_path / "labels.csv").write_text(
        "\n".join(
            [header.replace("Reader ID,", ""), ",".join(["00029560_000.png", "29560", "NO", *["NO"] * 13, "YES", "NO"])]
        )
    )
    flags = ("--csv", tmp_path / "readers.csv", "--layout", "google_all_readers", "--split", "whole")
    assert rows(prepare(tmp_path, *flags)[1]["test"]) == {"00029560_000.png": "1" + "0" * 13}
    (tmp_path / "b").mkdir()
    flags = ("--csv", tmp_path / "labels.csv", "--layout", "google_all", "--split", "whole")
    assert rows(prepare(tmp_path / "b", *flags)[1]["test"]) == {"00029560_000.png": "0" * 13 + "1"}
    assert not (tmp_path / "b" / "lists" / "classes.txt").exists()


def test_nih_cxr_lt_is_divided_by_the_names_of_its_files(tmp_path):
    classes = list(LAYOUTS["nih_cxr_lt"].classes)
    columns = sorted(classes)
    for part, image in (
        ("train", "00000001_000.png"),
        ("balanced-val", "00000002_000.png"),
        ("test", "00000003_000.png"),
    ):
        cells = ["1" if name == "Tortuous Aorta" else "0" for name in columns]
        text = ",".join(["id", *columns, "subj_id"]) + "\n" + ",".join([image, *cells, image[:8].lstrip("0")])
        (tmp_path / f"nih-cxr-lt_single-label_{part}.csv").write_text(text + "\n")
    code, lists = prepare(tmp_path, "--csv", *sorted(tmp_path.glob("*.csv")), "--layout", "nih_cxr_lt")
    assert code == 0
    assert list(lists) == ["train", "val", "test"]
    assert len(classes) == 20
    row = lists["val"].labels[0].tolist()
    assert [classes[index] for index, label in enumerate(row) if label] == ["Tortuous Aorta"]


def test_rsna_has_a_row_per_box(tmp_path, capsys):
    path = tmp_path / "stage_2_train_labels.csv"
    path.write_text(
        "patientId,x,y,width,height,Target\n0004cfab,,,,,0\n0043,264.0,152.0,213.0,379.0,1\n0043,5,5,9,9,1\n"
    )
    flags = ("--csv", path, "--layout", "rsna")
    assert prepare(tmp_path, *flags, "--split", "random")[0] == 2
    assert "--each_image_a_patient" in capsys.readouterr().err
    assert prepare(tmp_path, *flags)[0] == 2
    assert "--split: missing" in capsys.readouterr().err
    code, lists = prepare(tmp_path, *flags, "--split", "whole")
    assert code == 0
    assert rows(lists["test"]) == {"0004cfab.dcm": "0", "0043.dcm": "1"}


def test_chestx_det(tmp_path, capsys):
    path = tmp_path / "ChestX_Det_train.json"
    square = [[1, 1], [9, 1], [9, 9]]
    entries = [
        {"file_name": "36199.png", "syms": [], "boxes": [], "polygons": []},
        {"file_name": "36302.png", "syms": ["Effusion"], "boxes": [[1, 1, 9, 9]], "polygons": [square]},
        {"file_name": "36303.png", "syms": ["Mass"] * 2, "boxes": [[1, 1, 9, 9]] * 2, "polygons": [square] * 2},
    ]
    path.write_text(json.dumps(entries))
    flags = ("--annotations", path, "--split", "whole")
    assert prepare(tmp_path, *flags)[0] == 2
    assert "no entry names 'Atelectasis'" in capsys.readouterr().err
    assert prepare(tmp_path, *flags, "--label_columns", "Mass,Mas")[0] == 2
    assert "'Mas'" in capsys.readouterr().err
    code, lists = prepare(tmp_path, *flags, "--label_columns", "Mass")
    assert code == 0
    assert rows(lists["test"]) == {"36199.png": "0", "36302.png": "0", "36303.png": "1"}
    assert "findings of no class, not used: Effusion" in capsys.readouterr().out


def test_image_labels_of_vindr_with_and_without_readers(tmp_path):
    findings = list(LAYOUTS["vindr"].classes)
    cells = dict.fromkeys(findings, "0")

    def line(image, reader, *present):
        row = {**cells, **dict.fromkeys(present, "1")}
        return ",".join([image, *([reader] if reader else []), *row.values(), "0", "0"])

    header = ",".join([*findings, "Pneumonia", "No finding"])
    train = [
        f"image_id,rad_id,{header}",
        line("a1", "R8", "Edema"),
        line("a1", "R9", "Edema", "ILD"),
        line("a1", "R10"),
    ]
    (tmp_path / "image_labels_train.csv").write_text("\n".join(train))
    (tmp_path / "image_labels_test.csv").write_text("\n".join([f"image_id,{header}", line("b2", "", "ILD")]))
    code, lists = prepare(tmp_path, "--csv", *sorted(tmp_path.glob("*.csv"), reverse=True), "--layout", "vindr")
    assert code == 0
    found = {name: row for listed in lists.values() for name, row in rows(listed).items()}
    assert {name: [findings[i] for i, label in enumerate(row) if label == "1"] for name, row in found.items()} == {
        "a1.dicom": ["Edema"],
        "b2.dicom": ["ILD"],
    }


@pytest.mark.parametrize(("rule", "labels"), [("any", "11"), ("majority", "01"), ("all", "00")])
def test_boxes_of_vindr_are_one_reading_per_reader(tmp_path, rule, labels):
    lines = [
        "a1,Aortic enlargement,0,R8,5,5,9,9",
        "a1,Nodule/Mass,8,R8,5,5,9,9",
        "a1,Nodule/Mass,8,R8,15,5,19,9",
        "a1,Nodule/Mass,8,R9,5,5,9,9",
        "a1,No finding,14,R10,,,,",
        "b2,No finding,14,R8,,,,",
    ]
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    (tmp_path / "train.csv").write_text("\n".join([header, *lines]))
    flags = ("--layout", "vindr_boxes", "--label_columns", "Aorta=Aortic enlargement,Nodule/Mass", "--readers", rule)
    _, lists = prepare(tmp_path, "--csv", tmp_path / "train.csv", *flags, "--split", "whole")
    assert rows(lists["test"]) == {"a1.dicom": labels, "b2.dicom": "00"}
