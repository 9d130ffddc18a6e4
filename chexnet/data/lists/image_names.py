"""Image names: the image and patient that a name identifies, and names as safe relative paths."""

import re
from pathlib import PurePosixPath, PureWindowsPath

from chexnet.data.lists.label_values import parse_label
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
    """Return the patient that an image name identifies, or None.

    This is the only function that takes a patient from a name. In NIH, file names contain the patient number
    (`00000013_005.png`, in any folder; numbers are below 100,000, so dates do not match). In CheXpert, MIMIC-CXR and
    BIDS, folder names do.

    >>> patient_id("images_001/00000013_005.png"), patient_id("files/p10/p10000032/s50414267/02aa804e.jpg")
    ('00000013', 'p10000032')
    >>> patient_id("20200413_001.png") is None
    True
    """
    if match := _NIH.fullmatch(image, image.rfind("/") + 1):
        return match[2]
    return next((match[1] for pattern in _PATIENTS if (match := pattern.fullmatch(image))), None)


def image_id(image: str) -> str:
    """Return what identifies an image: NIH's number, in any folder and format, or otherwise the whole name.

    >>> image_id("images_001/00000013_005.png")
    '00000013_005'
    """
    match = _NIH.fullmatch(image, image.rfind("/") + 1)
    return match[1] if match else image


def clean_name(name: str, where: str) -> str:
    """Return an image name as a plain path relative to the image folder, with `/` between folders.

    Names with Windows separators are converted.

    >>> clean_name(r".\\\\train\\\\a.png", "list.txt:1")
    'train/a.png'

    Args:
        name: name of the image in a file.
        where: file and line of the name, for messages.

    Raises:
        InputError: the name is empty, has unprintable characters, or leads out of the image folder.
    """
    if not name.isprintable() or not name or name != name.strip():
        raise InputError(f"{where}: the image name is {shorten(name)}, expected printable characters on one line")
    if "/" not in name and "\\" not in name:
        if name in (".", "..") or (name[1:2] == ":" and name[0].isalpha()):
            raise _leads_out(name, where)
        return name
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if PurePosixPath(path).is_absolute() or PureWindowsPath(name).drive or ".." in parts or not parts:
        raise _leads_out(name, where)
    return "/".join(parts)


def checked_name(raw_name: str, where: str) -> str:
    """Return an image name as a path that list files can contain.

    Raises:
        InputError: see `clean_name`, or the name ends like a label.
    """
    name = clean_name(raw_name, where)
    if parse_label(name.rpartition(" ")[2]) is not None:
        raise InputError(
            f"{where}: the image name {shorten(name)} ends like a label, which a list file does not allow; rename the "
            "image"
        )
    return name


def _leads_out(name: str, where: str) -> InputError:
    return InputError(f"{where}: {shorten(name)} is not a relative path inside the image folder")
