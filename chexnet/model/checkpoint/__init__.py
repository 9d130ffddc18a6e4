"""Weight files and saved states: loaded without executing code, written atomically.

A `.pdparams` or `.pdopt` file is a pickle, and `paddle.load` executes any function that a pickle names. This package
reads only arrays and plain values from it. Every file that it writes holds a checksum, which is verified on reading.
Weights are also read from and written to `.safetensors`, a format that holds nothing but arrays. The metadata of
weights is stored in the same file: backbone, classes, preprocessing, disclaimer and training data.
"""

from chexnet.files import WEIGHT_SUFFIXES
from chexnet.model.checkpoint.checksum_line import SCHEMA, CorruptFileError
from chexnet.model.checkpoint.metadata_file import (
    WEIGHTS_SHA256,
    check_metadata_file,
    metadata_path,
    parse_disclaimer,
    read_metadata_file,
    write_metadata_file,
)
from chexnet.model.checkpoint.pickles import load, save
from chexnet.model.checkpoint.release import export_weights
from chexnet.model.checkpoint.safetensors_files import SAFETENSORS
from chexnet.model.checkpoint.safetensors_files import read as read_safetensors
from chexnet.model.checkpoint.weight_files import (
    WeightFile,
    check_suffix,
    load_state_dict,
    load_weights,
    open_weights,
    read_metadata,
    read_weights,
    save_checkpoint,
    save_weights,
)

__all__ = [
    "SAFETENSORS",
    "SCHEMA",
    "WEIGHTS_SHA256",
    "WEIGHT_SUFFIXES",
    "CorruptFileError",
    "WeightFile",
    "check_metadata_file",
    "check_suffix",
    "export_weights",
    "load",
    "load_state_dict",
    "load_weights",
    "metadata_path",
    "open_weights",
    "parse_disclaimer",
    "read_metadata",
    "read_metadata_file",
    "read_safetensors",
    "read_weights",
    "save",
    "save_checkpoint",
    "save_weights",
    "write_metadata_file",
]
