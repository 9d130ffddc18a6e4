import copy
import json

import pytest

from chexnet.config.crops import CROPS
from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.inference.thresholds import (
    Thresholds,
    find_thresholds,
    format_thresholds,
    read_thresholds,
    thresholds_path,
)
from chexnet.labels import CLASS_NAMES
from chexnet.metrics.platt import PlattScaling

POINT = {"threshold": 0.25, "sensitivity": 0.8, "specificity": 0.7}
SOUND = {"schema": 1, "chosen": "Youden on val_list.txt", "thresholds": dict.fromkeys(CLASS_NAMES, POINT)}


@pytest.fixture
def ckpt(tmp_path):
    (tmp_path / "model.pdparams").write_bytes(b"weights")
    return tmp_path / "model.pdparams"


def read(facts, ckpt):
    path = ckpt.with_name("thresholds.json")
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))
    return read_thresholds(path, sha256(ckpt))


def test_points_have_the_order_of_the_classes(ckpt):
    shuffled = copy.deepcopy(SOUND)
    shuffled["thresholds"] = {name: dict(POINT) for name in reversed(CLASS_NAMES)}
    shuffled["thresholds"]["Mass"]["threshold"] = 1
    found = read(shuffled, ckpt)
    assert tuple(found.points) == CLASS_NAMES
    assert found.chosen == "Youden on val_list.txt"
    assert (found.points["Mass"].threshold, found.points["Nodule"].threshold) == (1, 0.25)
    assert found.points["Mass"].sensitivity == 0.8


def test_a_finding_is_present_at_or_above_its_threshold(ckpt):
    point = read(SOUND, ckpt).points["Mass"]
    assert [point.decides(value) for value in (0.2499, 0.25, 0.9)] == [False, True, True]


def test_thresholds_of_the_same_weights_are_accepted(ckpt):
    assert read({**SOUND, "ckpt_sha256": sha256(ckpt)}, ckpt).points["Mass"].threshold == 0.25
    assert read({**SOUND, "ckpt_sha256": sha256(ckpt)}, ckpt).ckpt_sha256 == sha256(ckpt)
    assert read(SOUND, ckpt).ckpt_sha256 is None


def found(facts, ckpt, crops=10):
    """Return the thresholds of a run without --thresholds, and its log."""
    thresholds_path(ckpt).write_text(json.dumps(facts))
    lines: list[str] = []
    return find_thresholds(None, ckpt, sha256(ckpt), CLASS_NAMES, crops, lines.append), lines


def test_the_thresholds_of_the_checkpoint_are_used_and_reported(ckpt):
    lines: list[str] = []
    assert find_thresholds(None, ckpt, sha256(ckpt), CLASS_NAMES, 10, lines.append) is None
    assert lines == []
    (path, thresholds), lines = found({**SOUND, "ckpt_sha256": sha256(ckpt), "crops": 10}, ckpt)
    assert path == str(ckpt.with_name("model.thresholds.json"))
    assert thresholds == Thresholds(SOUND["chosen"], thresholds.points, sha256(ckpt), 10)
    assert thresholds.points["Mass"].threshold == 0.25
    assert lines == [f"=> thresholds of {path}: Youden on val_list.txt"]
    _, lines = found({**SOUND, "ckpt_sha256": sha256(ckpt), "crops": 10}, ckpt, crops=1)
    assert "with --crops 10" in lines[1]


def test_the_thresholds_of_the_checkpoint_must_be_for_its_weights(ckpt):
    with pytest.raises(InputError, match=r"model\.thresholds\.json: has no ckpt_sha256"):
        found(SOUND, ckpt)
    known = {**SOUND, "ckpt_sha256": sha256(ckpt)}
    ckpt.write_bytes(b"trained again")
    with pytest.raises(InputError, match="chosen for weights with SHA-256"):
        found(known, ckpt)


