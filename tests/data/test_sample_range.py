"""Scaling with `sample_bits`, and warnings about samples that use less than half of their range."""

import re

import numpy as np
import pytest
from raster_files import SIZE, as_gray, make_reader, png, pnm, random_samples, refusal, tiff

from chexnet.data import images


@pytest.fixture
def read(tmp_path):
    return make_reader(tmp_path)


TWELVE = random_samples(12)
DEEP = {
    "png": png(TWELVE, 16, 0),
    "little endian tiff": tiff(TWELVE, 16, "<"),
    "big endian tiff": tiff(TWELVE, 16, ">", compression=8),
    "declared 14": tiff(TWELVE, 14),
    "pgm": pnm(5, TWELVE, 65535),
}


@pytest.mark.parametrize("name", DEEP)
def test_sample_bits_scale_files_that_declare_more(read, tmp_path, name):
    np.testing.assert_array_equal(read(DEEP[name], sample_bits=12), as_gray(TWELVE, 4095))
    assert images.sample_warnings(images.open_image(tmp_path / "x", sample_bits=12)) == []
    assert re.search("4,095.*2,047.*--sample_bits 16", refusal(read, DEEP[name], sample_bits=11))
    declared = 2**14 - 1 if name == "declared 14" else 65535
    np.testing.assert_array_equal(read(DEEP[name]), as_gray(TWELVE, declared))
    (warning,) = images.sample_warnings(images.open_image(tmp_path / "x"))
    assert re.search(f"4,095 of {declared:,}.*--sample_bits 12$", warning)


def test_sample_bits_scale_before_inversion(read):
    content = tiff(TWELVE, 16, photometric=0)
    np.testing.assert_array_equal(read(content, sample_bits=12), 255 - as_gray(TWELVE, 4095))


@pytest.mark.parametrize("bits", [8, 9, 12, 15, 16])
def test_a_sample_above_the_range_is_refused(read, bits):
    samples = np.full(SIZE, 2**bits - 1, np.uint16)
    assert (read(png(samples, 16, 0), sample_bits=bits) == 255).all()
    if bits < 16:
        samples[-1, -1] += 1
        message = refusal(read, png(samples, 16, 0), sample_bits=bits)
        assert f"{2**bits - 1:,} (sample_bits {bits})" in message


def test_sample_bits_do_not_affect_files_that_declare_no_more(read):
    for bits in (1, 4, 8):
        samples = random_samples(bits)
        for content in (png(samples, bits, 0), tiff(samples, bits)):
            np.testing.assert_array_equal(read(content, sample_bits=8), as_gray(samples, 2**bits - 1))
    np.testing.assert_array_equal(read(pnm(5, TWELVE, 4095), sample_bits=12), as_gray(TWELVE, 4095))
    assert re.search(
        "16-bit color.*--sample_bits 12", refusal(read, png(random_samples(16, (*SIZE, 3)), 16, 2), sample_bits=12)
    )


@pytest.mark.parametrize("highest", [1, 100, 127, 128, 255, 1000, 4080, 8191, 16384, 32767, 32768, 65535])
def test_a_warning_is_given_if_the_upper_half_of_the_range_is_unused(read, tmp_path, highest):
    samples = np.linspace(0, highest, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    read(png(samples, 16, 0))
    found = images.sample_range(images.open_image(tmp_path / "x"))
    assert (found.highest, found.white) == (highest, 65535)
    warnings = images.sample_warnings(images.open_image(tmp_path / "x"))
    assert bool(warnings) == (highest < 32768)
    if warnings:  # the recommended flag reads the file
        bits = int(re.search(r"--sample_bits (\d+)", warnings[0])[1])
        assert np.abs(read(png(samples, 16, 0), sample_bits=bits) - 255.0 * samples / (2**bits - 1)).max() <= 0.5
