"""What benchmarks/backbones.py counts and shows; what it times is not tested."""

import pytest
from PIL import Image

from benchmarks.backbones import Measured, _work, draw, table

FOUND = {
    "densenet121": Measured(6_968_206, 2_833_152_000, {"a": (20.0, 20.0), "b": (5.0, 5.0)}, 500, 0.9, 0.88, 0.92, 80),
    "lenet": Measured(62_346, 164_005_656, {"a": (300.0, 20.0), "b": None}, 300, 0.52, 0.45, 0.6, 4),
}


def test_multiply_adds_of_a_network_that_can_be_counted_by_hand():
    """LeNet on 224 x 224: outputs times what each is the sum of."""
    convolutions = 6 * 220**2 * 3 * 25 + 16 * 106**2 * 6 * 25 + 120 * 49**2 * 16 * 25
    assert _work("lenet") == (62_346, convolutions + 120 * 84 + 84 * 14)


def test_densenet_does_the_work_that_torchvision_lists():
    """2.834 "GFLOPS" of DenseNet121_Weights, which are multiply-adds, with 1000 outputs."""
    parameters, multiply_adds = _work("densenet121")
    assert parameters == 6_968_206
    assert multiply_adds + 1024 * (1000 - 14) == pytest.approx(2.834e9, abs=5e5)


def test_the_table_has_a_line_each_and_ratios_to_densenet():
    head, _, first, second = table(FOUND).splitlines()
    assert head.split("|")[4:6] == [" a ", " b "]
    assert "| 20.0 (1.00) | 5.0 (1.00) |" in first
    assert "| 300.0 (15.00) | - |" in second


def test_the_plot_is_a_picture(tmp_path):
    draw(FOUND, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (1210, 202)  # a line each
