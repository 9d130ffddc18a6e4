"""Weight files and saved states: read without running code, written whole or not at all.

A `.pdparams` or `.pdopt` file is a pickle, and `paddle.load` executes whatever a pickle asks for. Here only
arrays and plain values are read from it. What is written carries its checksum, which is verified when it is
read. Weights are also read from and written to `.safetensors`, which can hold nothing but arrays. What belongs to
weights is stored in the same file: backbone, classes, preprocessing, notice, what they were trained on.
"""

from chexnet.files import WEIGHT_SUFFIXES
from chexnet.model.checkpoint.checksum import SCHEMA, CorruptFileError
from chexnet.model.checkpoint.metadata_file import (
    WEIGHTS_SHA256,
    check_metadata_file,
    disclaimer_in,
    metadata_path,
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
    "disclaimer_in",
    "export_weights",
    "load",
    "load_state_dict",
    "load_weights",
    "metadata_path",
    "open_weights",
    "read_metadata",
    "read_metadata_file",
    "read_safetensors",
    "read_weights",
    "save",
    "save_checkpoint",
    "save_weights",
    "write_metadata_file",
]
