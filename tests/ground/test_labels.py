import gzip
import os
from pathlib import Path

import pytest

from chexnet.labels import CLASS_NAMES, N_CLASSES, OFFICIAL_SPLIT, PUBLISHED, split_of


def test_the_reference_order_is_that_of_the_published_checkpoints():
    assert " ".join(CLASS_NAMES) == (
        "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax "
        "Consolidation Edema Emphysema Fibrosis Pleural_Thickening Hernia"
    )


def test_published_results_have_the_published_means():
    means = {result.name: round(result.mean, 3) for result in PUBLISHED}
    # Means reported by the authors; jrzech reports none, 0.838 is that of its README's 14 values.
    reported = {"CheXNet": 0.841, "arnoweng": 0.843, "improved": 0.848, "Paddle-CheXNet": 0.847, "zoogzog": 0.851}
    assert means | reported | {"jrzech": 0.838} == means
    assert all(len(result.auroc) == N_CLASSES for result in PUBLISHED)


@pytest.mark.real_data
@pytest.mark.skipif(not os.environ.get("CHEXNET_METADATA"), reason="CHEXNET_METADATA is not set")
def test_a_split_is_recognized_by_the_names_of_its_test_images():
    with gzip.open(Path(os.environ["CHEXNET_METADATA"]) / "test_list.txt.gz", "rt") as file:
        names = file.read().split()
    assert split_of(names) == split_of([f"images_001/{name}" for name in reversed(names)]) == OFFICIAL_SPLIT
    assert split_of(names[1:]) is None
