"""Lookup tables of DICOM files, including those that contradict their own header."""

import re

import numpy as np
import pytest
from dicom_files import TWELVE, dataset, lut_sequence, read, refusal, scale, scale_full_range


@pytest.mark.parametrize("declared", range(8, 17))
@pytest.mark.parametrize("used", [8, 10, 12, 14, 16])
def test_a_voi_lut_is_scaled_by_the_bits_that_it_uses(declared, used, tmp_path):
    entries = np.arange(4096) * 2**used // 4096
    ds = dataset(TWELVE, VOILUTSequence=lut_sequence(entries, 0, declared))
    if used == declared - 1:
        assert re.search(f"VOI LUT.* {declared} bits", refusal(ds, tmp_path))
    else:
        np.testing.assert_array_equal(read(ds, tmp_path), scale(entries[TWELVE], 0, 2**used - 1))


@pytest.mark.parametrize("top", [3100, 4000, 4096])
def test_a_voi_lut_may_use_part_of_its_range(top, tmp_path):
    entries = np.arange(4096) * top // 4095
    gray = read(dataset(TWELVE, VOILUTSequence=lut_sequence(entries, 0, 16)), tmp_path)
    np.testing.assert_array_equal(gray, scale(entries[TWELVE], 0, 4095))


@pytest.mark.parametrize("first", [-2000, 63_536, 33_000, -32_536])
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_the_first_value_of_a_lookup_table_may_have_the_wrong_sign(first, keyword, tmp_path):
    meant = -2000 if first in (-2000, 63_536) else 33_000
    stored = (TWELVE.astype(int) + meant).astype(np.int16 if meant < 0 else np.uint16)
    ds = dataset(stored, **{keyword: lut_sequence(np.arange(4096), first, 12, first < 0)})
    expected = scale(TWELVE, 0, 4095) if keyword == "VOILUTSequence" else scale_full_range(TWELVE)
    np.testing.assert_array_equal(read(ds, tmp_path), expected)


@pytest.mark.parametrize("defect", ["short", "long", "no descriptor", "no data", "two numbers", "17 bits"])
def test_a_malformed_lookup_table_is_refused(defect, tmp_path):
    sequence = lut_sequence(np.arange(4096), 0, 12)
    item = sequence[0]
    if defect in ("short", "long"):
        item.LUTData = item.LUTData[:4000] if defect == "short" else [*item.LUTData, *item.LUTData]
    elif defect == "two numbers":
        item.LUTDescriptor = [4096, 0]
    elif defect == "17 bits":
        item.LUTDescriptor = [4096, 0, 17]
    else:
        delattr(item, "LUTDescriptor" if defect == "no descriptor" else "LUTData")
    assert "VOI LUT" in refusal(dataset(TWELVE, VOILUTSequence=sequence), tmp_path)


def test_the_first_of_several_voi_luts_is_used(tmp_path):
    first, second = (lut_sequence(entries, 0, 12) for entries in (np.arange(4096), np.arange(4096)[::-1]))
    ds = dataset(TWELVE, VOILUTSequence=[first[0], second[0]])
    np.testing.assert_array_equal(read(ds, tmp_path), scale(TWELVE, 0, 4095))
