"""Shortcuts: the arithmetic against slow obvious versions, the rule, the tool with a predictor that is known."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from conftest import ROOT, run_script
from PIL import Image
from scipy.special import expit, logit

from chexnet.errors import InputError
from chexnet.evaluation.shortcuts import (
    FRACTION,
    MIN_LOGIT,
    check_shortcuts,
    format_result,
    judge,
    measure_effects,
    read_pairs,
)
from chexnet.evaluation.shortcuts.effects import SEED, Change, Effect
from chexnet.metrics.bootstrap import REPLICATES
from chexnet.model import CheXNet, checkpoint
from chexnet.phantom import make_pairs

CLASSES = ("Effusion", "Pneumothorax")
THINGS = ("Effusion", "Pneumothorax", "drain", "pacemaker")


def made(patients=12, repeats=2, seed=0):
    """Return planted things, patients and probabilities without and with them; some patients have more pairs."""
    rng = np.random.default_rng(seed)
    planted, owners = [], []
    for patient in range(patients):
        for thing in THINGS:
            count = 1 + (patient % repeats)
            planted += [thing] * count
            owners += [f"p{patient}"] * count
    without = expit(rng.normal(-3, 1, (len(planted), 2)))
    with_it = expit(logit(without) + rng.normal(1, 1, without.shape))
    return planted, owners, without, with_it


def test_means_and_intervals_are_those_of_a_plain_loop_over_resampled_patients():
    planted, owners, without, with_it = made()
    found = {
        (effect.planted, effect.finding): effect
        for effect in measure_effects(planted, owners, without, with_it, CLASSES)
    }
    assert len(found) == len(THINGS) * len(CLASSES)
    changes = logit(with_it) - logit(without)
    for thing in THINGS:
        patients = sorted({owner for name, owner in zip(planted, owners, strict=True) if name == thing})
        rows = {
            patient: [
                row for row, key in enumerate(zip(planted, owners, strict=True)) if key == (thing, patient)
            ]
            for patient in patients
        }  # fmt: skip
        rng = np.random.default_rng(SEED)
        draws = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), REPLICATES)
        for column, finding in enumerate(CLASSES):
            means = []
            for counts in draws[:200]:
                chosen = [
                    row for patient, count in zip(patients, counts, strict=True) for row in rows[patient] * int(count)
                ]
                means.append(np.mean(changes[chosen, column]))
            effect = found[thing, finding]
            every = [row for patient in patients for row in rows[patient]]
            assert effect.logit.mean == pytest.approx(changes[every, column].mean())
            assert effect.probability.mean == pytest.approx((with_it - without)[every, column].mean())
            assert (effect.pairs, effect.patients) == (len(every), len(patients))
            # 200 of the 2,000 resamples: their percentiles are near those of all.
            spread = np.std(means)
            np.testing.assert_allclose(
                (effect.logit.low, effect.logit.high), np.percentile(means, (2.5, 97.5)), atol=spread
            )


def test_the_intervals_contain_the_true_change_in_about_95_of_100_cases():
    rng = np.random.default_rng(3)
    without = np.full((40, 100), 0.2)
    with_it = expit(logit(without) + rng.normal(0.5, 1, without.shape))
    cases = [f"case {column}" for column in range(100)]
    effects = measure_effects(["drain"] * 40, list(map(str, range(40))), without, with_it, cases)
    assert 86 <= sum(effect.logit.low <= 0.5 <= effect.logit.high for effect in effects) <= 100


def test_probabilities_of_nought_and_one_have_finite_changes():
    effects = measure_effects(["drain"] * 2, ["a", "b"], np.zeros((2, 1)), np.ones((2, 1)), ["Mass"])
    assert effects[0].logit.mean == pytest.approx(2 * 15.942385)
    assert effects[0].probability == Change(1, 1, 1)


def effect(planted, finding, mean, low=None, high=None):
    low, high = mean - 0.1 if low is None else low, mean + 0.1 if high is None else high
    return Effect(planted, finding, 20, 20, Change(mean, low, high), Change(0, 0, 0))


@pytest.mark.parametrize(
    ("own", "change", "fraction"),
    [
        (4.0, effect("drain", "Pneumothorax", 1.5), 1.5 / 4),
        (4.0, effect("drain", "Pneumothorax", -1.5), 1.5 / 4),
        (4.0, effect("drain", "Pneumothorax", 1.5, -0.1, 3), None),
        (8.0, effect("drain", "Pneumothorax", 1.5), None),
        (1.0, effect("drain", "Pneumothorax", 0.9), None),
        (4.0, effect("Effusion", "Pneumothorax", 3.0), None),
        (4.0, effect("drain", "Effusion", 3.0), None),
    ],
    ids=["up", "down", "interval", "fraction", "logit", "a finding", "no reference"],
)
def test_the_rule(own, change, fraction):
    verdict = judge([effect("Pneumothorax", "Pneumothorax", own), change], CLASSES)
    assert verdict.not_judged == ("Effusion",)
    assert [shortcut.fraction for shortcut in verdict.shortcuts] == ([] if fraction is None else [fraction])
    assert (MIN_LOGIT, FRACTION) == (1.0, 0.25)


def test_a_network_that_has_learned_only_the_drain_is_caught():
    verdict = judge([effect("Pneumothorax", "Pneumothorax", -0.2), effect("drain", "Pneumothorax", 5)], CLASSES)
    assert [(found.effect.planted, found.fraction) for found in verdict.shortcuts] == [("drain", None)]


# The file of pairs and the tool


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Pairs of three synthetic patients."""
    return make_pairs(tmp_path_factory.mktemp("pairs") / "set", 3, 48, seed=9).file


