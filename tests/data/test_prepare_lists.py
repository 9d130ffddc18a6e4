"""tools/prepare_lists.py as a user runs it."""

import importlib.util

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
    """A folder as NIH's: labels, and lists of names beside them."""
    images = some_patients(60)
    border = [name for name in images if name < "00000041"]
    (tmp_path / "train_val_list.txt").write_text("\n".join(border))
    (tmp_path / "test_list.txt").write_text("\n".join(name for name in images if name not in border))
    return label_file(tmp_path / "Data_Entry_2017.csv", images, release=2017)


def test_the_official_split_is_made_from_what_stands_beside_the_labels(nih, tmp_path, capsys):
    out = tmp_path / "lists"
    assert run("--metadata", nih, "--split", "official", "--output_dir", out, "--val_fraction", "0.2") == 0
    printed = capsys.readouterr().out.splitlines()
    parts = {part: read_list(out / f"{part}_list.txt") for part in ("train", "val", "test")}
    counted = {line.split()[0]: line.split()[1:] for line in printed}
    assert counted["images"] == [str(len(one)) for one in parts.values()]
    assert counted["Atelectasis"] == [str(one.labels[:, 0].sum()) for one in parts.values()]
    assert [int(count) for count in counted["patients"]][2] == 20
    files = " ".join(str(out / f"{part}_list.txt") for part in parts)
    assert printed[-1] == f"Next: python tools/audit_split.py {files} --metadata {nih}"
    assert run("--metadata", nih, "--split", "random", "--output_dir", out) == 2
    assert "has train_list.txt, val_list.txt, test_list.txt already" in capsys.readouterr().err


def test_the_other_splits_of_nih(nih, tmp_path):
    first = tmp_path / "random"
    assert run("--metadata", nih, "--split", "random", "--seed", "7", "--output_dir", first) == 0
    lists = [first / f"{part}_list.txt" for part in ("train", "val", "test")]
    assert run("--metadata", nih, "--split", "reference", "--reference", *lists, "--output_dir", tmp_path / "same") == 0
    for path in lists:
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes()
    assert run("--metadata", nih, "--split", "clean", "--reference", *lists, "--output_dir", tmp_path / "clean") == 0
    clean = read_list(tmp_path / "clean" / "test_list.txt").names
    assert set(clean) == set(read_list(lists[2]).names) & set((tmp_path / "test_list.txt").read_text().split())
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["test_list.txt"]


def test_a_csv_of_another_data_set(tmp_path, capsys):
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
        (
            "--metadata x --split random --uncertain ones",
            "--uncertain: has no effect with --metadata and --split random",
        ),
        ("--metadata x --split random --val_fraction 0.2", "--val_fraction: has no effect"),
        ("--metadata x --split official --reference a b c", "--reference: has no effect"),
        ("--metadata x --split clean", "--split clean: needs --reference TRAIN VAL TEST"),
        ("--csv x --split random --label_columns a", "--csv: needs --image_column and --label_columns"),
        ("--csv x --split official --image_column a --label_columns b", "--split official: is for NIH's images"),
        ("--metadata nowhere.csv --split random", "nowhere.csv: the label file cannot be read"),
    ],
)
def test_flags_that_do_not_fit_are_refused(tmp_path, capsys, flags, message):
    assert run(*flags.split(), "--output_dir", tmp_path / "lists") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "lists").exists()
