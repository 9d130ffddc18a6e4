"""Atomic writes of files and folders, early checks of output paths, and locks on folders."""

from chexnet.files.atomic_folders import atomic_directory, temporary_folder
from chexnet.files.locking import exclusive_lock
from chexnet.files.output_checks import WEIGHT_SUFFIXES, check_apart, check_folder, check_inputs, check_writable
from chexnet.files.reading import read_bytes, sha256
from chexnet.files.writing import atomic_write, is_leftover, remove_leftovers, write_each, write_text

__all__ = [
    "WEIGHT_SUFFIXES",
    "atomic_directory",
    "atomic_write",
    "check_apart",
    "check_folder",
    "check_inputs",
    "check_writable",
    "exclusive_lock",
    "is_leftover",
    "read_bytes",
    "remove_leftovers",
    "sha256",
    "temporary_folder",
    "write_each",
    "write_text",
]
