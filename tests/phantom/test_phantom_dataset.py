"""A data set of phantoms: files, patients and prevalences, and the script that writes it."""

import csv
import importlib.util
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.labels import CLASS_NAMES
from chexnet.phantom import PREVALENCE, Radiograph, Summary, draw, make_dataset, sample_findings

IMAGES, SIZE, SEED = 40, 64, 11


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    out = tmp_path_factory.mktemp("phantom") / "set"
    return out, make_dataset(out, IMAGES, SIZE, SEED, min_prevalence=0.15)


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(summary: Summary, split: str) -> dict[str, list[int]]:
    lines = [line.split() for line in summary.lists[split].read_text().splitlines()]
    return {name: [int(value) for value in values] for name, *values in lines}


# The data set


def test_same_arguments_give_the_same_bytes(written, tmp_path):
    out, _ = written
    make_dataset(tmp_path / "again", IMAGES, SIZE, SEED, min_prevalence=0.15)
    assert digests(out) == digests(tmp_path / "again")


def test_another_seed_gives_other_images(tmp_path):
    first = make_dataset(tmp_path / "first", 10, 32, 1).image_dir
    second = make_dataset(tmp_path / "second", 10, 32, 2).image_dir
    shared = {path.name for path in first.iterdir()} & {path.name for path in second.iterdir()}
    assert shared
    assert all(sha256(first / name) != sha256(second / name) for name in shared)


def test_a_smaller_set_is_the_beginning_of_a_larger_one(written, tmp_path):
    _, large = written
    small = make_dataset(tmp_path / "small", 25, SIZE, SEED, min_prevalence=0.15)
    for image in small.image_dir.iterdir():
        assert sha256(image) == sha256(large.image_dir / image.name)
    for split in small.lists:
        assert rows(small, split).items() <= rows(large, split).items()


def test_lists_name_every_image_once_in_order(written):
    out, summary = written
    names = []
    for split in ("train", "val", "test"):
        assert summary.lists[split] == out / "labels" / f"{split}_list.txt"
        listed = rows(summary, split)
        assert list(listed) == sorted(listed)
        assert all(len(values) == 14 and set(values) <= {0, 1} for values in listed.values())
        names += listed
        assert summary.images[split] == len(listed)
        assert summary.patients[split] == len({name[:8] for name in listed})
        assert list(summary.positives[split]) == np.sum(list(listed.values()), axis=0).tolist()
    assert sorted(names) == sorted(p.name for p in (out / "images").iterdir())
    assert len(names) == IMAGES


def test_no_patient_is_in_two_splits(written):
    _, summary = written
    patients = [{name[:8] for name in rows(summary, split)} for split in ("train", "val", "test")]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_patients_are_split_70_10_20_and_have_one_to_six_images(tmp_path, monkeypatch):
    # All images are blank, because only the plan matters here.
    blank = Radiograph(np.zeros((32, 32), np.uint8), (), ())
    monkeypatch.setattr("chexnet.phantom.phantom_dataset.draw", lambda *args, **kwargs: blank)
    summary = make_dataset(tmp_path / "set", 1500, 32, 3)
    patients = sum(summary.patients.values())
    for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert summary.patients[split] / patients == pytest.approx(share, abs=0.02)
        assert summary.images[split] / 1500 == pytest.approx(share, abs=0.05)
    counts = Counter(name[:8] for split in summary.lists for name in rows(summary, split))
    assert set(counts.values()) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("seed", range(8))
def test_ten_images_fill_all_splits(tmp_path, seed):
    summary = make_dataset(tmp_path / "set", 10, 32, seed)
    assert min(summary.images.values()) >= 1
    assert sum(summary.images.values()) == 10


def test_images_are_gray_png_of_the_size(written):
    out, _ = written
    for path in sorted((out / "images").iterdir())[:5]:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "L", (SIZE, SIZE))


def test_boxes_are_in_nih_format_and_agree_with_the_lists(written):
    out, summary = written
    labels = {name: values for split in summary.lists for name, values in rows(summary, split).items()}
    with open(out / "BBox_List.csv", encoding="utf-8", newline="") as file:
        header, *boxes = csv.reader(file)
    assert ",".join(header) == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    spellings = {"Infiltrate": "Infiltration"}
    boxed = set()
    for name, label, *numbers in boxes:
        x, y, w, h = map(float, numbers)
        assert 0 <= x < x + w <= 1024
        assert 0 <= y < y + h <= 1024
        boxed.add((name, spellings.get(label, label)))
    eight = CLASS_NAMES[: CLASS_NAMES.index("Pneumothorax") + 1]
    positive = {(name, finding) for name in labels for finding in eight if labels[name][CLASS_NAMES.index(finding)]}
    assert boxed == positive
    assert {finding for _, finding in boxed} == set(eight)


