from chexnet.labels import CLASS_NAMES, N_CLASSES, PUBLISHED


def test_the_reference_order_is_that_of_the_published_checkpoints():
    assert " ".join(CLASS_NAMES) == (
        "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax "
        "Consolidation Edema Emphysema Fibrosis Pleural_Thickening Hernia"
    )


def test_published_columns_have_the_means_that_were_published():
    means = {one.name: round(one.mean, 3) for one in PUBLISHED}
    # Given as means by their authors: CheXNet 0.841, arnoweng 0.843, improved 0.848, Paddle-CheXNet 0.847.
    assert means | {"CheXNet": 0.841, "arnoweng": 0.843, "improved": 0.848, "Paddle-CheXNet": 0.847} == means
    assert all(len(one.auroc) == N_CLASSES for one in PUBLISHED)
