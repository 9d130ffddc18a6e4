"""List files, `name v1 ... v14`: read, checked, written; and made from the label files of data sets."""

from chexnet.lists.classes import CLASSES_FILE, class_names, read_classes
from chexnet.lists.list_files import ImageList, check_images, find_missing, format_list, read_list
from chexnet.lists.names import image_of, names_its_patient, patient_of
from chexnet.lists.tables import LabelTable, read_csv, read_nih

__all__ = [
    "CLASSES_FILE",
    "ImageList",
    "LabelTable",
    "check_images",
    "class_names",
    "find_missing",
    "format_list",
    "image_of",
    "names_its_patient",
    "patient_of",
    "read_classes",
    "read_csv",
    "read_list",
    "read_nih",
]
