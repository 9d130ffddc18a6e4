"""Files and folders that are written whole or not at all, checked before the work, and locks on folders."""

from chexnet.files.atomic_folders import replacing_folder, temporary_folder
from chexnet.files.locking import locked
from chexnet.files.output_checks import WEIGHT_SUFFIXES, check_apart, check_folder, check_inputs, check_writable
from chexnet.files.reading import read_bytes, sha256
from chexnet.files.writing import remove_leftovers, replacing, write_each, write_text

__all__ = [
    "WEIGHT_SUFFIXES",
    "check_apart",
    "check_folder",
    "check_inputs",
    "check_writable",
    "locked",
    "read_bytes",
    "remove_leftovers",
    "replacing",
    "replacing_folder",
    "sha256",
    "temporary_folder",
    "write_each",
    "write_text",
]
