"""Splits into training, validation and test sets."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from label_files import label_file, some_patients

from chexnet.data.lists import format_list, read_list, read_nih, splits
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return read_nih(label_file(tmp_path_factory.mktemp("splits") / "labels.csv", some_patients(400)))


def names_in(folder: Path, name: str, names) -> "splits.ImageList":
    (folder / name).write_text("\n".join(names))
    return read_list(folder / name, n_classes=0)


def halves(table, folder):
    """Write lists like NIH's two, with the second half of the patients for testing."""
    border = table.patients[len(table) // 2]
    first = [name for name, patient in zip(table.names, table.patients, strict=True) if patient < border]
    rest = [name for name, patient in zip(table.names, table.patients, strict=True) if patient >= border]
    return names_in(folder, "train_val_list.txt", first), names_in(folder, "test_list.txt", rest)


def a_reference(table, folder):
    """Write the lists of another split of the same images, with all labels 0, in another order and folder."""
    lists = {}
    for name, split in splits.random(table, seed=5).items():
        images = [f"somewhere/{image}" for image in reversed(split.names)]
        (folder / f"{name}.txt").write_text(format_list(images, np.zeros((len(images), 14), int)))
        lists[name] = read_list(folder / f"{name}.txt")
    return lists


def rarest(table):
    """Return the finding of each patient that the fewest patients have, computed by loops; None for no finding."""
    findings = {}
    for patient, labels in zip(table.patients, table.labels, strict=True):
        findings.setdefault(patient, set()).update(np.flatnonzero(labels).tolist())
    n_patients = Counter(finding for found in findings.values() for finding in found)
    return {
        patient: min(found, key=lambda finding: (n_patients[finding], finding), default=None)
        for patient, found in findings.items()
    }


def check_splits(table, found):
    """Check that no patient is in two splits, and that labels and patients are those of the table."""
    patient_sets = [set(split.patients) for split in found.values()]
    assert sum(map(len, patient_sets)) == len(set().union(*patient_sets))
    labels = dict(zip(table.names, table.labels.tolist(), strict=True))
    patients = dict(zip(table.names, table.patients, strict=True))
    for split in found.values():
        assert split.labels.tolist() == [labels[Path(name).name] for name in split.names]
        assert list(split.patients) == [patients[Path(name).name] for name in split.names]


@pytest.mark.parametrize("seed", range(5))
def test_a_random_split_divides_each_stratum_by_the_same_fractions(table, seed):
    found = splits.random(table, seed)
    check_splits(table, found)
    assert sorted(name for split in found.values() for name in split.names) == sorted(table.names)
    strata = rarest(table)
    sizes = Counter(strata.values())
    for split, fraction in zip(found.values(), splits.RANDOM_FRACTIONS, strict=True):
        counts = Counter(strata[patient] for patient in set(split.patients))
        assert all(abs(counts[stratum] - fraction * size) <= 1 for stratum, size in sizes.items())


def test_the_random_split_depends_on_the_seed(table):
    first, same, other = (splits.random(table, seed) for seed in (1, 1, 2))
    assert first["test"].names == same["test"].names
    assert len(set(first["test"].names) & set(other["test"].names)) < 0.5 * len(first["test"].names)


def test_the_official_split_keeps_the_test_list_and_divides_the_other_patients(table, tmp_path):
    train_val, test = halves(table, tmp_path)
    found = splits.official(table, train_val, test, 0.25, seed=3)
    check_splits(table, found)
    assert found["test"].names == test.names
    assert sorted(found["train"].names + found["val"].names) == sorted(train_val.names)
    patients = [len(set(found[name].patients)) for name in ("train", "val")]
    assert patients[1] / sum(patients) == pytest.approx(0.25, abs=0.03)
    again = splits.official(table, train_val, test, 0.25, seed=3)
    assert again["val"].names == found["val"].names != splits.official(table, train_val, test, 0.25, 4)["val"].names


def test_inconsistent_official_lists_are_refused(table, tmp_path):
    train_val, test = halves(table, tmp_path)
    with pytest.raises(InputError, match=r"more\.txt: 1 patients .*train_val_list\.txt"):
        splits.official(table, train_val, names_in(tmp_path, "more.txt", [*test.names, train_val.names[0]]), 0.1, 0)
    with pytest.raises(InputError, match=r"labels\.csv: 2 of \d+ images .*train_val_list\.txt .*fewer\.txt"):
        splits.official(table, train_val, names_in(tmp_path, "fewer.txt", test.names[2:]), 0.1, 0)
    unknown = names_in(tmp_path, "unknown.txt", [test.names[0], "00009999_000.png", "00009999_001.png"])
    with pytest.raises(InputError, match=r"unknown\.txt:2: 00009999_000\.png .*labels\.csv; 2 images"):
        splits.official(table, train_val, unknown, 0.1, 0)


def test_the_reference_split_takes_names_from_the_lists_and_labels_from_the_table(table, tmp_path):
    lists = a_reference(table, tmp_path)
    found = splits.reference(table, lists)
    check_splits(table, found)
    for name, listed in lists.items():
        assert found[name].names == listed.names
        assert found[name].labels.any()


def test_the_common_test_set_is_for_testing_in_both_splits(table, tmp_path):
    lists, (train_val, test) = a_reference(table, tmp_path), halves(table, tmp_path)
    found = splits.common_test(table, lists, train_val, test)
    check_splits(table, found)
    assert list(found) == ["test"]
    assert found["test"].names == tuple(name for name in lists["test"].names if Path(name).name in test.names)
    without = names_in(
        tmp_path, "without.txt", [name for name in test.names if name != Path(found["test"].names[0]).name]
    )
    assert splits.common_test(table, lists, train_val, without)["test"].names == found["test"].names[1:]
    patient = found["test"].patients[0]
    moved = [name for name in found["test"].names if Path(name).name.startswith(patient)][:1]
    (tmp_path / "val.txt").write_text(
        format_list([*lists["val"].names, *moved], np.zeros((len(lists["val"]) + 1, 14), int))
    )
    fewer = splits.common_test(table, {**lists, "val": read_list(tmp_path / "val.txt")}, train_val, test)
    assert set(fewer["test"].patients) == set(found["test"].patients) - {patient}
    with pytest.raises(InputError, match=r"test\.txt: .*test_list\.txt"):
        splits.common_test(table, {**lists, "train": lists["test"]}, train_val, test)


def test_either_all_lists_are_written_or_none(table, tmp_path, monkeypatch):
    split = splits.random(table, 0)
    out = tmp_path / "lists"
    with monkeypatch.context() as patch:
        patch.setattr(splits, "format_list", lambda names, _: f"{names[0]} \ud800" if len(names) < 200 else "fine")
        with pytest.raises(UnicodeEncodeError):
            splits.write_lists(split, CLASS_NAMES, out)
    assert not list(out.iterdir())
    files = splits.write_lists(split, CLASS_NAMES, out)
    for name, path in files.items():
        assert read_list(path).names == split[name].names
        np.testing.assert_array_equal(read_list(path).labels, split[name].labels)
    assert {path.name for path in out.iterdir()} == {"train_list.txt", "val_list.txt", "test_list.txt"}
    before = files["test"].read_bytes()
    with pytest.raises(InputError, match=r"lists: .*train_list\.txt, val_list\.txt, test_list\.txt.*--output_dir"):
        splits.write_lists(splits.test_only(table), CLASS_NAMES, out)
    assert files["test"].read_bytes() == before


def test_other_classes_are_written_next_to_the_lists(tmp_path):
    split = splits.Split(("a.png",), np.array([[1, 0]], np.uint8), ("a",))
    splits.write_lists({"test": split}, ("Edema", "Fracture"), tmp_path / "lists")
    assert (tmp_path / "lists" / "classes.txt").read_text() == "Edema\nFracture\n"


def test_an_empty_split_is_refused(tmp_path):
    split = splits.Split(("a.png",), np.array([[1, 0]], np.uint8), ("a",))
    empty = splits.Split((), np.empty((0, 2), np.uint8), ())
    with pytest.raises(InputError, match=r"more: .* val"):
        splits.write_lists({"train": split, "val": empty}, ("Edema", "Fracture"), tmp_path / "more")
    assert not (tmp_path / "more").exists()


@pytest.mark.real_data
def test_the_splits_of_nih_have_their_known_counts(nih_metadata, reference_lists):
    table = read_nih(nih_metadata / "Data_Entry_2017_v2020.csv.gz")
    official_lists = [read_list(nih_metadata / f"{name}_list.txt.gz", n_classes=0) for name in ("train_val", "test")]
    official = splits.official(table, *official_lists, 0.1, 0)
    assert len(official["train"].names) + len(official["val"].names) == 86_524
    assert len(official["test"].names) == 25_596
    assert len({patient for split in official.values() for patient in split.patients}) == 30_805
    lists = {name: read_list(path) for name, path in reference_lists.items()}
    reference = splits.reference(table, lists)
    assert [len(split.names) for split in reference.values()] == [78_468, 11_219, 22_433]
    assert reference["test"].labels.sum(axis=0)[[6, 13]].tolist() == [260, 42]
    common = splits.common_test(table, lists, *official_lists)["test"]
    assert (len(common.names), len(set(common.patients))) == (5213, 590)
