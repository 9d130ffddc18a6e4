"""Outputs of a network mapped to the findings of other lists."""

import numpy as np
import pytest

from chexnet.errors import InputError
from chexnet.evaluation.class_mapping import parse_mapping

OUTPUTS = ("Effusion", "Infiltration", "Consolidation", "Pleural_Thickening")
FINDINGS = ("Lung Opacity", "Pleural Effusion", "Pleural Thickening", "Fracture")
TEXTS = ("Lung Opacity=Infiltration|consolidation", "pleural effusion = Effusion")


@pytest.mark.parametrize("rule", ["max", "noisy_or"])
def test_probabilities_and_labels_of_the_findings(rule):
    mapping = parse_mapping(TEXTS, OUTPUTS, FINDINGS, rule)
    assert mapping.classes == ("Lung Opacity", "Pleural Effusion", "Pleural Thickening")
    rng = np.random.default_rng(0)
    p, of_outputs, of_list = rng.random((20, 4)), rng.integers(0, 2, (20, 4)), rng.integers(0, 2, (20, 4))
    either = np.maximum(p[:, 1], p[:, 2]) if rule == "max" else p[:, 1] + p[:, 2] - p[:, 1] * p[:, 2]
    np.testing.assert_allclose(mapping.probabilities(p), np.stack([either, p[:, 0], p[:, 3]], axis=1))
    np.testing.assert_array_equal(
        mapping.output_labels(of_outputs),
        np.stack([of_outputs[:, 1] | of_outputs[:, 2], of_outputs[:, 0], of_outputs[:, 3]], axis=1),
    )
    np.testing.assert_array_equal(mapping.list_labels(of_list), of_list[:, :3])


def test_what_is_left_out_is_named():
    text = " ".join(parse_mapping(TEXTS[1:], OUTPUTS, FINDINGS).describe())
    assert "Lung Opacity, Fracture" in text
    assert "Infiltration, Consolidation" in text
    assert "Pleural Effusion = Effusion" in text
    assert "max" not in text  # no finding has two outputs
    assert "noisy_or" in " ".join(parse_mapping(TEXTS, OUTPUTS, FINDINGS, "noisy_or").describe())
    assert parse_mapping((), OUTPUTS, OUTPUTS).describe() == []


INVALID = {
    "Lung Opacity": "expected FINDING=OUTPUT",
    "=Effusion": "expected FINDING=OUTPUT",
    "Fracture=": "expected FINDING=OUTPUT",
    "Fracture=Effusion|": "'' is unknown",
    "Fracture=Mass": "'Mass' is unknown, expected one of the outputs: Effusion",
    "Nodule=Effusion": "'Nodule' is unknown, expected one of the findings of the list: Lung Opacity",
    "Fracture=Effusion|effusion": "repeats a name",
}


@pytest.mark.parametrize("text", INVALID)
def test_an_invalid_mapping_is_an_error(text):
    with pytest.raises(InputError, match=r"--map") as error:
        parse_mapping([text], OUTPUTS, FINDINGS)
    assert INVALID[text] in str(error.value)


def test_other_errors():
    with pytest.raises(InputError, match="repeats a name"):
        parse_mapping(["Fracture=Effusion", "Fracture=Infiltration"], OUTPUTS, FINDINGS)
    with pytest.raises(InputError, match=r"no finding of the list has an output.*--map"):
        parse_mapping([], OUTPUTS, ("Fracture", "Support Devices"))
