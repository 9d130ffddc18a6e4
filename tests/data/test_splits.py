"""Who is for training, validation and testing."""

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
    """NIH's two lists, if it had made them of these patients: the second half for testing."""
    border = table.patients[len(table) // 2]
    first = [name for name, patient in zip(table.names, table.patients, strict=True) if patient < border]
    rest = [name for name, patient in zip(table.names, table.patients, strict=True) if patient >= border]
    return names_in(folder, "train_val_list.txt", first), names_in(folder, "test_list.txt", rest)


def a_reference(table, folder):
    """The lists of another split of the same images, with labels of all zeros, in another order and folder."""
    lists = {}
    for part, one in splits.random(table, seed=5).items():
        names = [f"somewhere/{name}" for name in reversed(one.names)]
        (folder / f"{part}.txt").write_text(format_list(names, np.zeros((len(names), 14), int)))
        lists[part] = read_list(folder / f"{part}.txt")
    return lists


def rarest(table):
    """The slow way: of each patient, the finding that the fewest patients have; None for none."""
    findings = {}
    for patient, labels in zip(table.patients, table.labels, strict=True):
        findings.setdefault(patient, set()).update(np.flatnonzero(labels).tolist())
    patients_with = Counter(one for found in findings.values() for one in found)
    return {
        patient: min(found, key=lambda one: (patients_with[one], one), default=None)
        for patient, found in findings.items()
    }


def check_parts(table, parts):
    """No patient is in two parts, and everything else is as the table has it."""
    members = [set(part.patients) for part in parts.values()]
    assert sum(map(len, members)) == len(set().union(*members))
    labels = dict(zip(table.names, table.labels.tolist(), strict=True))
    patients = dict(zip(table.names, table.patients, strict=True))
    for part in parts.values():
        assert part.labels.tolist() == [labels[Path(name).name] for name in part.names]
        assert list(part.patients) == [patients[Path(name).name] for name in part.names]


@pytest.mark.parametrize("seed", range(5))
def test_every_part_of_a_random_split_has_its_share_of_each_stratum(table, seed):
    parts = splits.random(table, seed)
    check_parts(table, parts)
    assert sorted(name for part in parts.values() for name in part.names) == sorted(table.names)
    strata = rarest(table)
    sizes = Counter(strata.values())
    for part, share in zip(parts.values(), splits.RANDOM_SHARES, strict=True):
        counts = Counter(strata[patient] for patient in set(part.patients))
        assert all(abs(counts[stratum] - share * size) <= 1 for stratum, size in sizes.items())


def test_a_seed_is_a_split(table):
    one, same, other = (splits.random(table, seed) for seed in (1, 1, 2))
    assert one["test"].names == same["test"].names
    assert len(set(one["test"].names) & set(other["test"].names)) < 0.5 * len(one["test"].names)


def test_the_official_split_keeps_the_test_list_and_divides_the_patients_of_the_other(table, tmp_path):
    train_val, test = halves(table, tmp_path)
    parts = splits.official(table, train_val, test, 0.25, seed=3)
    check_parts(table, parts)
    assert parts["test"].names == test.names
    assert sorted(parts["train"].names + parts["val"].names) == sorted(train_val.names)
    patients = [len(set(parts[part].patients)) for part in ("train", "val")]
    assert patients[1] / sum(patients) == pytest.approx(0.25, abs=0.03)
    again = splits.official(table, train_val, test, 0.25, seed=3)
    assert again["val"].names == parts["val"].names != splits.official(table, train_val, test, 0.25, 4)["val"].names


def test_official_lists_that_do_not_fit_are_refused(table, tmp_path):
    train_val, test = halves(table, tmp_path)
    with pytest.raises(InputError, match=r"more\.txt: 1 patients stand in .*train_val_list\.txt, too, expected none"):
        splits.official(table, train_val, names_in(tmp_path, "more.txt", [*test.names, train_val.names[0]]), 0.1, 0)
    with pytest.raises(InputError, match=r"labels\.csv: 2 of \d+ images stand neither in"):
        splits.official(table, train_val, names_in(tmp_path, "fewer.txt", test.names[2:]), 0.1, 0)
    unknown = names_in(tmp_path, "unknown.txt", [test.names[0], "00009999_000.png", "00009999_001.png"])
    with pytest.raises(InputError, match=r"unknown\.txt:2: 00009999_000\.png is not in .*labels\.csv.* 2 have none"):
        splits.official(table, train_val, unknown, 0.1, 0)


def test_the_reference_split_takes_names_from_the_lists_and_labels_from_the_table(table, tmp_path):
    lists = a_reference(table, tmp_path)
    parts = splits.reference(table, lists)
    check_parts(table, parts)
    for part, one in lists.items():
        assert parts[part].names == one.names
        assert parts[part].labels.any()


def test_the_clean_split_is_for_testing_in_both(table, tmp_path):
    lists, (train_val, test) = a_reference(table, tmp_path), halves(table, tmp_path)
    parts = splits.common_test(table, lists, train_val, test)
    check_parts(table, parts)
    assert list(parts) == ["test"]
    assert parts["test"].names == tuple(name for name in lists["test"].names if Path(name).name in test.names)
    without = names_in(
        tmp_path, "without.txt", [name for name in test.names if name != Path(parts["test"].names[0]).name]
    )
    assert splits.common_test(table, lists, train_val, without)["test"].names == parts["test"].names[1:]
    patient = parts["test"].patients[0]
    moved = [name for name in parts["test"].names if Path(name).name.startswith(patient)][:1]
    (tmp_path / "val.txt").write_text(
        format_list([*lists["val"].names, *moved], np.zeros((len(lists["val"]) + 1, 14), int))
    )
    fewer = splits.common_test(table, {**lists, "val": read_list(tmp_path / "val.txt")}, train_val, test)
    assert set(fewer["test"].patients) == set(parts["test"].patients) - {patient}
    with pytest.raises(InputError, match=r"test\.txt: none of its images is for testing in"):
        splits.common_test(table, {**lists, "train": lists["test"]}, train_val, test)


def test_lists_are_written_all_or_none(table, tmp_path, monkeypatch):
    parts = splits.random(table, 0)
    out = tmp_path / "lists"
    with monkeypatch.context() as patch:
        patch.setattr(splits, "format_list", lambda names, _: f"{names[0]} \ud800" if len(names) < 200 else "fine")
        with pytest.raises(UnicodeEncodeError):
            splits.write_lists(parts, CLASS_NAMES, out)
    assert not list(out.iterdir())
    files = splits.write_lists(parts, CLASS_NAMES, out)
    for part, path in files.items():
        assert read_list(path).names == parts[part].names
        np.testing.assert_array_equal(read_list(path).labels, parts[part].labels)
    assert {path.name for path in out.iterdir()} == {"train_list.txt", "val_list.txt", "test_list.txt"}
    before = files["test"].read_bytes()
    with pytest.raises(
        InputError, match=r"lists: has train_list\.txt, val_list\.txt, test_list\.txt already, expected"
    ):
        splits.write_lists(splits.test_only(table), CLASS_NAMES, out)
    assert files["test"].read_bytes() == before


def test_other_classes_are_named_beside_the_lists_and_an_empty_part_is_refused(table, tmp_path):
    part = splits.Split(("a.png",), np.array([[1, 0]], np.uint8), ("a",))
    splits.write_lists({"test": part}, ("Edema", "Fracture"), tmp_path / "lists")
    assert (tmp_path / "lists" / "classes.txt").read_text() == "Edema\nFracture\n"
    empty = splits.Split((), np.empty((0, 2), np.uint8), ())
    with pytest.raises(InputError, match="no image is left for val, expected some"):
        splits.write_lists({"train": part, "val": empty}, ("Edema", "Fracture"), tmp_path / "more")
    assert not (tmp_path / "more").exists()


@pytest.mark.real_data
def test_the_splits_of_nih_have_their_known_counts(nih_metadata, reference_lists):
    table = read_nih(nih_metadata / "Data_Entry_2017_v2020.csv.gz")
    official = [read_list(nih_metadata / f"{name}_list.txt.gz", n_classes=0) for name in ("train_val", "test")]
    parts = splits.official(table, *official, 0.1, 0)
    assert len(parts["train"].names) + len(parts["val"].names) == 86_524
    assert len(parts["test"].names) == 25_596
    assert len({*parts["train"].patients, *parts["val"].patients, *parts["test"].patients}) == 30_805
    lists = {part: read_list(path) for part, path in reference_lists.items()}
    reference = splits.reference(table, lists)
    assert [len(part.names) for part in reference.values()] == [78_468, 11_219, 22_433]
    assert reference["test"].labels.sum(axis=0)[[6, 13]].tolist() == [260, 42]
    clean = splits.common_test(table, lists, *official)["test"]
    assert (len(clean.names), len(set(clean.patients))) == (5213, 590)
