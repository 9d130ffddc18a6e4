"""ChestX-ray14 as a data set, and batches of it."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.data.bad_images import MAX_SKIPPED, SkippedImage, find_bad_images, format_skipped
from chexnet.data.dataset import Augmentation, ChestXrayDataSet, CropMode, augmentation_params
from chexnet.data.external import ExternalDataSet, LabeledImages
from chexnet.data.loader import Batch, BatchLoader, DataSet

__all__ = [
    "MAX_SKIPPED",
    "Augmentation",
    "Batch",
    "BatchLoader",
    "ChestXrayDataSet",
    "CropMode",
    "DataSet",
    "ExternalDataSet",
    "LabeledImages",
    "SkippedImage",
    "augmentation_params",
    "find_bad_images",
    "format_skipped",
]
