from chexnet.labels import CLASS_NAMES, N_CLASSES, PUBLISHED


def test_the_reference_order_is_that_of_the_published_checkpoints():
    assert " ".join(CLASS_NAMES) == (
        "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax "
        "Consolidation Edema Emphysema Fibrosis Pleural_Thickening Hernia"
    )


def test_published_results_have_the_published_means():
    means = {result.name: round(result.mean, 3) for result in PUBLISHED}
    # Means reported by the authors: CheXNet 0.841, arnoweng 0.843, improved 0.848, Paddle-CheXNet 0.847.
    assert means | {"CheXNet": 0.841, "arnoweng": 0.843, "improved": 0.848, "Paddle-CheXNet": 0.847} == means
    assert all(len(result.auroc) == N_CLASSES for result in PUBLISHED)