def test_given_thresholds_take_precedence(ckpt):
    given = ckpt.with_name("given.json")
    given.write_text(json.dumps({**SOUND, "chosen": "by hand"}))
    thresholds_path(ckpt).write_text("no JSON")
    lines: list[str] = []
    path, thresholds = find_thresholds(str(given), ckpt, sha256(ckpt), CLASS_NAMES, 1, lines.append)
    assert (path, thresholds.chosen, thresholds.crops) == (str(given), "by hand", None)
    assert lines[0].startswith(f"=> warning: {given}: ")


@pytest.mark.parametrize("crops", [0, 5, True, "10", 10.0, "Dense"])
def test_an_impossible_number_of_crops_is_refused(ckpt, crops):
    with pytest.raises(InputError, match="expected 10, 1 or dense"):
        read({**SOUND, "crops": crops}, ckpt)


def test_written_thresholds_are_read_back(ckpt):
    for crops in (None, *CROPS):
        thresholds = Thresholds("by hand", read(SOUND, ckpt).points, sha256(ckpt), crops)
        assert read(json.loads(format_thresholds(thresholds)), ckpt) == thresholds


SCALINGS = {name: {"slope": 0.5, "offset": -1} for name in CLASS_NAMES}
CALIBRATION = {
    "list": "val_list.txt",
    "images": 307,
    "sha256": "9c1e",
    "temperature": 1.25,
    "platt": SCALINGS,
    "left_out": [],
}


def with_calibration(**changes) -> dict:
    return {**SOUND, "calibration": {**CALIBRATION, **changes}}


def with_platt(**changes) -> dict:
    return with_calibration(platt={name: change for name, change in {**SCALINGS, **changes}.items() if change})


def test_a_file_of_an_earlier_version_has_no_calibration(ckpt):
    found = read(SOUND, ckpt)
    assert (found.calibration, found.temperature, found.validation_list) == (None, None, None)
    assert found.uncalibrated == list(CLASS_NAMES)
    assert "calibration" not in json.loads(format_thresholds(found))


def test_the_calibration_and_its_list_are_read(ckpt):
    found = read(with_platt(Mass={"slope": 2, "offset": 0.25}), ckpt)
    assert tuple(found.calibration) == CLASS_NAMES
    assert found.calibration["Mass"] == PlattScaling(2, 0.25)
    assert (found.temperature, found.uncalibrated) == (1.25, [])
    assert (found.validation_list, found.validation_images, found.validation_sha256) == ("val_list.txt", 307, "9c1e")
    assert read(json.loads(format_thresholds(found)), ckpt) == found
    unknown = read(with_calibration(temperature=None, sha256=None), ckpt)
    assert (unknown.temperature, unknown.validation_sha256) == (None, None)
    assert read(json.loads(format_thresholds(unknown)), ckpt) == unknown


def test_findings_without_a_fit_are_left_out_by_name(ckpt):
    content = with_platt(Hernia=None, Mass=None)
    content["calibration"]["left_out"] = ["Mass", "Hernia"]
    found = read(content, ckpt)
    assert found.uncalibrated == ["Mass", "Hernia"]
    assert len(found.calibration) == len(CLASS_NAMES) - 2
    assert read(json.loads(format_thresholds(found)), ckpt) == found


def with_thresholds(**changes) -> dict:
    points = {name: change for name, change in {**SOUND["thresholds"], **changes}.items() if change is not None}
    return {**SOUND, "thresholds": points}