def test_progress_counts_every_image(tmp_path):
    steps = []
    make_dataset(tmp_path / "set", 12, 32, 0, progress=lambda *step: steps.append(step))
    assert steps == [(done, 12) for done in range(1, 13)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 9}, "images: 9, .* 10"),
        ({"size": 31}, "size: 31 .* 32"),
        ({"seed": -1}, "seed: -1"),
        ({"min_prevalence": 0.5}, "min_prevalence: 0.5"),
        ({"min_prevalence": -0.1}, "min_prevalence: -0.1"),
    ],
)
def test_bad_arguments_are_named_and_write_nothing(tmp_path, change, message):
    good = {"images": 10, "size": 32, "seed": 0, "min_prevalence": 0.0}
    with pytest.raises(InputError, match=message):
        make_dataset(tmp_path / "set", **{**good, **change})
    assert not (tmp_path / "set").exists()


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        make_dataset(tmp_path, 10, 32, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_complete_set_is_refused_and_an_interrupted_one_is_finished(tmp_path):
    out = tmp_path / "set"
    summary = make_dataset(out, 10, 32, 0)
    whole = digests(out)
    with pytest.raises(InputError, match="already"):
        make_dataset(out, 10, 32, 0)
    for path in summary.lists.values():
        path.unlink()
    next(iter(summary.image_dir.iterdir())).write_bytes(b"half")
    with pytest.raises(InputError, match="other files"):
        make_dataset(out, 10, 32, 1)
    make_dataset(out, 10, 32, 0)
    assert digests(out) == whole
    assert json.loads((out / "phantom.json").read_text())["seed"] == 0


# Which findings


def test_prevalences_are_those_of_the_real_set():
    samples = [sample_findings(0, patient, 0) for patient in range(20000)]
    counts = Counter(finding for findings in samples for finding in findings)
    for finding, expected in PREVALENCE.items():
        error = 4.5 * np.sqrt(expected * (1 - expected) / len(samples))
        assert counts[finding] / len(samples) == pytest.approx(expected, abs=error), finding
    # 60,361 of the 112,120 images of ChestX-ray14 are labeled 'No Finding'.
    assert sum(not findings for findings in samples) / len(samples) == pytest.approx(60361 / 112120, abs=0.015)


def test_min_prevalence_raises_rare_findings_only():
    samples = [sample_findings(0, patient, 0, 0.12) for patient in range(8000)]
    counts = Counter(finding for findings in samples for finding in findings)
    for finding, real in PREVALENCE.items():
        assert counts[finding] / len(samples) == pytest.approx(max(real, 0.12), abs=0.018), finding


def test_every_finding_has_a_prevalence():
    assert tuple(PREVALENCE) == CLASS_NAMES


def test_the_anatomy_is_independent_of_the_findings():
    # Correlated seeds would give patients with findings another anatomy: a shortcut for a network.
    ill = [bool(sample_findings(0, patient, 0, 0.1)) for patient in range(200)]
    build = [draw([], 32, patient=patient).image.astype(float) for patient in range(200)]
    columns = np.array([image[20:].mean(axis=0) for image in build])
    correlations = [np.corrcoef(ill, column)[0, 1] for column in columns.T]
    assert np.max(np.abs(correlations)) < 0.3


# The script


def script():
    path = Path(__file__).parents[2] / "tools" / "make_phantom.py"
    spec = importlib.util.spec_from_file_location("make_phantom", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_writes_the_set_and_prints_the_training_command(tmp_path, capsys):
    out = tmp_path / "set"
    assert script().main(["--output_dir", str(out), "--images", "12", "--size", "32", "--seed", "4"]) == 0
    printed = capsys.readouterr().out
    assert f"python train.py --data_dir {out / 'images'} --train_list {out / 'labels' / 'train_list.txt'}" in printed
    assert "Pleural_Thickening" in printed
    assert len(list((out / "images").iterdir())) == 12


def test_an_error_of_the_script_is_one_line(tmp_path, capsys):
    assert script().main(["--output_dir", str(tmp_path / "set"), "--images", "3"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: images: 3,")
