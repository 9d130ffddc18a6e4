"""Published results, their intervals, and known lists."""

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chexnet.known_lists import (
    OFFICIAL_SPLIT,
    SHARED_SPLIT,
    image_hashes,
    image_numbers,
    known_list,
    known_lists,
    recognize,
    split_of,
)
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.metrics.delong import estimate_auroc
from chexnet.published import (
    ON_TEST,
    OWN_SPLIT,
    PUBLISHED,
    comparability,
    hanley_mcneil,
    mean_half_width,
    published_results,
)


def test_published_results_have_the_published_means():
    means = {result.name: round(result.mean, 3) for result in PUBLISHED}
    # Means reported by the authors; jrzech reports none, 0.838 is that of its README's 14 values.
    reported = {"CheXNet": 0.841, "arnoweng": 0.843, "improved": 0.848, "Paddle-CheXNet": 0.847, "zoogzog": 0.851}
    assert means | reported | {"jrzech": 0.838, "medical_mae": 0.822, "EVA-X-B": 0.835} == means
    assert all(len(result.auroc) in (0, N_CLASSES) for result in PUBLISHED)
    assert {result.name for result in PUBLISHED if result.selection == ON_TEST} == {"medical_mae", "EVA-X-B"}


def test_results_of_the_same_split_come_first():
    for split in (SHARED_SPLIT, OFFICIAL_SPLIT, OWN_SPLIT):
        ordered = [result.split for result in published_results(CLASS_NAMES, split)]
        assert ordered == sorted(ordered, key=lambda found: found != split)
        assert ordered[0] == split
    assert published_results(("Mass",)) == ()
    assert [" not comparable" in sentence for sentence in comparability(SHARED_SPLIT)] == [False, True, True]
    assert all(" not comparable" in sentence for sentence in comparability("clean"))


def test_half_widths_are_those_of_the_test_lists():
    widths = {result.name: result.half_width for result in PUBLISHED}
    assert [name for name, width in widths.items() if width is None] == ["Wang", "Yao", "CheXNet"]
    assert {round(width, 3) for name, width in widths.items() if width and name not in ("medical_mae", "EVA-X-B")} == {
        0.006
    }
    assert round(widths["EVA-X-B"], 3) == 0.005


@given(st.floats(0.5, 0.999), st.integers(1, 500), st.integers(1, 5000))
def test_the_variance_is_positive_and_falls_with_the_number_of_images(auroc, positives, negatives):
    variance = hanley_mcneil(auroc, positives, negatives)
    assert 0 < variance <= 1
    assert hanley_mcneil(auroc, 2 * positives, 2 * negatives) <= variance * (1 + 1e-9)


def test_the_variance_is_about_delongs_on_exponential_scores():
    """With exponential scores the formula is exact; DeLong's estimate of it has an error of its own."""
    rng = np.random.default_rng(0)
    labels = np.arange(6000) < 600
    scores = rng.exponential(np.where(labels, 4.0, 1.0))
    found = estimate_auroc(labels, scores)
    expected = 1.96 * math.sqrt(hanley_mcneil(found.auroc, 600, 5400))
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.1)
    assert mean_half_width([found.auroc], [600], 6000) == pytest.approx(expected)


def test_the_known_lists_are_consistent():
    by_name = {known.name: known for known in known_lists()}
    assert len(by_name) == len(known_lists())
    counts = {(known.split, known.part): known.images for known in known_lists()}
    assert [counts[OFFICIAL_SPLIT, part] for part in ("train", "val", "test")] == [75_312, 11_212, 25_596]
    assert [counts[SHARED_SPLIT, part] for part in ("train", "val", "test")] == [78_468, 11_219, 22_433]
    assert counts[OFFICIAL_SPLIT, "train_val"] == 75_312 + 11_212
    for known in known_lists():
        assert all(len(labels.positives) == N_CLASSES for labels in known.labels)
        for other, common in known.overlaps.items():
            assert by_name[other].overlaps[known.name] == common <= known.images
    test = known_list(SHARED_SPLIT, "test")
    assert test.overlaps["NIH's official test list"] == known_list("clean", "test").images == 5_213
    assert test.overlaps["NIH's official train_val list"] == 17_220


def test_names_are_compared_without_folder_and_suffix():
    names = ["images_001/00000013_005.PNG", r"a\00000013_006.jpg", "00000014_000", "00000014_000.png", "view1.jpg"]
    assert image_numbers(names) == {"00000013_005", "00000013_006", "00000014_000"}
    assert split_of(names) is recognize(names) is None


@pytest.fixture
def names_in():
    """Return a function that reads the names in one of the real lists."""
    if not os.environ.get("CHEXNET_METADATA"):
        pytest.skip("CHEXNET_METADATA is not set")

    def read(path: str) -> list[str]:
        with gzip.open(Path(os.environ["CHEXNET_METADATA"], path), "rt") as file:
            return [line.split()[0] for line in file if line.strip()]

    return read


@pytest.mark.real_data
def test_a_split_is_recognized_by_the_names_of_its_test_images(names_in):
    names = names_in("test_list.txt.gz")
    moved = [f"images_001/{name.replace('.png', '.jpg')}" for name in reversed(names)]
    assert split_of(names) == split_of(moved) == OFFICIAL_SPLIT
    assert split_of(names[1:]) is split_of(names_in("train_val_list.txt.gz")) is None
    assert known_list(OFFICIAL_SPLIT, "test").sketch == frozenset(sorted(image_hashes(image_numbers(names)))[:500])
