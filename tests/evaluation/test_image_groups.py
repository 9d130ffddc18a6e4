"""Groups of images from lists and metadata files, and errors in these files."""

import gzip

import numpy as np
import pytest
from label_files import HEADER_2017, HEADER_2020

from chexnet.errors import InputError
from chexnet.evaluation.report.image_groups import read_groupings, read_names

NAMES = tuple(f"{number // 2:08d}_{number % 2:03d}.png" for number in range(8))
AGES = ("058", "17", "018Y", "080Y", "013M", "412Y", "", "059Y")
BANDS = ("40-59", "0-17", "18-39", "80 and over", "0-17", None, None, "40-59")


def row(index: int, release: int = 2020) -> str:
    sex, view = "MF"[index % 2], ("PA", "AP")[index // 4]
    text = f"{NAMES[index]},No Finding,{index % 2},{index // 2},{AGES[index]},{sex},{view},2682,2749,0.143,0.143"
    return text + "," * (release == 2017)


def metadata(path, rows=None, header=HEADER_2020):
    rows = [row(index) for index in range(8)] if rows is None else rows
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def named(grouping) -> list[str | None]:
    """Return the group of each image."""
    return [None if index < 0 else grouping.groups[index] for index in grouping.membership]


@pytest.mark.parametrize("release", [2017, 2020])
def test_columns_of_both_releases_of_nih(release, tmp_path):
    rows = [row(index, release) for index in reversed(range(8))]
    path = metadata(tmp_path / "d.csv", rows, HEADER_2017 if release == 2017 else HEADER_2020)
    sex, age, view, follow = read_groupings(["sex,age_band", "view,first_or_followup"], path, NAMES, "p.csv")
    assert named(sex) == ["M", "F"] * 4
    assert named(age) == list(BANDS)
    assert age.groups == ("0-17", "18-39", "40-59", "80 and over")
    assert "2 images" in age.left_out[0]
    assert "412Y" in age.left_out[0]
    assert named(view) == ["PA"] * 4 + ["AP"] * 4
    assert named(follow) == ["first", "follow-up"] * 4
    assert (sex.source, sex.left_out) == (str(path), ())


def test_other_columns_and_spellings(tmp_path):
    lines = [
        "filename;Scanner, room;Patient Sex",
        *(f"png/{name};{'B' if i > 2 else 'A  x'};F" for i, name in enumerate(NAMES)),
    ]
    with gzip.open(tmp_path / "m.csv.gz", "wt", encoding="utf-16") as file:
        file.write("\r\n".join(lines))
    (grouping,) = read_groupings(['"Scanner, room"'], tmp_path / "m.csv.gz", NAMES, "p.csv")
    assert named(grouping) == ["A x"] * 3 + ["B"] * 5
    with pytest.raises(InputError, match=r"--by sex: the images of p\.csv are all F according to .*m\.csv\.gz"):
        read_groupings(["sex"], tmp_path / "m.csv.gz", NAMES, "p.csv")


@pytest.mark.parametrize("labels", ["", " 0 1", "  1  0  "])
def test_groups_by_a_list(labels, tmp_path):
    (tmp_path / "hard cases.txt").write_text("".join(f"{name}{labels}\n" for name in (*NAMES[2:5], "other.png")))
    assert read_names(tmp_path / "hard cases.txt") == [*NAMES[2:5], "other.png"]
    for item in (tmp_path / "hard cases.txt", f"hard cases={tmp_path / 'hard cases.txt'}"):
        (grouping,) = read_groupings([f'"{item}"'], None, NAMES, "p.csv")
        assert grouping.groups == ("hard cases", "not hard cases")
        assert np.flatnonzero(grouping.membership == 0).tolist() == [2, 3, 4]


INVALID_METADATA = {
    "unknown column": (None, "Scanner", r"m\.csv:1: 0 columns 'Scanner', expected one; there are Image Index"),
    "no column of the alias": (["Image Index,Age", *(f"{name},3" for name in NAMES)], "sex", r"m\.csv:1: 0 columns"),
    "no image column": (["Study,Age", "1,3"], "Age", r"m\.csv:1: the columns with image names are none"),
    "repeated image": ([HEADER_2020, row(0), row(0)], "sex", r"m\.csv:3: '00000000_000.png' is already in line 2"),
    "missing images": ([HEADER_2020, row(0)], "sex", r"m\.csv: 7 of the 8 images in p\.csv are missing, such as '0"),
    "malformed age": (
        [HEADER_2020, *(row(i).replace("018Y", "old") for i in range(8))],
        "age_band",
        r"m\.csv:4: .*'old'",
    ),
    "negative age": ([HEADER_2020, *(row(i).replace("018Y", "-5") for i in range(8))], "age_band", r"m\.csv:4: .*'-5'"),
    "malformed follow-up": (["Image Index,Follow-up #", *(f"{n},x" for n in NAMES)], "first_or_followup", r"m\.csv:2:"),
    "too many values": (
        ["Image Index,Id", *(f"{index:08d}_000.png,{index}" for index in range(20))],
        "Id",
        r"m\.csv:1: Id has 20 different values .*expected at most 12",
    ),
    "ragged": ([HEADER_2020, row(0), "x,y"], "sex", r"m\.csv:3: 2 columns, expected 11"),
    "empty": ([], "sex", r"m\.csv:1:"),
}


@pytest.mark.parametrize("case", INVALID_METADATA)
def test_invalid_metadata_is_a_one_line_error_with_its_position(case, tmp_path):
    lines, by, message = INVALID_METADATA[case]
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines)) if lines is not None else metadata(path)
    names = NAMES if case != "too many values" else tuple(f"{index:08d}_000.png" for index in range(20))
    with pytest.raises(InputError, match=message) as error:
        read_groupings([by], path, names, "p.csv")
    assert "\n" not in str(error.value)


