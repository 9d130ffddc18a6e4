"""Several rows, readers and files: rules against a slow count, filters, joins and bad input."""

import itertools

import numpy as np
import pytest

from chexnet.data.lists import Layout, read_tables
from chexnet.data.lists.csv_cells import parse_part
from chexnet.data.lists.layouts import layout_of, parse_classes, parse_where
from chexnet.errors import InputError

VALUES = {"1": 1, "0": 0, "-1": -1, "": 0}


def a_csv(folder, name, *lines):
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def decided(votes, rule):
    """Return the labels that are possible if each uncertain vote is 0 or 1, by trying all of them."""
    possible = set()
    for choice in itertools.product((0, 1), repeat=votes.count(-1)):
        rest = iter(choice)
        values = [next(rest) if vote == -1 else vote for vote in votes]
        possible.add({"any": any(values), "all": all(values), "majority": sum(values) > len(values) / 2}[rule])
    return possible


@pytest.mark.parametrize("rule", ["any", "majority", "all"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_readings_are_uncertain_only_if_uncertain_votes_decide(tmp_path, rule, count):
    panels = list(itertools.product(VALUES, repeat=count))
    lines = [f"{image}.png,{cell}" for image, cells in enumerate(panels) for cell in cells]
    path = a_csv(tmp_path, "f.csv", "image,Edema", *lines)
    layout = Layout("image", {"Edema": ("Edema",)}, readers=rule)
    by_policy = {policy: read_tables([path], layout, policy) for policy in ("zeros", "ones", "drop")}
    kept = set(by_policy["drop"].names)
    blank = 0
    for image, cells in enumerate(panels):
        possible = decided([VALUES[cell] for cell in cells], rule)
        assert by_policy["zeros"].labels[image, 0] == min(possible)
        assert by_policy["ones"].labels[image, 0] == max(possible)
        assert (f"{image}.png" in kept) == (len(possible) == 1)
        blank += set(cells) == {""}
    assert by_policy["zeros"].blank == (blank,)
    (note,) = [note for note in by_policy["zeros"].notes if "disagree" in note]
    disagreements = sum(len({VALUES[cell] for cell in cells}) > 1 for cells in panels)
    assert note.endswith(f"Edema {disagreements:,}")


def test_a_class_may_stand_for_several_columns(tmp_path):
    cells = list(itertools.product(VALUES, repeat=2))
    path = a_csv(tmp_path, "f.csv", "image,A,B", *(f"{row}.png,{a},{b}" for row, (a, b) in enumerate(cells)))
    table = read_tables([path], Layout("image", parse_classes("Opacity=A|B,A")), "zeros")
    assert table.classes == ("Opacity", "A")
    assert table.labels[:, 0].tolist() == [int("1" in pair) for pair in cells]
    assert table.uncertain[0] == sum("-1" in pair and "1" not in pair for pair in cells)
    assert table.blank[0] == 1


HEADER = "image,patient,set,reader,view,A"
LAYOUT = Layout(
    "image", {"A": ("A",)}, patient_column="patient", reader_column="reader", readers="any", split_column="set"
)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.png,1,test,R1,PA,1", "a.png,2,test,R2,PA,1"], r"f\.csv:3: the patient of 'a\.png' is '2', .*'1'.* line 2"),
        (
            ["a.png,1,test,R1,PA,1", "a.png,1,val,R2,PA,1"],
            r"f\.csv:3: the part of 'a\.png' is 'val', .*'test'.* line 2",
        ),
        (["a.png,1,dev2,R1,PA,1"], r"f\.csv:2: the part of the data set is 'dev2', expected one of train"),
        (["a.png,1,test,R1,PA,perhaps"], r"f\.csv:2: A is 'perhaps', expected 0, 1"),
        (["a.png,,test,R1,PA,1"], r"f\.csv:2: .*'patient' is empty"),
        (["00000001_000.png,1,test,R1,PA,1", "00000001_001.png,2,test,R1,PA,1"], r"f\.csv:3: .*patient 00000001"),
    ],
)
def test_rows_that_contradict_each_other_are_refused_with_their_lines(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        read_tables([a_csv(tmp_path, "f.csv", HEADER, *lines)], LAYOUT)


def test_readings_that_repeat_a_reader_are_counted(tmp_path):
    path = a_csv(tmp_path, "f.csv", HEADER, *["a.png,1,test,R1,PA,1"] * 2, "a.png,1,test,R2,PA,0")
    assert any(note.startswith("1 readings repeat") for note in read_tables([path], LAYOUT).notes)


def test_rows_are_filtered_by_several_columns_and_values(tmp_path):
    lines = [f"{number}.png,{number},test,R1,{view},{number % 2}" for number, view in enumerate(("PA", "AP", "LL", ""))]
    path = a_csv(tmp_path, "f.csv", HEADER, *lines)

    def names(*conditions):
        layout = Layout("image", {"A": ("A",)}, where=parse_where(conditions))
        return [name[0] for name in read_tables([path], layout).names]

    assert names("view=PA", "view=AP") == ["0", "1"]
    assert names("VIEW=AP", "set=test") == ["1"]
    assert names("view=") == ["3"]
    with pytest.raises(InputError, match=r"f\.csv: no row matches --where view=pa; .*view: 'PA', 'AP', 'LL', ''"):
        names("view=pa")
    with pytest.raises(InputError, match="0 columns 'View Position'"):
        names("View Position=PA")
    with pytest.raises(InputError, match="--where: found 'view', expected COLUMN=VALUE"):
        names("view")


def test_files_are_appended_or_joined(tmp_path):
    """Compare with dictionaries."""
    rng = np.random.default_rng(0)
    images = [(f"{number}.png", str(rng.integers(30)), str(number % 7)) for number in range(200)]
    labels = {study: str(rng.integers(2)) for _, study, _ in images}
    one = a_csv(tmp_path, "images.csv", "image,study,x", *map(",".join, images))
    two = a_csv(tmp_path, "labels.csv", "A,study", *(f"{label},{study}" for study, label in labels.items()))
    layout = Layout("image", {"A": ("A",)})
    table = read_tables([one, two], layout)
    assert dict(zip(table.names, table.labels[:, 0].tolist(), strict=True)) == {
        image: int(labels[study]) for image, study, _ in images
    }
    whole = "image,study,A"
    parts = [
        a_csv(tmp_path, f"{part}.csv", whole, *(f"{image},{study},{labels[study]}" for image, study, _ in images[rows]))
        for part, rows in (("a", slice(0, 50)), ("b", slice(50, 200)))
    ]
    appended = read_tables(parts, layout)
    assert appended.names == table.names
    assert (appended.labels == table.labels).all()
    with pytest.raises(InputError, match=r"b\.csv:2: '50\.png' is already in .*b\.csv:2|b\.csv:2: '50\.png' .* line 2"):
        read_tables([parts[1], parts[1]], layout)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (["other,A", "1,1"], r"two\.csv:1: no column of the files before it \(image, study\)"),
        (["study,A", "1,1", "1,0"], r"two\.csv:3: a second row with study = '1' and other values"),
        (["study,A", "7,1"], r"two\.csv: none of its rows has the study of a row of .*one\.csv"),
        (["study,B", "1,1"], r"no column 'A', expected it in one of these files"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, second, message):
    one = a_csv(tmp_path, "one.csv", "image,study", "a.png,1", "b.png,1")
    with pytest.raises(InputError, match=message):
        read_tables([one, a_csv(tmp_path, "two.csv", *second)], Layout("image", {"A": ("A",)}))


def test_patients_are_taken_from_names_by_a_pattern(tmp_path):
    path = a_csv(tmp_path, "f.csv", "image,A", "x_17_1.png,1", "x_17_2.png,0", "x_18_1.png,0")
    layout = Layout("image", {"A": ("A",)}, patient_pattern=r"_(\d+)_")
    assert read_tables([path], layout).patients == ("17", "17", "18")
    with pytest.raises(InputError, match=r"f\.csv:2: .*'x_17_1\.png' does not match --patient_pattern"):
        read_tables([path], Layout("image", {"A": ("A",)}, patient_pattern=r"/(\d+)/"))


@pytest.mark.parametrize("pattern", ["(", r"\d+", "(?P<a>"])
def test_malformed_patterns_are_refused(tmp_path, pattern):
    path = a_csv(tmp_path, "f.csv", "image,A", "x_17_1.png,1")
    with pytest.raises(InputError, match="--patient_pattern: "):
        read_tables([path], Layout("image", {"A": ("A",)}, patient_pattern=pattern))


def test_image_names_are_made_of_columns(tmp_path):
    path = a_csv(tmp_path, "f.csv", "id,folder,A", "1234,f,1")
    assert read_tables([path], Layout("{folder}/p{id:2}/{id}.jpg", {"A": ("A",)})).names == ("f/p12/1234.jpg",)
    with pytest.raises(InputError, match="0 columns 'no'"):
        read_tables([path], Layout("{no}.jpg", {"A": ("A",)}))
    with pytest.raises(InputError, match="not a relative path"):
        read_tables([path], Layout("../{id}.jpg", {"A": ("A",)}))


def test_files_without_or_with_several_parts_in_their_names_are_refused(tmp_path):
    layout = Layout("image", {"A": ("A",)}, split_column="files")
    for name in ("labels.csv", "train_test.csv"):
        with pytest.raises(InputError, match=r"the file name contains [02] parts"):
            read_tables([a_csv(tmp_path, name, "image,A", "a.png,1")], layout)
    assert [parse_part(text, "") for text in ("TRAIN", "Valid", "testing")] == ["train", "val", "test"]


@pytest.mark.parametrize("text", ["A=", "=A", "A,A", "A=B|", "", "A,,B", "avg"])
def test_malformed_classes_are_refused(text):
    with pytest.raises(InputError, match="--label_columns: "):
        parse_classes(text)


def test_an_unknown_layout_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"--layout: found 'mimic', expected one of .*mimic_cxr"):
        layout_of("mimic")
