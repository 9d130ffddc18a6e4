"""Statements about a model that only people can make, read from a JSON file."""

import os

from chexnet.errors import InputError
from chexnet.files.json_files import read_object

DETAILS = {
    "name": "name of the model",
    "authors": "who made it",
    "contact": "where questions go",
    "license": "identifier of the license, as Hugging Face spells it",
    "citation": "how to cite it",
    "intended_use": "what it is for",
    "intended_users": "who may use it",
    "out_of_scope": "what it must not be used for",
    "data_source": "where, when and with which equipment the training images were made",
    "eligibility": "which images were included and excluded",
    "deidentification": "how the images were de-identified",
    "reference_standard": "how the labels were made, by whom, and how far readers agree",
    "demographics": "age, sex and other characteristics of the patients",
    "external_validation": "tests on data of other sites",
    "failure_analysis": "known errors and their causes",
    "ethics": "risks, harms and how they were weighed",
    "caveats": "limits and recommendations",
    "protocol": "registration number, or where the study protocol is",
    "funding": "sources of funding, and the role of the funders",
}
"""Name of an entry -> what it says."""

MAX_LENGTH = 5000


def read_details(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a JSON object with some of the names of DETAILS and a line of text for each.

    Raises:
        InputError: the file cannot be read, has another name, or a value is not one line of text.
    """
    found = read_object(path)
    if unknown := [name for name in found if name not in DETAILS]:
        raise InputError(f"{path}: {unknown[0][:60]!r} is unknown, expected some of {', '.join(DETAILS)}")
    for name, value in found.items():
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > MAX_LENGTH:
            raise InputError(f"{path}: {name} is {repr(value)[:60]}, expected one line of text")
    if " " in found.get("license", ""):
        raise InputError(f"{path}: license is {found['license'][:60]!r}, expected an identifier such as apache-2.0")
    return {name: value.strip() for name, value in found.items()}
