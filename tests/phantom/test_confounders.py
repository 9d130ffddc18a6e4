"""Confounders and pairs: what is planted changes its own pixels, and nothing that was drawn before."""

import csv
from collections import Counter

import numpy as np
import pytest
from conftest import run_script
from PIL import Image

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.labels import CLASS_NAMES
from chexnet.phantom import CONFOUNDERS, Planting, draw, make_dataset, make_pairs, parse_plantings
from chexnet.phantom.pairs import PLANTED
from chexnet.phantom.planting import sample_confounders


def pair(confounder: str, size: int, patient: int = 1, findings=()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mask of the changed pixels, one of the confounder's box, and the changes."""
    numbers = {"seed": 5, "patient": patient, "image": patient % 2}
    without = draw(findings, size, **numbers)
    with_it = draw(findings, size, **numbers, confounders=[confounder])
    assert (with_it.findings, with_it.boxes) == (without.findings, without.boxes)
    (box,) = with_it.confounders
    assert box.finding == confounder
    assert 0 <= box.x < box.x + box.w <= size
    assert 0 <= box.y < box.y + box.h <= size
    inside = np.zeros((size, size), bool)
    inside[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = True
    change = with_it.image.astype(int) - without.image
    return change != 0, inside, change


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("findings", [(), ("Pneumothorax", "Effusion")], ids=["healthy", "ill"])
@pytest.mark.parametrize("confounder", CONFOUNDERS)
def test_a_confounder_brightens_its_own_pixels_and_no_other(confounder, findings, size):
    for patient in range(1, 4):
        changed, inside, change = pair(confounder, size, patient, findings)
        assert changed.any()
        assert not changed[~inside].any()
        assert change.min() >= 0
        assert change.max() > 20
        assert changed[inside].mean() > 0.02


@pytest.mark.parametrize("confounder", CONFOUNDERS)
def test_a_confounder_is_inside_the_center_crop(confounder):
    """The crop of 224 from 256 pixels loses 16 pixels on each side; the drain enters from outside the chest."""
    for patient in range(20):
        changed, _, _ = pair(confounder, 256, patient)
        assert changed[16:240, 16:240].sum() >= 0.85 * changed.sum()


def test_several_confounders_are_the_sum_of_the_single_ones():
    numbers = {"seed": 5, "patient": 3}
    together = draw([], 128, **numbers, confounders=tuple(CONFOUNDERS))
    assert [box.finding for box in together.confounders] == list(CONFOUNDERS)
    for box in together.confounders:
        alone = draw([], 128, **numbers, confounders=[box.finding])
        assert alone.confounders == (box,)
        assert (together.image >= alone.image).all()


def test_radiographs_without_confounders_have_not_changed():
    """The shipped network and the figures of the demo rest on these images; the values are of the version without."""
    means = [
        draw(CLASS_NAMES[index : index + 2], 128, seed=index, patient=index + 1, image=index % 3).image.mean()
        for index in range(0, 13, 2)
    ]
    np.testing.assert_allclose(means, [144.364, 119.096, 121.945, 125.766, 125.902, 103.009, 107.833], atol=0.01)


def test_unknown_confounders_are_refused():
    with pytest.raises(InputError, match="confounders: 'tube', expected one of chest_drain, pacemaker, ap_marker, let"):
        draw([], 64, confounders=["tube"])


# Planting


def test_the_rate_of_a_finding_replaces_the_general_one():
    planting = Planting.parse("chest_drain=0.05,Pneumothorax=0.9,Effusion=0.5")
    assert str(planting) == "chest_drain=0.05,Pneumothorax=0.9,Effusion=0.5"
    assert planting.rate_with([]) == planting.rate_with(["Mass"]) == 0.05
    assert planting.rate_with(["Effusion", "Mass"]) == 0.5
    assert planting.rate_with(["Effusion", "Pneumothorax"]) == 0.9


def test_confounders_are_planted_at_their_rates():
    plantings = parse_plantings(["chest_drain=0.1,Pneumothorax=0.8", "letter=0.3", "ap_marker=1"])
    counts: dict[str, Counter[str]] = {}
    for findings in ((), ("Pneumothorax",)):
        counts[str(findings)] = Counter(
            name for image in range(2000) for name in sample_confounders(plantings, findings, 3, image, 0)
        )
    well, ill = counts.values()
    assert well["chest_drain"] == pytest.approx(200, abs=50)
    assert ill["chest_drain"] == pytest.approx(1600, abs=60)
    assert well["letter"] == ill["letter"] == pytest.approx(600, abs=80)
    assert well["ap_marker"] == 2000
    assert well["pacemaker"] == 0


@pytest.mark.parametrize(
    "text",
    [
        *("", "chest_drain", "chest_drain=", "chest_drain=1.1", "chest_drain=nan", "chest_drain=-0.1", "tube=0.1"),
        *("Pneumothorax=0.5", "letter=0.1,Mas=0.5", "letter=0.1,letter=0.5", "letter=0.1,Mass=0.5,Mass=0.6"),
        "letter=0.1,",
    ],
)
def test_an_unusable_planting_is_refused(text):
    with pytest.raises(InputError, match=r"^--plant "):
        Planting.parse(text)


def test_a_data_set_says_what_was_planted_and_keeps_its_findings(tmp_path):
    plantings = parse_plantings(["chest_drain=0.1,Pneumothorax=0.9", "letter=0.3"])
    plain = make_dataset(tmp_path / "plain", 40, 48, 11, min_prevalence=0.15)
    planted = make_dataset(tmp_path / "planted", 40, 48, 11, min_prevalence=0.15, plantings=plantings)
    with open(tmp_path / "planted" / "confounders.csv", encoding="utf-8", newline="") as file:
        rows = {row.pop("Image Index"): row for row in csv.DictReader(file)}
    assert rows.keys() == {path.name for path in planted.image_dir.iterdir()}
    for name, row in rows.items():
        changed = sha256(plain.image_dir / name) != sha256(planted.image_dir / name)
        assert changed == ("1" in row.values())
    for split, path in planted.lists.items():
        assert path.read_bytes() == plain.lists[split].read_bytes()
        names = [line.split()[0] for line in path.read_text().splitlines()]
        assert planted.planted["letter"][split] == sum(int(rows[name]["letter"]) for name in names)
    assert (tmp_path / "plain" / "BBox_List.csv").read_bytes() == planted.box_file.read_bytes()
    assert plain.planted == {}
    assert not (tmp_path / "plain" / "confounders.csv").exists()
    assert "plant" not in (tmp_path / "plain" / "phantom.json").read_text()


# Pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs") / "set"
    return root, make_pairs(root, 2, 64, seed=4)


def test_each_patient_has_a_pair_of_everything(pairs):
    root, summary = pairs
    with open(summary.file, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (summary.pairs, summary.images) == (len(rows), 2 * (1 + len(PLANTED))) == (36, 38)
    assert [row["planted"] for row in rows] == 2 * [*CLASS_NAMES, *CONFOUNDERS]
    assert {path.name for path in (root / "images").iterdir()} == {
        row[side].removeprefix("images/") for row in rows for side in ("without", "with")
    }
    for row in rows:
        patient, planted = int(row["patient"]), row["planted"]
        findings, confounders = ([planted] if planted in kind else [] for kind in (CLASS_NAMES, CONFOUNDERS))
        expected = draw(findings, 64, seed=4, patient=patient, confounders=confounders).image
        np.testing.assert_array_equal(np.asarray(Image.open(root / row["with"])), expected)
        expected = draw([], 64, seed=4, patient=patient).image
        np.testing.assert_array_equal(np.asarray(Image.open(root / row["without"])), expected)


def test_the_same_arguments_give_the_same_pairs_and_complete_an_interrupted_run(pairs, tmp_path):
    root, summary = pairs
    again = make_pairs(tmp_path / "again", 2, 64, seed=4)
    (again.file).unlink()
    make_pairs(tmp_path / "again", 2, 64, seed=4)
    for path in [summary.file, *(root / "images").iterdir()]:
        assert sha256(path) == sha256(tmp_path / "again" / path.relative_to(root))
    with pytest.raises(InputError, match=r"already contains this data set \(pairs.csv\)"):
        make_pairs(root, 2, 64, seed=4)
    with pytest.raises(InputError, match="contains other files"):
        make_pairs(root, 2, 64, seed=5)


def test_one_patient_is_too_few(tmp_path):
    with pytest.raises(InputError, match="1 patients, expected at least 2"):
        make_pairs(tmp_path / "new", 1, 64, seed=0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("flags", [["--plant", "letter=0.1"], ["--images", "20"], ["--min_prevalence", "0.1"]])
def test_pairs_are_no_data_set(tmp_path, capsys, flags):
    assert run_script("tools/make_phantom.py", "--output_dir", str(tmp_path / "x"), "--pairs", "2", *flags) == 2
    assert capsys.readouterr().err.startswith(f"error: --pairs: cannot be combined with {flags[0]}")
    assert not (tmp_path / "x").exists()
