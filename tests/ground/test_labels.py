from chexnet.labels import CLASS_NAMES


def test_the_reference_order_is_that_of_the_published_checkpoints():
    assert " ".join(CLASS_NAMES) == (
        "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax "
        "Consolidation Edema Emphysema Fibrosis Pleural_Thickening Hernia"
    )
