"""tools/plan_test.py: plans for lists and for numbers."""

import json
import math

import numpy as np
import pytest
from conftest import load_script

from chexnet.data.lists import format_list
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics.sample_size import Design, clusters_of_labels, detectable_difference, growth

NAMES = tuple(f"{index // 3:08d}_{index % 3:03d}.png" for index in range(900))
LABELS = (np.random.default_rng(0).random((900, N_CLASSES)) < 0.2).astype(np.uint8)
LABELS[:, 13] = np.arange(900) % 100 == 0  # Hernia
LABELS[:, 12] = 0  # Pleural_Thickening


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Run tools/plan_test.py; return its exit code, its JSON and what it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(format_list(NAMES, LABELS))
    script = load_script("tools/plan_test.py")

    def run(*flags):
        try:
            code = script.main([*flags, "--output_json", "plan.json"])
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        content = json.loads((tmp_path / "plan.json").read_text()) if code == 0 else None
        return code, content, printed.out + printed.err

    return run


def test_a_plan_for_a_list(plan):
    code, content, printed = plan("--list", "list.txt", "--difference", "0.04", "--auroc", "0.8", "Mass=0.9")
    assert code == 0
    assert (content["images"], content["patients"]) == (900, 300)
    assert content["left_out"] == ["Pleural_Thickening"]
    assert len(content["classes"]) == 13
    patients = np.arange(900) // 3
    for name, area in (("Mass", 0.9), ("Edema", 0.8)):
        counts = clusters_of_labels(LABELS[:, CLASS_NAMES.index(name)], patients)
        found = content["classes"][name]
        assert found["auroc"] == area
        assert found["detectable"] == pytest.approx(detectable_difference([counts], [area], Design()))
        assert found["images"] == math.ceil(900 * growth([counts], [area], 0.04, Design()))
        assert (found["power"] > 0.8) == (found["images"] < 900)
    mean = content["mean"]
    assert mean["detectable"] < min(found["detectable"] for found in content["classes"].values())
    assert "unreliable: Hernia" in printed
    assert "left out: Pleural_Thickening" in printed
    assert "nan" not in printed


def test_assumptions_change_the_plan_in_the_expected_direction(plan):
    usual = plan("--list", "list.txt")[1]["mean"]
    assert plan("--list", "list.txt", "--model_correlation", "0.95")[1]["mean"]["detectable"] < usual["detectable"]
    assert plan("--list", "list.txt", "--patient_correlation", "0")[1]["mean"]["half_width"] < usual["half_width"]
    for flags in (("--unpaired",), ("--power", "0.95"), ("--alpha", "0.001"), ("--finding_correlation", "0.5")):
        assert plan("--list", "list.txt", *flags)[1]["mean"]["detectable"] > usual["detectable"]


def test_the_14_have_published_aurocs_and_others_an_assumed_one(plan, tmp_path):
    assert plan("--list", "list.txt")[1]["classes"]["Hernia"]["auroc"] == 0.9311
    (tmp_path / "two.txt").write_text("Mass\nFracture\n")
    (tmp_path / "short.txt").write_text(format_list(NAMES, LABELS[:, :2]))
    content = plan("--list", "short.txt", "--classes_file", "two.txt")[1]
    assert [found["auroc"] for found in content["classes"].values()] == [0.84, 0.84]


def test_a_plan_for_numbers(plan):
    flags = ("--images", "3000", "--patients", "1000", "--prevalence", "Mass=0.1", "Rib fracture=0.05")
    code, content, printed = plan(*flags, "--difference", "0.02")
    assert code == 0
    assert list(content["classes"]) == ["Mass", "Rib fracture"]
    assert content["classes"]["Mass"]["clusters"]["positives"] == pytest.approx(300)
    assert content["classes"]["Mass"]["detectable"] < content["classes"]["Rib fracture"]["detectable"]
    alone = plan("--images", "3000", "--prevalence", "Mass=0.1")[1]["classes"]["Mass"]
    assert alone["detectable"] < content["classes"]["Mass"]["detectable"]
    assert "3,000 images of 1,000 patients" in printed


def test_simulations_are_added_on_request(plan):
    flags = ("--list", "list.txt", "--auroc", "0.85", "--finding_correlation", "0", "--simulations", "40")
    content = plan(*flags)[1]
    powers = [found["simulated_power"] for name, found in content["classes"].items() if name != "Hernia"]
    assert np.mean(powers) == pytest.approx(0.8, abs=0.08)
    assert 0.55 < content["mean"]["simulated_power"] <= 1


def test_unknown_patients_are_counted(plan, tmp_path):
    (tmp_path / "list.txt").write_text(format_list([f"scan{index}.png" for index in range(900)], LABELS))
    _, content, printed = plan("--list", "list.txt")
    assert (content["patients"], content["unknown_patients"]) == (900, 900)
    assert "the patients of 900 images are unknown" in printed


INVALID = {
    "nothing": ((), "expected either --list LIST, or --images N"),
    "both": (("--list", "list.txt", "--images", "5", "--prevalence", "A=0.5"), "expected either"),
    "no prevalence": (("--images", "5"), "expected either"),
    "unnamed prevalence": (("--images", "5", "--prevalence", "0.5"), "expected either"),
    "prevalence": (("--images", "5", "--prevalence", "A=1"), "--prevalence: found 'A=1'"),
    "NaN": (("--images", "5", "--prevalence", "A=nan"), "--prevalence: found 'A=nan'"),
    "twice": (("--images", "5", "--prevalence", "A=0.1", "A=0.2"), "--prevalence: found 'A=0.2'"),
    "patients": (("--images", "5", "--patients", "6", "--prevalence", "A=0.5"), "--patients: found 6 for 5"),
    "auroc": (("--list", "list.txt", "--auroc", "0.5"), "--auroc: found '0.5'"),
    "unknown finding": (("--list", "list.txt", "--auroc", "Rib=0.8"), "--auroc: 'Rib' is unknown, expected one of A"),
    "correlation": (("--list", "list.txt", "--model_correlation", "1"), "'1' is not a number from 0 to below 1"),
    "power": (("--list", "list.txt", "--power", "0.01"), "--power: found 0.01"),
    "alpha": (("--list", "list.txt", "--alpha", "nan"), "'nan' is not a number between 0 and 1"),
    "no list": (("--list", "none.txt"), "none.txt: the list file cannot be read"),
    "simulations": (("--images", "5", "--prevalence", "A=0.5", "--simulations", "9"), "--simulations"),
    "one patient": (("--list", "one.txt"), "one.txt: all 3 images are of one patient"),
    "no positives": (("--list", "zero.txt"), "zero.txt: every finding has only positives or only negatives"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_input_is_one_line_and_code_2(case, plan, tmp_path):
    (tmp_path / "one.txt").write_text(format_list(NAMES[:3], LABELS[:3]))
    (tmp_path / "zero.txt").write_text(format_list(NAMES, 0 * LABELS))
    flags, message = INVALID[case]
    code, _, printed = plan(*flags)
    assert code == 2
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "plan.json").exists()
