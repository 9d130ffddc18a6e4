"""What an image's name says of it: which image it is, and whose."""

import re
from pathlib import PurePosixPath, PureWindowsPath

from chexnet.errors import InputError
from chexnet.files.text_files import shorten

_NIH = re.compile(r"((000\d{5})_\d{3})(?:\.\w+)?")
_PATIENTS = (
    re.compile(r"(?:.*/)?(patient\d+)/.*"),  # CheXpert: valid/patient64541/study1/view1_frontal.jpg
    re.compile(r"(?:.*/)?(patient\d{5,})_study\d+_.*"),  # the same in one folder
    re.compile(r"(?:.*/)?(p1\d{7})(?:/|_s\d{8}).*"),  # MIMIC-CXR: files/p10/p10000032/s50414267/02aa804e.jpg
    re.compile(r"(?:.*/)?(sub-[A-Za-z0-9]+)/.*"),  # BIDS, as BIMCV-COVID19: sub-S03047/ses-E07985/mod-rx/...
)


def patient_id(image: str) -> str | None:
    """Say whose image it is by its name, or None where its name does not say.

    This is the only place that takes a patient from a name. NIH numbers its patients in the names of the files
    (`00000013_005.png`, in whatever folder, numbers below 100,000, so that dates are none), CheXpert and MIMIC-CXR in
    those of their folders, and so does BIDS.

    >>> patient_of("images_001/00000013_005.png"), patient_of("files/p10/p10000032/s50414267/02aa804e.jpg")
    ('00000013', 'p10000032')
    >>> patient_of("20200413_001.png") is None
    True
    """
    if match := _NIH.fullmatch(image, image.rfind("/") + 1):
        return match[2]
    return next((match[1] for pattern in _PATIENTS if (match := pattern.fullmatch(image))), None)


def image_id(image: str) -> str:
    """Say which image it is: of NIH's the number, wherever and in whatever format it is kept; else its whole name.

    >>> image_of("images_001/00000013_005.png")
    '00000013_005'
    """
    match = _NIH.fullmatch(image, image.rfind("/") + 1)
    return match[1] if match else image


def clean_name(name: str, where: str) -> str:
    """Give the name of an image as a plain path below the image folder, `/` between folders, also from Windows.

    >>> clean_name(r".\\\\train\\\\a.png", "list.txt:1")
    'train/a.png'

    Args:
        name: as a file says it.
        where: for the beginning of a message.

    Raises:
        InputError: it is empty, has characters that are not printable, or leads out of the image folder.
    """
    if not name.isprintable() or not name or name != name.strip():
        raise InputError(f"{where}: the image name is {shorten(name)}, expected printable characters in one line")
    if "/" not in name and "\\" not in name:
        if name in (".", "..") or (name[1:2] == ":" and name[0].isalpha()):
            raise _leads_out(name, where)
        return name
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if PurePosixPath(path).is_absolute() or PureWindowsPath(name).drive or ".." in parts or not parts:
        raise _leads_out(name, where)
    return "/".join(parts)


def _leads_out(name: str, where: str) -> InputError:
    return InputError(f"{where}: {shorten(name)} is not a plain path inside the image folder")
