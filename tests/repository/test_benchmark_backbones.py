"""Counts, table and plot of benchmarks/backbones.py. Its timings are not tested."""

import pytest
from PIL import Image

from benchmarks.backbones import BackbonePerformance, _count_operations, draw, table

FOUND = {
    "densenet121": BackbonePerformance(
        6_968_206, 2_833_152_000, {"a": (20.0, 20.0), "b": (5.0, 5.0)}, 500, 0.9, 0.88, 0.92, 80
    ),
    "lenet": BackbonePerformance(62_346, 164_005_656, {"a": (300.0, 20.0), "b": None}, 300, 0.52, 0.45, 0.6, 4),
}


def test_multiply_adds_of_a_network_that_can_be_counted_by_hand():
    """LeNet on 224 x 224 pixels: the number of outputs times the multiply-adds of each."""
    convolutions = 6 * 220**2 * 3 * 25 + 16 * 106**2 * 6 * 25 + 120 * 49**2 * 16 * 25
    assert _count_operations("lenet") == (62_346, convolutions + 120 * 84 + 84 * 14)


def test_multiply_adds_of_densenet_match_torchvision():
    """DenseNet121_Weights lists 2.834 "GFLOPS", which are multiply-adds, with 1000 outputs."""
    parameters, multiply_adds = _count_operations("densenet121")
    assert parameters == 6_968_206
    assert multiply_adds + 1024 * (1000 - 14) == pytest.approx(2.834e9, abs=5e5)


def test_the_table_has_a_row_per_backbone_and_ratios_to_densenet():
    head, _, first, second = table(FOUND).splitlines()
    assert head.split("|")[4:6] == [" a ", " b "]
    assert "| 20.0 (1.00) | 5.0 (1.00) |" in first
    assert "| 300.0 (15.00) | - |" in second


def test_the_plot_is_a_picture(tmp_path):
    draw(FOUND, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (1210, 202)  # the height of two backbones
