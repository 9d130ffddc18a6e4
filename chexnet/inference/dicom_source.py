"""Parts of an image's header that its DICOM results keep: patient, study, references, character set."""

import hashlib
import os
import uuid
from typing import TYPE_CHECKING

from chexnet.data.images import dicom
from chexnet.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

UTF_8 = "ISO_IR 192"

_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")

_KEPT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("PatientIdentityRemoved", "DeidentificationMethod"),
    *("StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
)
"""Attributes of patient and study that results take over as they are; references and numbers apart."""

_NEVER_ABSENT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
"""Attributes of type 2 (DICOM PS3.5 section 7.4.3): empty if the value is unknown."""

_NAMESPACE = uuid.UUID("0c1c6a4e-5c5a-5f0e-9b3d-6d2f0f1f8a51")
"""Name space of our UIDs, a random number chosen once."""


def read_source(path: str | os.PathLike[str]) -> "Dataset":
    """Read the header of an image that results shall refer to.

    Raises:
        InputError: the header has no study, series or instance, or an invalid UID in their place.
    """
    header = dicom.read_header(path)
    from pydicom.datadict import dictionary_description
    from pydicom.uid import UID

    for keyword in _REQUIRED:
        value = header.get(keyword)
        if not value:
            raise InputError(f"{path}: no DICOM results, because its header has no {dictionary_description(keyword)}")
        if not isinstance(value, str) or not UID(value).is_valid:
            raise InputError(
                f"{path}: no DICOM results, because its {dictionary_description(keyword)} is not a valid UID"
            )
    return header


def reference(source: "Dataset") -> "Dataset":
    """Return what highdicom reads of a source: its references, and empty attributes of patient and study.

    The values of a header may break rules that highdicom checks, with errors and warnings that quote them; `keep`
    adds them afterwards.
    """
    from pydicom import Dataset

    dataset = Dataset()
    for keyword in _REQUIRED:
        setattr(dataset, keyword, source.get(keyword))
    for keyword in _NEVER_ABSENT:
        setattr(dataset, keyword, None)
    return dataset


def keep(source: "Dataset", document: "Dataset") -> None:
    """Copy the attributes of patient and study from the source to a document, with their characters.

    The document is encoded in the character set of the source if that can hold all of its own texts, which are ASCII
    except for class names and the like; otherwise in UTF-8.
    """
    from pydicom import DataElement, config
    from pydicom.charset import python_encoding
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.valuerep import PersonName

    names = source.get("SpecificCharacterSet") or ""
    known = all(name in python_encoding for name in ([names] if isinstance(names, str) else names))
    keeps = known and all(_is_ascii(element.value) for element in document.iterall() if element.VR != "SQ")
    if names or not keeps:
        document.SpecificCharacterSet = names if keeps else UTF_8
    for keyword in _KEPT:
        if keyword not in source and keyword not in _NEVER_ABSENT:
            continue
        value, vr = source.get(keyword), dictionary_VR(keyword)
        if vr == "PN" and value is not None:
            value = PersonName(str(value))
        element = DataElement(tag_for_keyword(keyword), vr, value, validation_mode=config.IGNORE)
        document[element.tag] = element


def derived_uid(*parts: object) -> str:
    """Return a UID that is the same for the same parts: a name-based UUID (DICOM PS3.5 annex B.2)."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()
    return f"2.25.{uuid.uuid5(_NAMESPACE, digest).int}"


def _is_ascii(value: object) -> bool:
    return not isinstance(value, str) or value.isascii()
