"""The patients of a list, from a patient file or image names, in splits, audits, evaluation and reports."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, make_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from chexnet.config import EvalConfig
from chexnet.data import audit
from chexnet.data.lists import Patients, check_classes, patients_path, read_csv, read_list
from chexnet.errors import InputError
from chexnet.evaluation import evaluate
from chexnet.evaluation.localization.cases import Case
from chexnet.evaluation.localization.hit_rates import score_cases
from chexnet.evaluation.predictions import Predictions, read_predictions
from chexnet.evaluation.report import build_report, class_scores, format_report, write_report
from chexnet.evaluation.reporting import report_from_evaluation
from chexnet.model import CheXNet, checkpoint


def run(name, *flags):
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(flag) for flag in flags])


def a_csv(path, patients=12, images=3, name="x{patient}{image}.png"):
    """Write a CSV whose image names do not identify the patients; every second patient has the finding."""
    lines = ["Path,Edema,Who"]
    for patient in range(patients):
        for image in range(images):
            file = name.format(patient=chr(ord("a") + patient), image=image, number=10_000_000 + patient)
            lines.append(f"{file},{patient % 2},patient {patient}")
    path.write_text("\n".join(lines))
    return path


def flags(path, *more):
    return ("--csv", path, "--image_column", "Path", "--label_columns", "Edema", *more)


@pytest.fixture
def prepared(tmp_path):
    """Write lists of a random split with the patients in a column."""
    path = a_csv(tmp_path / "labels.csv")
    arguments = flags(path, "--split", "random", "--patient_column", "Who", "--output_dir", tmp_path / "l")
    assert run("prepare_lists", *arguments) == 0
    return {name: tmp_path / "l" / f"{name}_list.txt" for name in ("train", "val", "test")}


@pytest.mark.parametrize("split", ["random", "whole"])
def test_only_a_random_split_is_refused_if_patients_are_unknown(tmp_path, capsys, split):
    out = tmp_path / "lists"
    code = run("prepare_lists", *flags(a_csv(tmp_path / "labels.csv"), "--split", split, "--output_dir", out))
    output = capsys.readouterr()
    assert code == (2 if split == "random" else 0)
    assert out.exists() == (split == "whole")
    assert "0 known patients; the patients of 36 images are unknown" in output.out
    assert split == "whole" or re.search(r"labels\.csv: .* 36 of 36 .*--patient_column", output.err)


@pytest.mark.parametrize("name", ["files/p10/p{number}/s50000000/{image}.jpg", "p{number}_s50000000_{image}.jpg"])
def test_paths_of_mimic_identify_the_patient(tmp_path, name):
    path = a_csv(tmp_path / "labels.csv", name=name)
    assert run("prepare_lists", *flags(path, "--split", "random", "--output_dir", tmp_path / "l")) == 0
    lists = [read_list(tmp_path / "l" / f"{split}_list.txt", 1) for split in ("train", "val", "test")]
    known = [image_list.patients.known for image_list in lists]
    assert sum(map(len, known)) == len(frozenset().union(*known)) == 12
    assert not patients_path(lists[0].path).exists()


def test_each_image_a_patient_is_refused_if_names_contradict_it(tmp_path, capsys):
    out = tmp_path / "l"
    path = a_csv(tmp_path / "labels.csv")
    assert run("prepare_lists", *flags(path, "--split", "random", "--each_image_a_patient", "--output_dir", out)) == 0
    assert read_list(out / "test_list.txt", 1).patients.unknown == 0
    (tmp_path / "two.csv").write_text("Path,Edema\n00000001_000.png,0\n00000001_001.png,1\n")
    code = run(
        "prepare_lists",
        *flags(tmp_path / "two.csv", "--split", "whole", "--each_image_a_patient", "--output_dir", tmp_path / "m"),
    )
    assert code == 2
    error = capsys.readouterr().err
    assert re.search(r"two\.csv: .*00000001_000\.png.*00000001_001\.png.* 00000001; .*--each_image_a_patient", error)


def test_patients_in_a_column_are_stored_with_the_lists(prepared, tmp_path):
    table = read_csv(tmp_path / "labels.csv", "Path", ["Edema"], "Who")
    expected = dict(zip(table.names, table.patients, strict=True))
    known = set()
    for path in prepared.values():
        patients = read_list(path, 1).patients
        assert patients.ids == tuple(expected[name] for name in patients.names)
        assert not known & patients.known
        known |= patients.known
    assert len(known) == 12
    lines = [line.split(" ") for line in prepared["test"].read_text().splitlines()]
    assert all(len(words) == 2 and words[1] in "01" for words in lines)  # the list itself has the usual format


def test_the_audit_counts_and_compares_patients_of_the_files(prepared, tmp_path, capsys):
    lists = [read_list(path, 1) for path in prepared.values()]
    found = audit.audit(lists, ("Edema",))
    assert [summary.patients for summary in found.lists] == [len(image_list.patients.known) for image_list in lists]
    assert not any(overlap.patients or overlap.images for overlap in found.shared)
    split = next(name for name, listed in zip(prepared, lists, strict=True) if "patient 0" in listed.patients.known)
    other = prepared["val" if split != "val" else "test"]
    with other.open("a") as file:
        file.write("xa9.png 0\n")  # another image of a patient in one of the lists
    with patients_path(other).open("a") as file:
        file.write("xa9.png,patient 0\n")
    found = audit.audit([read_list(path, 1) for path in prepared.values()], ("Edema",))
    assert sum(overlap.patients for overlap in found.shared) == 1
    assert sum(overlap.images for overlap in found.shared) == 0
    assert run("audit_split", *prepared.values(), "--classes_file", tmp_path / "l/classes.txt") == 0
    assert "share 1 patients and 0 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], r"test_list\.patients\.csv: .*test_list\.txt: 1 of \d+ .* 0 are extra"),
        (lambda lines: [*lines, "more.png,patient 1"], r": 0 of \d+ .* 1 are extra, .*'more\.png'"),
        (lambda lines: [*lines, lines[-1]], r"patients\.csv:\d+: 'x..\.png' is repeated"),
        (lambda lines: [*lines[:-1], lines[-1].partition(",")[0] + ","], r"patients\.csv:\d+: the patient is ''"),
        (lambda lines: ["name,patient", *lines[1:]], r"patients\.csv:1: 0 columns 'image'"),
        (lambda lines: [], r"patients\.csv:1: 0 columns 'image'"),
    ],
)
def test_a_patient_file_that_does_not_match_its_list_is_refused(prepared, change, message):
    path = patients_path(prepared["test"])
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(InputError, match=message):
        read_list(prepared["test"], 1)


def test_a_patient_file_may_have_any_order_and_belong_to_a_compressed_list(tmp_path):
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    path = patients_path(tmp_path / "list.txt.gz")
    assert path == patients_path(tmp_path / "list.txt")
    path.write_text("\ufeffPatient;Image\r\ntwo;b.png\r\none;a.png\r\n", encoding="utf-8")
    assert read_list(tmp_path / "list.txt", 1).patients.ids == ("one", "two")
    assert read_list(tmp_path / "list.txt", 1).without([1]).patients.ids == ("two",)


def test_a_column_that_contradicts_the_image_names_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("Path,Edema,Study\n00000001_000.png,0,s1\n00000001_001.png,1,s2\n")
    with pytest.raises(InputError, match=r"a\.csv:3: .* 's2', .*'00000001_000\.png' .*'s1'; .* 00000001$"):
        read_csv(tmp_path / "a.csv", "Path", ["Edema"], "Study")
    (tmp_path / "a.csv").write_text("Path,Edema,Who\n00000001_000.png,0,1\n00000001_001.png,1,1\n")
    assert read_csv(tmp_path / "a.csv", "Path", ["Edema"], "Who").patients == ("1", "1")  # other identifiers are valid


IDS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=12)


@given(ids=IDS)
@settings(max_examples=50)
def test_clusters_are_known_patients_and_single_images_of_unknown_ones(ids):
    patients = Patients(tuple(f"{index}.png" for index in range(len(ids))), tuple(ids), "a file")
    clusters = patients.clusters
    for i, first in enumerate(ids):
        for j, second in enumerate(ids):
            assert (clusters[i] == clusters[j]) == (i == j or (first is not None and first == second))
    assert patients.unknown == ids.count(None)


def test_lists_with_and_without_a_patient_file_are_compared_by_names():
    names = ("00000001_000.png", "00000002_000.png")
    with_file = Patients(names, ("one", "two"), "a file")
    by_name = Patients(("00000001_001.png", "00000003_000.png", "x.png"))
    assert with_file.matching(by_name.identifiers) == (frozenset({"one"}), 1)
    assert by_name.matching(with_file.identifiers) == (frozenset({"00000001"}), 1)
    assert with_file.matching(Patients(("a.png",), ("two",), "another").identifiers) == (frozenset({"two"}), 1)


def test_training_overlap_uses_the_patients_in_the_patient_file(prepared):
    train = read_list(prepared["train"], 1)
    metadata = {audit.KEY: audit.fingerprint(train.names, patients=train.patients)}
    patient = next(iter(train.patients.known))
    new = Patients(("new.png", "other.png"), (patient, "nobody"), "a file")
    overlap = audit.training_overlap(metadata, new.names, new)
    assert (overlap.images, overlap.patients, overlap.patients_images, overlap.of_patients) == (0, 1, 1, 2)
    test = read_list(prepared["test"], 1)
    sentence = audit.format_training_overlap(audit.training_overlap(metadata, test.names, test.patients))
    assert sentence == "none of these images or patients was in the training list"
    unknown = audit.format_training_overlap(audit.training_overlap(metadata, ["u.png"]))
    assert unknown.startswith("none of these images was in the training list; the patients of 1 of them are unknown")
    trained = {audit.KEY: audit.fingerprint(["u.png", "v.png"])}
    assert "the patients of some training images are unknown" in audit.format_training_overlap(
        audit.training_overlap(trained, ["00000001_000.png"])
    )


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(class_scores, "REPLICATES", 200)


@pytest.mark.usefixtures("quick")
def test_confidence_intervals_use_the_patients_of_the_list_or_the_predictions_file(small_run, tmp_path):
    small_run()  # replaces DenseNet-121 by a small backbone
    images, lists = make_folder(tmp_path, 24)
    names = read_list(lists).names
    ckpt = tmp_path / "model.pdparams"
    checkpoint.save(CheXNet().state_dict(), ckpt)
    checkpoint.write_metadata_file(ckpt, {"resize": 40, "crop": 32, audit.KEY: audit.fingerprint(["00000001_000.png"])})
    config = EvalConfig(
        data_dir=str(images), test_list=str(lists), ckpt=str(ckpt), crops=1, device="cpu", engine="paddle"
    )

    alone = report_from_evaluation(evaluate(config))
    assert alone.predictions.patients.unknown == 24
    assert any(line.startswith("The patients of 24 of these 24 images are unknown.") for line in alone.audit)
    rows = "".join(f"{name},p{index // 6}\n" for index, name in enumerate(names))
    patients_path(lists).write_text(f"image,patient\n{rows}")
    result = evaluate(config)
    report = report_from_evaluation(result)
    assert result.predictions.patients.known == {"p0", "p1", "p2", "p3"}
    assert report.audit[1].startswith("24 images of 4 patients")
    assert str(patients_path(lists)) in report.audit[1]
    assert "none of these images or patients was in the training list" in report.audit[0]

    (tmp_path / "p.csv").write_text(result.predictions.to_csv())
    again = build_report(read_predictions(tmp_path / "p.csv"))
    assert again.predictions.patients.ids == result.predictions.patients.ids
    assert again.scores.mean == report.scores.mean != alone.scores.mean
    assert again.scores.classes[0].auroc == report.scores.classes[0].auroc != alone.scores.classes[0].auroc


def predictions(patients, seed=0, name="p.csv"):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (12, 1)).astype(np.uint8)
    names = tuple(f"{index}.png" for index in range(12))
    image_patients = None if patients is None else Patients(names, tuple(patients), name)
    return Predictions(name, names, labels, rng.random((12, 1)), ("Edema",), image_patients)


@pytest.mark.usefixtures("quick")
def test_two_predictions_are_compared_by_the_patients_in_either_file():
    known = [f"p{index // 3}" for index in range(12)]
    with_patients, without = predictions(known), predictions(None)
    pairs = ((with_patients, without), (without, with_patients), (with_patients, with_patients))
    reports = [build_report(first, other=second) for first, second in pairs]
    for report in reports:
        assert report.comparison.mean.low == report.comparison.mean.high == 0  # the same resamples of the same images
        assert report.scores.mean == reports[0].scores.mean
    with pytest.raises(InputError, match=r"p\.csv: .*'0\.png' .* q, .* p0"):
        build_report(with_patients, other=predictions(["q", *known[1:]]))


@pytest.mark.usefixtures("quick")
def test_shared_patients_of_validation_images_are_found_or_reported_as_unknown():
    test = predictions([f"p{index // 3}" for index in range(12)])
    other = [f"{index}.jpg" for index in range(12)]
    shared = Predictions("v", tuple(other), test.labels, test.probabilities, ("Edema",))
    assert "whether it shares patients is unknown" in build_report(test, shared).audit[-1]
    known = Patients(tuple(other), ("p3",) * 12, "a file")
    shared = Predictions("v", tuple(other), test.labels, test.probabilities, ("Edema",), known)
    assert "shares 0 images and 1 patients" in build_report(test, shared).audit[-1]


def test_a_single_patient_has_no_bootstrap_interval(tmp_path):
    report = build_report(predictions(["p"] * 12))
    assert np.isnan([report.scores.mean.low, report.scores.mean.high, *report.scores.classes[0].bootstrap]).all()
    assert not np.isnan(report.scores.mean.auroc)
    write_report(report, tmp_path / "r")
    assert json.loads((tmp_path / "r/metrics.json").read_text())["mean"]["auroc_ci"] == [None, None]
    assert "(no interval)" in format_report(report, "r").splitlines()[0]


def test_localization_intervals_are_clustered_by_patient():
    cases = [
        Case(f"{index}.png", "Mass", 0.5, ((0, 0, 1, 1),), (0, 0), None, index % 3 == 0, 0.0, 0.0) for index in range(9)
    ]
    names = tuple(case.image for case in cases)
    unknown = score_cases(cases)
    assert (unknown.patients, unknown.unknown_patients) == (0, 9)
    known = score_cases(cases, Patients(names, tuple(f"p{index // 3}" for index in range(9)), "a file"))
    assert (known.patients, known.unknown_patients) == (3, 0)
    assert known.mean[0].low == known.mean[0].high == pytest.approx(1 / 3)  # each patient has the same hit rate
    assert unknown.mean[0].low < unknown.mean[0].high
    single = score_cases(cases, Patients(names, ("p",) * 9, "a file"))
    assert np.isnan(single.mean[0].low)
    assert single.to_dict()["mean"]["pointing"]["low"] is None


def test_a_list_with_other_classes_is_refused(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("a.png 0 1\n")
    (tmp_path / "classes.txt").write_text("Edema\nMass\n")
    check_classes(tmp_path / "list.txt", ("Edema", "Mass"))
    check_classes(tmp_path / "list.txt", ("Edema", "Mass", "Fracture"))  # a file of other lists
    for other in (("Mass", "Edema"), ("Edema", "Fracture")):
        with pytest.raises(InputError, match=r"list\.txt: label \d is '.*' .*classes\.txt, expected '"):
            check_classes(tmp_path / "list.txt", other)
    fourteen = [f"finding {index}" for index in range(14)]
    (tmp_path / "classes.txt").write_text("\n".join(fourteen))
    (tmp_path / "list.txt").write_text("a.png" + " 0" * 14)
    assert run("audit_split", tmp_path / "list.txt") == 2
    assert "label 1 is 'finding 0'" in capsys.readouterr().err


def test_the_printed_next_command_runs(tmp_path, capsys):
    out = tmp_path / "a folder's lists"
    path = a_csv(tmp_path / "label's file.csv")
    assert run("prepare_lists", *flags(path, "--split", "random", "--patient_column", "Who", "--output_dir", out)) == 0
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("Next: ")
    done = subprocess.run(
        ["sh", "-c", command.replace("python", shlex.quote(sys.executable), 1)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "patients" in done.stdout