REFUSED = {
    "text": ("no JSON", "not readable as JSON: "),
    "list": ([1], 'not a threshold file, expected "schema": 1 and "thresholds": {...}'),
    "no schema": ({"thresholds": SOUND["thresholds"]}, "not a threshold file"),
    "later schema": ({**SOUND, "schema": 2}, "not a threshold file"),
    "no thresholds": ({"schema": 1}, "not a threshold file"),
    "missing class": (with_thresholds(Hernia=None), "classes differ from those of the network: missing Hernia"),
    "other class": (
        with_thresholds(Hernia=None, Fracture=POINT),
        "classes differ from those of the network: unknown Fracture; missing Hernia",
    ),
    "number": (with_thresholds(Mass=0.5), "Mass: 0.5, expected an object of threshold, sensitivity, specificity"),
    "more": (with_thresholds(Mass={**POINT, "rule": 1}), "Mass: {"),
    "less": (with_thresholds(Mass={"threshold": 0.5}), "Mass: {"),
    "percent": (with_thresholds(Mass={**POINT, "threshold": 50}), "Mass: threshold is 50, expected a number from 0 to"),
    "truth": (with_thresholds(Mass={**POINT, "sensitivity": True}), "Mass: sensitivity is True, expected"),
    "nan": (with_thresholds(Mass={**POINT, "specificity": float("nan")}), "not readable as JSON: NaN"),
    "a number of 401 digits": (with_thresholds(Mass={**POINT, "threshold": 10**400}), "not readable as JSON: a whole"),
    "escape sequences": ({**SOUND, "chosen": "\x1b[2J"}, "'chosen' and 'ckpt_sha256' are ('\\x1b[2J', None)"),
    "no text": ({**SOUND, "ckpt_sha256": 3}, "'chosen' and 'ckpt_sha256' are "),
    "half a character": ({**SOUND, "chosen": "\ud800"}, "not readable as JSON: "),
    "calibration as a list": ({**SOUND, "calibration": []}, "calibration: [], expected an object of list, images, "),
    "calibration with more": (with_calibration(rule=1), "calibration: {"),
    "null calibration": ({**SOUND, "calibration": None}, "calibration: None, expected an object"),
    "fit missing": (with_platt(Hernia=None), "calibration: classes differ from those of the network: missing Hernia"),
    "fit of another class": (
        with_platt(Fracture={"slope": 1, "offset": 0}),
        "calibration: classes differ from those of the network: unknown Fracture",
    ),
    "fit in both": (with_calibration(left_out=["Mass"]), "calibration: Mass occurs twice"),
    "left out twice": (
        {**SOUND, "calibration": {**CALIBRATION, "platt": {}, "left_out": [*CLASS_NAMES, "Mass"]}},
        "calibration: Mass occurs twice",
    ),
    "left out is a number": (with_calibration(left_out=[3]), "calibration: expected platt as an object"),
    "slope of 0": (with_platt(Mass={"slope": 0, "offset": 0}), "calibration: Mass: slope is 0, expected a number abov"),
    "negative slope": (with_platt(Mass={"slope": -1, "offset": 0}), "calibration: Mass: slope is -1, expected"),
    "huge slope": (with_platt(Mass={"slope": 1e300, "offset": 0}), "calibration: Mass: slope is 1e+300, expected"),
    "huge offset": (with_platt(Mass={"slope": 1, "offset": -1e9}), "calibration: Mass: offset is -1000000000.0, expe"),
    "slope as text": (with_platt(Mass={"slope": "1", "offset": 0}), "calibration: Mass: slope is '1', expected"),
    "true offset": (with_platt(Mass={"slope": 1, "offset": True}), "calibration: Mass: offset is True, expected"),
    "no offset": (with_platt(Mass={"slope": 1}), "calibration: Mass: {'slope': 1}, expected an object of slope, offse"),
    "nan slope": (with_platt(Mass={"slope": float("nan"), "offset": 0}), "not readable as JSON: NaN"),
    "negative temperature": (with_calibration(temperature=-1), "calibration: temperature is -1, expected"),
    "half an image": (with_calibration(images=0.5), "calibration: images is 0.5, expected a whole number above 0"),
    "no list": (with_calibration(list=""), "calibration: list and sha256 are ('', '9c1e'), expected"),
    "escape sequences in the list": (with_calibration(list="\x1b[2J"), "calibration: list and sha256 are "),
    "other weights": ({**SOUND, "ckpt_sha256": "4a5f"}, "chosen for weights with SHA-256 4a5f, "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_file_is_refused_in_one_line(name, ckpt):
    facts, expected = REFUSED[name]
    with pytest.raises(InputError) as error:
        read(facts, ckpt)
    message = str(error.value)
    path = str(ckpt.with_name("thresholds.json"))
    assert message.startswith(f"{path}: {expected}")
    assert "\n" not in message


def test_a_missing_file_is_named(ckpt):
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
        read_thresholds("none.json", None)
