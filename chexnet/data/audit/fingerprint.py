"""What a checkpoint was trained on, in so few bytes that they stand beside it, and whether it meets that again."""

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
"""Of each hash. Of 22,433 images beside 78,468 others one is taken for another in one of 160,000 such lists."""


@dataclass(frozen=True)
class TrainingOverlap:
    """How much of a list a checkpoint was trained on.

    Attributes:
        images: how many of the list's images.
        patients: how many of the list's known patients, be it with these or with other images.
        patients_images: how many images of the list are of these patients.
        of_images: how many images the list has.
        of_patients: how many patients are known of it.
        unknown_patients: how many images of the list have no known patient.
        patients_told: whether the patients of all images are known that the checkpoint was trained on.
        complete: whether all is known that the checkpoint was trained on. Not so if training began with weights
            of which it is not known.
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
    def anything(self) -> bool:
        """Whether the list has images or patients that the checkpoint was trained on."""
        return self.images > 0 or self.patients > 0

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return asdict(self)


def fingerprint(
    names: Iterable[str], begun_with: Mapping[str, Any] | None = None, patients: Patients | None = None
) -> dict[str, Any]:
    """What belongs under KEY in the metadata of a checkpoint, see docs/data.md for its format.

    No name can be read from it; whether a name that one knows was among them, can.

    Args:
        names: the images that it was trained on.
        begun_with: the metadata of the weights with which training began; None if these had seen no
            radiographs, as random and ImageNet weights.
        patients: of these images; None for what their names say.
    """
    patients = patients or Patients(tuple(names))
    whose = zip(patients.names, patients.ids, strict=True)
    # An image of an unknown patient stands among the patients by its own name, so that this can be told later.
    images = _hashes(map(image_id, patients.names))
    known = _hashes(patients.evidence) | _hashes(name for name, patient in whose if patient is None)
    complete = True
    if begun_with is not None:
        complete = False
        if before := _read(begun_with):
            images, known, complete = images | before[0], known | before[1], before[2]
    return {"format": _FORMAT, "images": _packed(images), "patients": _packed(known), "complete": complete}


def training_overlap(
    facts: Mapping[str, Any], names: Sequence[str], patients: Patients | None = None
) -> TrainingOverlap | None:
    """How much of the images `names` a checkpoint was trained on.

    Args:
        facts: the metadata of the checkpoint, see `checkpoint.open_weights`.
        names: of a list file.
        patients: of these images; None for what their names say.

    Returns:
        None if the JSON does not say: the checkpoint is of another program, or of an earlier version of this one.

    Raises:
        InputError: what it says is not a fingerprint.
    """
    known = _read(facts)
    if known is None:
        return None
    known_images, known_patients, complete = known
    patients = patients or Patients(tuple(names))
    met, images_of_met = patients.met({one for one in patients.evidence if _hash(one) in known_patients})
    return TrainingOverlap(
        images=sum(_hash(image_id(name)) in known_images for name in names),
        patients=len(met),
        patients_images=images_of_met,
        of_images=len(names),
        of_patients=len(patients.known),
        unknown_patients=patients.unknown,
        patients_told=not known_images & known_patients,
        complete=complete,
    )


def format_training_overlap(seen: TrainingOverlap) -> str:
    """A sentence for a person."""
    unknown = seen.unknown_patients
    if seen.anything:
        line = f"{seen.images:,} of these {seen.of_images:,} images were used for training"
        if seen.of_patients:
            line += (
                f"; {seen.patients_images:,} belong to patients seen in training ({seen.patients:,} of "
                f"{seen.of_patients:,} patients)"
            )
    elif unknown or not seen.patients_told:
        line = "none of these images was in the training list"
    else:
        line = "none of these images or patients was in the training list"
    if unknown:
        line += f"; the patients of {unknown:,} of them are unknown, and may have been seen in training"
    elif not seen.patients_told:
        line += "; the patients of some training images are unknown, and may be among these"
    return line if seen.complete else f"{line}; what the weights that it began with were trained on is not known"


def _read(facts: Mapping[str, Any]) -> tuple[set[bytes], set[bytes], bool] | None:
    """The hashes of images and of patients, and whether they are all; None if there are none."""
    if KEY not in facts:
        return None
    told = facts[KEY]
    if not isinstance(told, dict) or told.get("format") != _FORMAT or not isinstance(told.get("complete"), bool):
        raise InputError(
            f"the metadata of the checkpoint: {KEY!r} is not a fingerprint of format {_FORMAT}, as this version of the "
            "program writes them; take it out, and nothing is known of what the checkpoint was trained on"
        )
    return _unpacked(told, "images"), _unpacked(told, "patients"), told["complete"]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_BYTES]


def _hashes(texts: Iterable[str]) -> set[bytes]:
    return {_hash(text) for text in texts}


def _packed(hashes: set[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(hashes))).decode()


def _unpacked(told: Mapping[str, Any], what: str) -> set[bytes]:
    try:
        packed = base64.b64decode(told[what], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        packed = b"?"
    if len(packed) % _BYTES:
        raise InputError(
            f"the metadata of the checkpoint: {what!r} in {KEY!r} is damaged, expected base64 of {_BYTES} bytes each; "
            "take it from a copy of the file"
        )
    return {packed[place : place + _BYTES] for place in range(0, len(packed), _BYTES)}