def test_images_that_the_metadata_lacks_are_left_out_if_asked(tmp_path):
    path = metadata(tmp_path / "m.csv", [row(index) for index in range(1, 8)])
    (grouping,) = read_groupings(["sex"], path, NAMES, "p.csv", skip_missing=True)
    assert named(grouping) == [None, "F"] + ["M", "F"] * 3
    assert "1 images are not in" in grouping.left_out[0]


def test_invalid_items_are_errors(tmp_path):
    path = metadata(tmp_path / "m.csv")
    for by in ([""], ["sex,"], ["sex,sex"], []):
        with pytest.raises(InputError, match="--by: found"):
            read_groupings(by, path, NAMES, "p.csv")
    with pytest.raises(InputError, match="--by: 'sex' needs --metadata"):
        read_groupings(["sex"], None, NAMES, "p.csv")
    (tmp_path / "all.txt").write_text("\n".join(NAMES))
    (tmp_path / "none.txt").write_text("other.png")
    for name in ("all", "none"):
        with pytest.raises(InputError, match=rf"--by {name}: the images of p\.csv are all (not none|all) according to"):
            read_groupings([str(tmp_path / f"{name}.txt")], None, NAMES, "p.csv")
    for text, message in (
        ("a.png\n\nb.png", "x.txt:2: "),
        ("a.png 0\nb.png", "x.txt:2: "),
        ("a.png\na.png", "x.txt:2: "),
    ):
        (tmp_path / "x.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            read_groupings([f"x={tmp_path / 'x.txt'}"], None, NAMES, "p.csv")


def test_nihs_official_list_is_recognized_by_its_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_list.txt").write_text("\n".join(NAMES[:3]))  # the shared list often has this name
    path = metadata(tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"no test_list\.txt with NIH's 25,596 official test images in .*=FILE names"):
        read_groupings(["official_test"], path, NAMES, "p.csv")
    with pytest.raises(InputError, match=r"test_list\.txt: is not NIH's official list"):
        read_groupings([f"official_test={tmp_path / 'test_list.txt'}"], path, NAMES, "p.csv")


@pytest.mark.real_data
def test_the_shared_test_list_by_nihs_files(nih_metadata, reference_lists):
    names = tuple(read_names(reference_lists["test"]))
    path = nih_metadata / "Data_Entry_2017_v2020.csv.gz"
    official, view, age = read_groupings(["official_test,view,age_band"], path, names, "p.csv")
    assert np.bincount(official.membership).tolist() == [5_213, 17_220]
    assert dict(zip(view.groups, np.bincount(view.membership), strict=True)) == {"AP": 8_847, "PA": 13_586}
    assert np.bincount(age.membership).tolist() == [915, 5_894, 10_440, 4_992, 192]
