"""Data sets and batches: image files and labels in, uint8 crops and float32 labels out."""

from typing import TYPE_CHECKING

from chexnet._lazy import lazy_exports

if TYPE_CHECKING:
    from chexnet.data.augmentation import augmentation_params as augmentation_params
    from chexnet.data.bad_images import MAX_SKIPPED as MAX_SKIPPED
    from chexnet.data.bad_images import SkippedImage as SkippedImage
    from chexnet.data.bad_images import find_bad_images as find_bad_images
    from chexnet.data.bad_images import format_skipped as format_skipped
    from chexnet.data.dataset import Augmentation as Augmentation
    from chexnet.data.dataset import CropMode as CropMode
    from chexnet.data.dataset import ListDataSet as ListDataSet
    from chexnet.data.external import ExternalDataSet as ExternalDataSet
    from chexnet.data.external import LabeledImages as LabeledImages
    from chexnet.data.loader import Batch as Batch
    from chexnet.data.loader import BatchLoader as BatchLoader
    from chexnet.data.loader import DataSet as DataSet
    from chexnet.data.paddle_dataset import ChestXrayDataSet as ChestXrayDataSet
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "MAX_SKIPPED": "bad_images",
            "SkippedImage": "bad_images",
            "find_bad_images": "bad_images",
            "format_skipped": "bad_images",
            "Augmentation": "dataset",
            "CropMode": "dataset",
            "ListDataSet": "dataset",
            "augmentation_params": "augmentation",
            "ExternalDataSet": "external",
            "LabeledImages": "external",
            "Batch": "loader",
            "BatchLoader": "loader",
            "DataSet": "loader",
            "ChestXrayDataSet": "paddle_dataset",
        },
    )