class KnownPredictor:
    """Return a logit per thing that the name of the image file says; drains raise Pneumothorax if `biased`."""

    classes = CLASSES
    ckpt_sha256, disclaimer, engine, crops = "4a5f", "", "none", 1

    def __init__(self, biased: bool) -> None:
        self.biased = biased

    def predict_all(self, paths):
        for path in paths:
            patient, planted = path.stem.split("_", 1)
            logits = np.array([-4.0, -5.0]) + 0.1 * int(patient)
            logits += [6.0 * (planted == "Effusion"), 7.0 * (planted == "Pneumothorax")]
            logits[1] += (3.0 if self.biased else 0.2) * (planted == "chest_drain")
            yield SimpleNamespace(probabilities=expit(logits))


def test_a_biased_network_is_caught_and_an_unbiased_one_passes(pairs):
    for biased in (True, False):
        result = check_shortcuts(KnownPredictor(biased), pairs)
        effects = {(effect.planted, effect.finding): effect.logit for effect in result.effects}
        assert effects["Pneumothorax", "Pneumothorax"].mean == pytest.approx(7.0)
        assert effects["chest_drain", "Pneumothorax"].mean == pytest.approx(3.0 if biased else 0.2)
        assert effects["letter", "Effusion"] == Change(0, 0, 0)
        found = [(shortcut.effect.planted, shortcut.effect.finding) for shortcut in result.verdict.shortcuts]
        assert found == [("chest_drain", "Pneumothorax")] * biased
        content = json.loads(json.dumps(result.to_dict()))
        assert content["pairs"]["patients"] == 3
        assert [entry["fraction"] for entry in content["shortcuts"]] == [pytest.approx(3 / 7)] * biased
        ((pair, finding),) = result.examples()
        assert (pair.planted, finding) == ("chest_drain", "Pneumothorax")
        lines = format_result(result).splitlines()
        assert any(line.startswith("shortcut: chest_drain moves Pneumothorax by +3.00") for line in lines) is biased
        assert any(line.startswith("no shortcut") for line in lines) is not biased


