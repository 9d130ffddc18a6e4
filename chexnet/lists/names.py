"""What an image's name says of it: which image it is, and whose."""

import re

_NIH = re.compile(r"((\d{8})_\d{3})\.\w+")
_CHEXPERT = re.compile(r"(?:.*/)?(patient\d+)/.*")


def patient_of(image: str) -> str:
    """Whose image it is by its name; else each is a patient's only one.

    NIH numbers its patients in the names of the files (`00000013_005.png`, in whatever folder), CheXpert in those of
    their folders (`valid/patient64541/study1/view1_frontal.jpg`).

    >>> patient_of("images_001/00000013_005.png")
    '00000013'
    """
    if match := _NIH.fullmatch(image, image.rfind("/") + 1):
        return match[2]
    match = _CHEXPERT.fullmatch(image)
    return match[1] if match else image


def image_of(image: str) -> str:
    """Which image it is: of NIH's the number, wherever and in whatever format the file is kept; else its whole name.

    >>> image_of("images_001/00000013_005.png")
    '00000013_005'
    """
    match = _NIH.fullmatch(image, image.rfind("/") + 1)
    return match[1] if match else image


def names_its_patient(image: str) -> bool:
    """Whether `patient_of` knows, or takes the image for its patient's only one."""
    return patient_of(image) != image
