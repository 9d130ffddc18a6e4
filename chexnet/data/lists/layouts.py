"""Layouts of label files: which column contains what. Known data sets have theirs in LAYOUTS."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chexnet.errors import InputError
from chexnet.files.text_files import shorten
from chexnet.labels import CLASS_NAMES, validate_class_names

READER_RULES = ("any", "majority", "all")
"""Rules for several rows of one image: a finding is present if one, more than half, or all of its rows have it."""

FILES = "files"
"""Value of `Layout.split_column` for the name of the file instead of a column."""

_FIELD = re.compile(r"\{([^{}:]+)(?::(\d+))?\}")


@dataclass(frozen=True)
class Layout:
    """The layout of a label file.

    Attributes:
        image: column with the image names, or a pattern of columns: `{ID}.png`, or `{ID:2}` for the first two
            characters of the column `ID`.
        classes: names of the classes, each with the columns (or, with `finding_column`, the findings) that it stands
            for; it is present if any of them is.
        finding_column: column that names findings: one, several joined by `|`, or a Python list of strings; empty if
            each finding has a column of its own.
        patient_column: column with the patients; empty to take them from the image names.
        patient_pattern: regular expression with one group, which is the patient in an image name; empty for the known
            forms of names (`image_names.patient_id`).
        reader_column: column with the readers; empty if each row is another reading.
        readers: rule for several rows of one image, one of READER_RULES; empty to refuse them.
        where: column -> values of the rows to use.
        split_column: column with the part of a row, FILES for the name of its file, or empty.
    """

    image: str = ""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    finding_column: str = ""
    patient_column: str = ""
    patient_pattern: str = ""
    reader_column: str = ""
    readers: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split_column: str = ""

    @property
    def image_columns(self) -> tuple[str, ...]:
        """Columns that image names consist of."""
        return tuple(dict.fromkeys(name for name, _ in _FIELD.findall(self.image))) or (self.image,)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Columns with labels or findings."""
        if self.finding_column:
            return (self.finding_column,)
        return tuple(dict.fromkeys(column for columns in self.classes.values() for column in columns))

    def image_name(self, cells: Sequence[str]) -> str:
        """Return the name of an image, given the cells of `image_columns`."""
        if not _FIELD.search(self.image):
            return cells[0]
        by_column = dict(zip(self.image_columns, cells, strict=True))
        return _FIELD.sub(lambda found: by_column[found[1]][: int(found[2]) if found[2] else None], self.image)


def layout_of(name: str) -> Layout:
    """Return the layout of a known data set.

    Raises:
        InputError: LAYOUTS does not have it.
    """
    if name not in LAYOUTS:
        raise InputError(f"--layout: found {shorten(name)}, expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def parse_classes(text: str) -> dict[str, tuple[str, ...]]:
    """Parse `A,B=C|D`: the class A is the column A, the class B is present if column C or D is.

    >>> parse_classes("Edema,Lung Opacity=Infiltration|Consolidation")
    {'Edema': ('Edema',), 'Lung Opacity': ('Infiltration', 'Consolidation')}

    Raises:
        InputError: a class name is invalid or repeated, or a class has no column.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    names = [name.strip() for name, _, _ in pairs]
    try:
        validate_class_names(names)
    except InputError as error:
        raise InputError(f"--label_columns: {error}") from error
    columns = [
        tuple(column.strip() for column in (right if equals else name).split("|")) for name, equals, right in pairs
    ]
    for name, found in zip(names, columns, strict=True):
        if not all(found):
            raise InputError(
                f"--label_columns: class {shorten(name)} has an empty column, expected CLASS=COLUMN|COLUMN"
            )
    return dict(zip(names, columns, strict=True))


def parse_where(conditions: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse `COLUMN=VALUE` conditions; several for the same column are alternatives.

    >>> parse_where(["View=PA", "View=AP", "Sex=F"])
    {'View': ('PA', 'AP'), 'Sex': ('F',)}

    Raises:
        InputError: a condition has no `=`.
    """
    where: dict[str, tuple[str, ...]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals or not column.strip():
            raise InputError(f"--where: found {shorten(condition)}, expected COLUMN=VALUE")
        where[column.strip()] = (*where.get(column.strip(), ()), value.strip())
    return where


def _same(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


_CHEXPERT = _same(
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
    "Support Devices",
)
_ALL_FINDINGS = {name: (name.replace("_", " "),) for name in CLASS_NAMES}
_NIH_LT = (
    *CLASS_NAMES,
    *("Tortuous Aorta", "Calcification of the Aorta", "Pneumoperitoneum", "Subcutaneous Emphysema"),
    *("Pneumomediastinum", "No Finding"),
)
_VINDR_FINDINGS = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation"),
    *("Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst"),
    *("Mediastinal shift", "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax"),
    *("Pulmonary fibrosis", "Rib fracture", "Other lesion"),
)
CHESTX_DET_CLASSES = (
    *("Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "Diffuse Nodule", "Effusion", "Emphysema"),
    *("Fibrosis", "Fracture", "Mass", "Nodule", "Pleural Thickening", "Pneumothorax"),
)
"""The 13 findings of ChestX-Det."""

LAYOUTS: Mapping[str, Layout] = {
    "google_four": Layout(
        image="Image Index",
        classes=_same("Pneumothorax", "Nodule or mass", "Airspace opacity", "Fracture"),
        split_column="Set Id",
    ),
    "google_four_readers": Layout(
        image="Image ID",
        classes=_same("Pneumothorax", "Nodule/mass", "Airspace opacity", "Fracture"),
        reader_column="Reader ID",
        readers="majority",
        split_column="Set ID",
    ),
    "google_all": Layout(image="Image ID", classes=_ALL_FINDINGS),
    "google_all_readers": Layout(
        image="Image ID",
        classes=_ALL_FINDINGS,
        reader_column="Reader ID",
        readers="majority",
    ),
    "nih_cxr_lt": Layout(image="id", classes=_same(*_NIH_LT), split_column=FILES),
    "rsna": Layout(image="{patientId}.dcm", classes={"Pneumonia": ("Target",)}, readers="any"),
    "vindr": Layout(
        image="{image_id}.dicom",
        classes=_same(*_VINDR_FINDINGS),
        reader_column="rad_id",
        readers="majority",
        split_column=FILES,
    ),
    "vindr_boxes": Layout(
        image="{image_id}.dicom",
        classes=_same(*_VINDR_FINDINGS),
        finding_column="class_name",
        reader_column="rad_id",
        readers="majority",
    ),
    "padchest": Layout(
        image="ImageID",
        finding_column="Labels",
        patient_column="PatientID",
        where={"Projection": ("PA", "AP", "AP_horizontal")},
    ),
    "chexpert": Layout(image="Path", classes=_CHEXPERT, where={"Frontal/Lateral": ("Frontal",)}, split_column=FILES),
    "mimic_cxr": Layout(
        image="files/p{subject_id:2}/p{subject_id}/s{study_id}/{dicom_id}.jpg",
        classes=_CHEXPERT,
        where={"ViewPosition": ("PA", "AP")},
        split_column="split",
    ),
}
"""Layouts of known data sets. docs/data.md names the sources and shows a command for each."""
