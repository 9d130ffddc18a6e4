"""List files, `name v1 ... v14`: read, check and write them, and make them from label files of data sets."""

from chexnet.data.lists.class_files import CLASSES_FILE, check_classes, class_names, read_classes
from chexnet.data.lists.csv_tables import read_csv, read_tables
from chexnet.data.lists.image_files import check_images, find_images, find_missing, missing_images_error
from chexnet.data.lists.image_names import clean_name, image_id, patient_id
from chexnet.data.lists.json_annotations import ImageAnnotations, read_annotations, read_json_labels
from chexnet.data.lists.label_tables import LabelTable, format_table, one_patient_per_image, read_nih
from chexnet.data.lists.label_values import parse_label
from chexnet.data.lists.layouts import LAYOUTS, Layout
from chexnet.data.lists.list_files import ImageList, count_labels, format_list, read_list
from chexnet.data.lists.npz_tables import NpzData, read_npz_labels
from chexnet.data.lists.patients import Patients, check_agreement, format_patients, patients_path, read_patients

__all__ = [
    "CLASSES_FILE",
    "LAYOUTS",
    "ImageAnnotations",
    "ImageList",
    "LabelTable",
    "Layout",
    "NpzData",
    "Patients",
    "check_agreement",
    "check_classes",
    "check_images",
    "class_names",
    "clean_name",
    "count_labels",
    "find_images",
    "find_missing",
    "format_list",
    "format_patients",
    "format_table",
    "image_id",
    "missing_images_error",
    "one_patient_per_image",
    "parse_label",
    "patient_id",
    "patients_path",
    "read_annotations",
    "read_classes",
    "read_csv",
    "read_json_labels",
    "read_list",
    "read_nih",
    "read_npz_labels",
    "read_patients",
    "read_tables",
]
