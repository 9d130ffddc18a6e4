"""The table of codes of findings."""

import pytest

from chexnet.inference.finding_codes import finding_code
from chexnet.labels import CLASS_NAMES


def test_codes_are_those_of_the_standard_and_unique():
    codes = pytest.importorskip("pydicom.sr.codedict").codes
    standard = (codes.SCT.PleuralEffusion, codes.SCT.Pneumothorax, codes.SCT.PulmonaryEdema)
    known = {code.value: code.meaning for code in standard}
    chosen = [finding_code(name) for name in CLASS_NAMES]
    for code in chosen:
        assert known.get(code.value, code.meaning) == code.meaning
    assert known.keys() <= {code.value for code in chosen}
    assert [code.scheme for code in chosen].count("SCT") == 13
    others = [finding_code(name) for name in (*CLASS_NAMES, "x", "X", "x ", "", "肺" * 99)]
    assert len({code.value for code in others}) == len(others)
    assert all(len(code.value) <= 16 and 0 < len(code.meaning) <= 64 for code in others)
