"""Data sets whose labels come from reports: PadChest, CheXpert and MIMIC-CXR, a small file in the layout of each."""

import gzip
import re

import pytest
from prepared_lists import prepare, rows

from chexnet.data.lists.layouts import LAYOUTS

PADCHEST = ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,Labels"


def padchest(folder, *lines):
    path = folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
    path.write_text("\n".join([PADCHEST, *lines]))
    return ("--csv", path, "--layout", "padchest", "--split", "whole")


def test_padchest_names_findings_in_a_python_list(tmp_path, capsys):
    flags = padchest(
        tmp_path,
        "0,1_a.png,0,20140915,2,83862,1953,M,PA,\"['pulmonary fibrosis', ' nodule', 'loc right']\"",
        "1,1_b.png,0,20140915,2,83862,1953,M,L,\"['nodule']\"",
        "2,2_a.png,7,20140916,3,90000,1960,F,AP,['normal']",
        "3,2_b.png,7,20140917,4,90000,1960,F,PA,",
    )
    assert prepare(tmp_path, *flags)[0] == 2
    assert "--label_columns" in capsys.readouterr().err
    code, lists = prepare(tmp_path, *flags, "--label_columns", "Fibrosis=pulmonary fibrosis,Nodule=nodule")
    assert code == 0
    assert rows(lists["test"]) == {"1_a.png": "11", "2_a.png": "00"}
    assert lists["test"].patients.ids == ("83862", "90000")
    printed = capsys.readouterr().out
    assert "1 of 4 rows left out by --where" in printed
    assert "1 rows without findings left out" in printed
    assert "not used: loc right 1, normal 1" in printed


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("\"['a', 3]\"", ":2: the findings are .* list of strings"),
        ("\"['a'\"", ":2: the findings are"),
        ('"[print(1)]"', ":2: the findings are"),
        ('"[' + "[" * 300 + ']"', ":2: the findings are"),
        ('"[' + "'a'," * 5000 + ']"', ":2: 20,002 characters of findings"),
        ("\"['edema']\"", r": class 'Nodule' stands for the finding 'nodule', .*; it names edema"),
    ],
)
def test_malformed_lists_of_findings_are_refused(tmp_path, capsys, cell, message):
    flags = padchest(tmp_path, f"0,1_a.png,0,20140915,2,83862,1953,M,PA,{cell}")
    assert prepare(tmp_path, *flags, "--label_columns", "Nodule=nodule")[0] == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert len(error) < 1000


CHEXPERT = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(LAYOUTS["chexpert"].classes)


def test_chexpert_leaves_lateral_films_out_and_has_its_own_validation_split(tmp_path, capsys):
    blank = "," * 13

    def line(part, patient, view, first):
        path = f"CheXpert-v1.0-small/{part}/patient{patient}/study1/view1_{view.lower()}.jpg"
        return f"{path},Female,68,{view},{'AP' if view == 'Frontal' else ''},{first}{blank}"

    train = [line("train", "00001", "Frontal", "1.0"), line("train", "00001", "Lateral", "1.0")]
    (tmp_path / "train.csv").write_text("\n".join([CHEXPERT, *train, line("train", "00002", "Frontal", "-1.0")]))
    (tmp_path / "valid.csv").write_text("\n".join([CHEXPERT, line("valid", "64541", "Frontal", "0.0")]))
    flags = ("--csv", tmp_path / "train.csv", tmp_path / "valid.csv", "--layout", "chexpert", "--uncertain", "zeros")
    code, lists = prepare(tmp_path, *flags)
    assert code == 0
    assert {part: [name.split("/")[2] for name in listed.names] for part, listed in lists.items()} == {
        "train": ["patient00001", "patient00002"],
        "val": ["patient64541"],
    }
    assert lists["train"].labels[:, 0].tolist() == [1, 0]
    assert lists["train"].patients.ids == ("patient00001", "patient00002")
    assert "1 of 4 rows left out by --where" in capsys.readouterr().out


def mimic(folder):
    """Write the three files of MIMIC-CXR-JPG: an image per line, twice, and a study per line."""
    labels = list(LAYOUTS["mimic_cxr"].classes)
    images = [
        ("02aa804e", "10000032", "50414267", "PA", "train"),
        ("174413ec", "10000032", "50414267", "LATERAL", "train"),
        ("2a2277a9", "10000032", "53189527", "AP", "train"),
        ("68b5c4b1", "19999987", "55368167", "AP", "validate"),
        ("f2b4a9c8", "11111111", "50000001", "PA", "test"),
        ("aaaaaaaa", "12222222", "50000002", "PA", "test"),  # its study has no labels
    ]
    metadata = ["dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns"]
    metadata += [
        f'{image},{subject},{study},"CHEST (PA, LAT)",{view},2544,3056' for image, subject, study, view, _ in images
    ]
    (folder / "mimic-cxr-2.0.0-metadata.csv").write_text("\n".join(metadata))
    split = ["dicom_id,study_id,subject_id,split"]
    split += [f"{image},{study},{subject},{part}" for image, subject, study, _, part in reversed(images)]
    (folder / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(gzip.compress("\n".join(split).encode()))
    chexpert = [",".join(["subject_id", "study_id", *sorted(labels)])]
    for subject, study, present in (
        ("10000032", "50414267", "Edema"),
        ("10000032", "53189527", "No Finding"),
        ("19999987", "55368167", "Pneumonia"),
        ("11111111", "50000001", "Edema"),
    ):
        chexpert.append(",".join([subject, study, *("1.0" if name == present else "" for name in sorted(labels))]))
    (folder / "mimic-cxr-2.0.0-chexpert.csv").write_text("\n".join(chexpert))
    return [folder / f"mimic-cxr-2.0.0-{name}" for name in ("metadata.csv", "split.csv.gz", "chexpert.csv")]


def test_mimic_joins_three_files_by_their_common_columns(tmp_path, capsys):
    code, lists = prepare(tmp_path, "--csv", *mimic(tmp_path), "--layout", "mimic_cxr")
    assert code == 0
    labels = list(LAYOUTS["mimic_cxr"].classes)
    found = {
        part: {name: [labels[i] for i, label in enumerate(row) if label == "1"] for name, row in rows(listed).items()}
        for part, listed in lists.items()
    }
    assert found == {
        "train": {
            "files/p10/p10000032/s50414267/02aa804e.jpg": ["Edema"],
            "files/p10/p10000032/s53189527/2a2277a9.jpg": ["No Finding"],
        },
        "val": {"files/p19/p19999987/s55368167/68b5c4b1.jpg": ["Pneumonia"]},
        "test": {"files/p11/p11111111/s50000001/f2b4a9c8.jpg": ["Edema"]},
    }
    assert lists["train"].patients.ids == ("p10000032", "p10000032")
    printed = capsys.readouterr().out
    assert "split.csv.gz: joined by dicom_id, subject_id, study_id" in printed.replace(
        "study_id, subject_id", "subject_id, study_id"
    )
    assert "chexpert.csv: joined by subject_id, study_id" in printed
    assert "1 of 6 rows of" in printed
    assert "1 of 5 rows left out by --where" in printed