def test_the_script_writes_json_and_a_pair_of_heat_maps(pairs, tmp_path, capsys):
    paddle.seed(3)
    ckpt = tmp_path / "m.pdparams"
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), ckpt)
    checkpoint.write_metadata_file(ckpt, {"backbone": "lenet", "resize": 40, "crop": 32})
    flags = ["--crops", "1", "--device", "cpu", "--engine", "paddle", "--num_workers", "0"]
    out = tmp_path / "out"
    assert (
        run_script("tools/shortcuts.py", "--ckpt", str(ckpt), "--pairs", str(pairs), "--output_dir", str(out), *flags)
        == 0
    )
    assert "no shortcut" in capsys.readouterr().out
    content = json.loads((out / "shortcuts.json").read_text())
    assert len(content["effects"]) == 18 * 14
    (picture,) = out.glob("*.png")
    assert Image.open(picture).size[1] > 400


SHIPPED = ROOT / "pretrained_models/phantom_densenet121.safetensors"

HEADER = "patient,planted,without,with\n"

REFUSED = {
    "no column": ("patient,planted,without\n1,a,b\n", "pairs.csv:1: 0 columns 'with', expected one"),
    "no line": (HEADER, "pairs.csv: no line below the header"),
    "empty": (HEADER + ",drain,a.png,b.png\n", "pairs.csv:2: patient is '', expected text"),
    "short": (HEADER + "1,drain,a.png\n", "pairs.csv:2: 3 columns, expected 4"),
    "missing": (HEADER + "1,drain,a.png,none.png\n", "none.png: no such image file"),
    "same": (HEADER + "1,drain,a.png,a.png\n", "expected two images"),
    "twice": (HEADER + "1,drain,a.png,b.png\n" * 2, "pairs.csv:3: the pair is also in line 2"),
    "one patient": (HEADER + "1,drain,a.png,b.png\n", "drain is planted in 1 patient, expected at least 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_file_of_pairs_is_refused_in_one_line(name, tmp_path):
    text, expected = REFUSED[name]
    for image in ("a", "b"):
        Image.new("L", (8, 8)).save(tmp_path / f"{image}.png")
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError) as error:
        read_pairs(tmp_path / "pairs.csv")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_pairs_as_a_spreadsheet_writes_them(tmp_path):
    """Semicolons, a byte-order mark, CRLF, other columns, another order, names that are not ASCII."""
    for image in ("ä", "b c"):
        Image.new("L", (8, 8)).save(tmp_path / f"{image}.png")
    lines = ["note;with;planted;patient;without", "x;ä.png;Sonde é;1;b c.png", ";ä.png;Sonde é;2;b c.png"]
    (tmp_path / "pairs.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig")
    found = read_pairs(tmp_path / "pairs.csv")
    assert [(pair.patient, pair.planted, pair.with_it.name) for pair in found] == [
        ("1", "Sonde é", "ä.png"), ("2", "Sonde é", "ä.png"),
    ]  # fmt: skip


def test_pairs_without_any_finding_of_the_network_and_damaged_images_are_refused(pairs, tmp_path):
    other = KnownPredictor(True)
    other.classes = ("Fracture", "Effusions")
    with pytest.raises(
        InputError, match=r"pairs\.csv: plants .*, expected also findings of the network, Fracture, Eff"
    ):
        check_shortcuts(other, pairs)
    damaged = KnownPredictor(True)
    damaged.predict_all = lambda paths: (InputError(f"{path}: damaged") for path in paths)
    with pytest.raises(InputError, match=r"00000001_none\.png: damaged"):
        check_shortcuts(damaged, pairs)


def test_the_file_of_pairs_is_not_replaced(pairs, tmp_path, capsys):
    with open(pairs, encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 54
    moved = tmp_path / "shortcuts.json"
    moved.write_bytes(pairs.read_bytes())
    flags = ["--ckpt", str(SHIPPED), "--pairs", str(moved), "--output_dir", str(tmp_path)]
    assert run_script("tools/shortcuts.py", *flags) == 2
    assert "is read by this run" in capsys.readouterr().err
