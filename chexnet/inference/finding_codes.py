"""Codes of findings in DICOM documents: SNOMED CT for those of ChestX-ray14, a local scheme for all others.

The table is the only place with codes of findings. Each code stands with the source that it was checked against:

- PS3.16: pydicom's tables of DICOM PS3.16 (`pydicom.sr.codedict`); a test compares them.
- SNOMED CT: the entry of the international edition as a terminology server shows it, release of 2023-07-31.
- UMLS: the entry of SNOMEDCT_US in the Metathesaurus.
- FHIR: implementation guides and value sets that give the code with its fully specified name.
- NIH: converters of ChestX-ray14 into DICOM or FHIR with the same code, by two authors.

ChestX-ray14 does not define its labels by SNOMED CT, so that each code is the closest concept: `Effusion` is a pleural
one, `Edema`, `Mass` and `Nodule` are those of the lung, and `Hernia` is a diaphragmatic one, of which the hiatal hernia
is a kind. No source that we could check gives a concept for pleural thickening; it has a local code.
"""

import hashlib
from typing import NamedTuple

SNOMED_CT = "SCT"
LOCAL_SCHEME = "99CHEXNET"
"""Designator of the local coding scheme; DICOM PS3.16 section 8.2 reserves names that begin with 99 for such ones."""

MAX_MEANING = 64
"""Maximum number of characters of a Code Meaning (value representation LO)."""


class FindingCode(NamedTuple):
    """A code of DICOM PS3.3 section 8: value, coding scheme designator and meaning."""

    value: str
    scheme: str
    meaning: str


_SNOMED_CT = {
    "Atelectasis": ("46621007", "Atelectasis"),  # NIH
    "Cardiomegaly": ("8186001", "Cardiomegaly"),  # NIH
    "Effusion": ("60046008", "Pleural effusion"),  # PS3.16
    "Infiltration": ("409609008", "Radiologic infiltrate of lung"),  # UMLS
    "Mass": ("309529002", "Lung mass"),  # FHIR
    "Nodule": ("786838002", "Nodule of lung"),  # SNOMED CT
    "Pneumonia": ("233604007", "Pneumonia"),  # UMLS
    "Pneumothorax": ("36118008", "Pneumothorax"),  # PS3.16
    "Consolidation": ("95436008", "Lung consolidation"),  # FHIR
    "Edema": ("19242006", "Pulmonary edema"),  # PS3.16
    "Emphysema": ("87433001", "Pulmonary emphysema"),  # FHIR
    "Fibrosis": ("51615001", "Fibrosis of lung"),  # FHIR
    "Hernia": ("39839004", "Diaphragmatic hernia"),  # FHIR
}


def finding_code(name: str) -> FindingCode:
    """Return the code of a class.

    A class without a concept in the table gets a local code, which is derived from its name alone: the same name has
    the same code in every network.

    >>> finding_code("Effusion")
    FindingCode(value='60046008', scheme='SCT', meaning='Pleural effusion')
    >>> finding_code("Scoliosis")
    FindingCode(value='F7DC26368047E', scheme='99CHEXNET', meaning='Scoliosis')
    """
    if name in _SNOMED_CT:
        value, meaning = _SNOMED_CT[name]
        return FindingCode(value, SNOMED_CT, meaning)
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12].upper()
    return FindingCode(f"F{digest}", LOCAL_SCHEME, name.replace("_", " ")[:MAX_MEANING].strip() or "finding")
