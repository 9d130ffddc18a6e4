"""The script tools/prepare_lists.py."""

import importlib.util
import re

import pytest
from conftest import ROOT
from label_files import label_file, some_patients

from chexnet.data.lists import read_list


def run(*flags):
    spec = importlib.util.spec_from_file_location("script_prepare_lists", ROOT / "tools/prepare_lists.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(flag) for flag in flags])


@pytest.fixture
def nih(tmp_path):
    """Write a label file and lists of names in one folder, as NIH publishes them."""
    images = some_patients(60)
    train_val = [name for name in images if name < "00000041"]
    (tmp_path / "train_val_list.txt").write_text("\n".join(train_val))
    (tmp_path / "test_list.txt").write_text("\n".join(name for name in images if name not in train_val))
    return label_file(tmp_path / "Data_Entry_2017.csv", images, release=2017)


def test_the_official_split_uses_the_lists_next_to_the_label_file(nih, tmp_path, capsys):
    out = tmp_path / "lists"
    assert run("--metadata", nih, "--split", "official", "--output_dir", out, "--val_fraction", "0.2") == 0
    printed = capsys.readouterr().out.splitlines()
    lists = {name: read_list(out / f"{name}_list.txt") for name in ("train", "val", "test")}
    counts = {line.split()[0]: line.split()[1:] for line in printed}
    assert counts["images"] == [str(len(listed)) for listed in lists.values()]
    assert counts["Atelectasis"] == [str(listed.labels[:, 0].sum()) for listed in lists.values()]
    assert [int(count) for count in counts["patients"]][2] == 20
    files = " ".join(str(out / f"{name}_list.txt") for name in lists)
    assert printed[-1] == f"Next: python tools/audit_split.py {files} --metadata {nih}"
    assert run("--metadata", nih, "--split", "random", "--output_dir", out) == 2
    assert "train_list.txt, val_list.txt, test_list.txt" in capsys.readouterr().err


def test_reference_and_clean_splits_are_written(nih, tmp_path):
    first = tmp_path / "random"
    assert run("--metadata", nih, "--split", "random", "--seed", "7", "--output_dir", first) == 0
    lists = [first / f"{name}_list.txt" for name in ("train", "val", "test")]
    assert run("--metadata", nih, "--split", "reference", "--reference", *lists, "--output_dir", tmp_path / "same") == 0
    for path in lists:
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes()
    assert run("--metadata", nih, "--split", "clean", "--reference", *lists, "--output_dir", tmp_path / "clean") == 0
    clean = read_list(tmp_path / "clean" / "test_list.txt").names
    assert set(clean) == set(read_list(lists[2]).names) & set((tmp_path / "test_list.txt").read_text().split())
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["test_list.txt"]


def test_a_csv_of_another_data_set_is_converted(tmp_path, capsys):
    path = tmp_path / "valid.csv"
    path.write_text("Path,Edema,Pleural Effusion\nvalid/patient1/a.jpg,1,-1\nvalid/patient2/b.jpg,,0\n")
    columns = ("--csv", path, "--image_column", "Path", "--label_columns", "Edema,Pleural Effusion")
    out = tmp_path / "lists"
    assert run(*columns, "--split", "whole", "--output_dir", out) == 2
    assert "valid.csv:2: Pleural Effusion is uncertain (-1)" in capsys.readouterr().err
    assert run(*columns, "--split", "whole", "--output_dir", out, "--uncertain", "ones") == 0
    assert (out / "test_list.txt").read_text() == "valid/patient1/a.jpg 1 1\nvalid/patient2/b.jpg 0 0\n"
    assert (out / "classes.txt").read_text() == "Edema\nPleural Effusion\n"
    printed = capsys.readouterr().out
    assert "Pleural Effusion: 1 uncertain, --uncertain ones" in printed
    assert printed.splitlines()[-1].endswith(f"test_list.txt --classes_file {out / 'classes.txt'}")
    assert run(*columns, "--split", "whole", "--output_dir", tmp_path / "fewer", "--uncertain", "drop") == 0
    assert "1 images with uncertain labels left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--metadata x --split random --uncertain ones", "--uncertain: .*--metadata and --split random"),
        ("--metadata x --split random --val_fraction 0.2", "--val_fraction: .*--split random"),
        ("--metadata x --split official --reference a b c", "--reference: .*--split official"),
        ("--metadata x --split clean", "--split clean: .*--reference TRAIN VAL TEST"),
        ("--csv x --split random --label_columns a", "--csv: .*--image_column and --label_columns"),
        ("--csv x --split official --image_column a --label_columns b", "--split official: .*--metadata, not --csv"),
        ("--metadata nowhere.csv --split random", r"nowhere\.csv: "),
    ],
)
def test_inconsistent_flags_are_refused(tmp_path, capsys, flags, message):
    assert run(*flags.split(), "--output_dir", tmp_path / "lists") == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "lists").exists()
