"""Compact hashes of a checkpoint's training images, used to detect overlap with a test set."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chexnet.data.lists import Patients, image_id
from chexnet.errors import InputError

KEY = "trained_on"
"""Key of the fingerprint in the metadata of a checkpoint."""

_FORMAT = 1
_BYTES = 6
"""Bytes per hash. The probability of any collision between 22,433 test and 78,468 training images is 1 in 160,000."""


@dataclass(frozen=True)
class TrainingOverlap:
    """The overlap of a list with the training images and patients of a checkpoint.

    The names of the attributes are keys in JSON files.

    Attributes:
        images: images of the list that were used for training.
        patients: known patients of the list with any image in training.
        patients_images: images of the list that belong to these patients.
        of_images: all images of the list.
        of_patients: all known patients of the list.
        unknown_patients: images of the list without a known patient.
        patients_told: True if the patients of all training images are known.
        complete: True if all training images are known. False if training started from weights whose training images
            are unknown.
    """

    images: int
    patients: int
    patients_images: int
    of_images: int
    of_patients: int
    unknown_patients: int
    patients_told: bool
    complete: bool

    @property
    def has_overlap(self) -> bool:
        """True if the list has images or patients that the checkpoint was trained on."""
        return self.images > 0 or self.patients > 0

    def to_dict(self) -> dict[str, Any]:
        """Return the overlap as JSON-serializable values."""
        return asdict(self)


def fingerprint(
    names: Iterable[str], initial_metadata: Mapping[str, Any] | None = None, patients: Patients | None = None
) -> dict[str, Any]:
    """Return the fingerprint of training images, the value of KEY in the metadata of a checkpoint.

    Names cannot be recovered from it, but it can be tested for a given name. docs/data.md describes the format.

    Args:
        names: names of the training images.
        initial_metadata: metadata of the weights that training started from; None if these were not trained on
            radiographs, such as random and ImageNet weights.
        patients: patients of the images; None to take them from the names.
    """
    patients = patients or Patients(tuple(names))
    patient_by_name = zip(patients.names, patients.ids, strict=True)
    images = _hashes(map(image_id, patients.names))
    # The hash of an image with an unknown patient is also stored among the patients, to mark it as such.
    known = _hashes(patients.identifiers) | _hashes(name for name, patient in patient_by_name if patient is None)
    complete = True
    if initial_metadata is not None:
        complete = False
        if initial := _read(initial_metadata):
            images, known, complete = images | initial[0], known | initial[1], initial[2]
    return {"format": _FORMAT, "images": _pack(images), "patients": _pack(known), "complete": complete}


def training_overlap(
    metadata: Mapping[str, Any], names: Sequence[str], patients: Patients | None = None
) -> TrainingOverlap | None:
    """Return the overlap of a list with the training images of a checkpoint.

    Args:
        metadata: metadata of the checkpoint, see `checkpoint.open_weights`.
        names: image names in the list.
        patients: patients of the images; None to take them from the names.

    Returns:
        The overlap, or None if the metadata has no fingerprint, as in checkpoints of other programs and earlier
        versions.

    Raises:
        InputError: the fingerprint is damaged.
    """
    known = _read(metadata)
    if known is None:
        return None
    known_images, known_patients, complete = known
    patients = patients or Patients(tuple(names))
    trained = {identifier for identifier in patients.identifiers if _hash(identifier) in known_patients}
    matches, n_images = patients.matching(trained)
    return TrainingOverlap(
        images=sum(_hash(image_id(name)) in known_images for name in names),
        patients=len(matches),
        patients_images=n_images,
        of_images=len(names),
        of_patients=len(patients.known),
        unknown_patients=patients.unknown,
        patients_told=not known_images & known_patients,
        complete=complete,
    )


def format_training_overlap(overlap: TrainingOverlap) -> str:
    """Format an overlap as one sentence."""
    unknown = overlap.unknown_patients
    if overlap.has_overlap:
        line = f"{overlap.images:,} of these {overlap.of_images:,} images were used for training"
        if overlap.of_patients:
            line += (
                f"; {overlap.patients_images:,} belong to patients seen in training ({overlap.patients:,} of "
                f"{overlap.of_patients:,} patients)"
            )
    elif unknown or not overlap.patients_told:
        line = "none of these images was in the training list"
    else:
        line = "none of these images or patients was in the training list"
    if unknown:
        line += f"; the patients of {unknown:,} of them are unknown, and may have been seen in training"
    elif not overlap.patients_told:
        line += "; the patients of some training images are unknown, and may be among these"
    return line if overlap.complete else f"{line}; the training images of the initial weights are unknown"


def _read(metadata: Mapping[str, Any]) -> tuple[set[bytes], set[bytes], bool] | None:
    """Return the hashes of images and patients, and whether they are complete; None without a fingerprint."""
    if KEY not in metadata:
        return None
    value = metadata[KEY]
    if not isinstance(value, dict) or value.get("format") != _FORMAT or not isinstance(value.get("complete"), bool):
        raise InputError(
            f"the metadata of the checkpoint: {KEY!r} is not a fingerprint of format {_FORMAT}; remove this key to use "
            "the checkpoint without a check for training images"
        )
    return _unpack(value, "images"), _unpack(value, "patients"), value["complete"]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_BYTES]


def _hashes(texts: Iterable[str]) -> set[bytes]:
    return {_hash(text) for text in texts}


def _pack(hashes: set[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(hashes))).decode()


def _unpack(value: Mapping[str, Any], key: str) -> set[bytes]:
    try:
        packed = base64.b64decode(value[key], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        packed = b"?"
    if len(packed) % _BYTES:
        raise InputError(
            f"the metadata of the checkpoint: {key!r} in {KEY!r} is damaged, expected base64 of {_BYTES} bytes per "
            "hash; restore it from a copy of the file"
        )
    return {packed[start : start + _BYTES] for start in range(0, len(packed), _BYTES)}
