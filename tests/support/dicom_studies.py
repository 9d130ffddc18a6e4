"""DICOM radiographs of synthetic patients, and readers of other people for DICOM results."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import paddle
import pydicom
import pytest
from conftest import ROOT
from dicom_files import dataset, save
from PIL import Image
from pydicom.uid import generate_uid

from chexnet.inference import thresholds as threshold_files
from chexnet.labels import CLASS_NAMES
from chexnet.metrics.platt import PlattScaling
from chexnet.model import CheXNet, checkpoint

EXAMPLE = ROOT / "examples/images/effusion.png"
"""A phantom, which the image checks take for a chest radiograph."""

PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "PAT-7731",
    "PatientBirthDate": "19700203",
    "PatientSex": "F",
    "AccessionNumber": "ACC-55",
    "StudyID": "12",
    "StudyDate": "20260102",
    "StudyTime": "101112",
    "StudyDescription": "Chest",
    "ReferringPhysicianName": "House^G",
}


def radiograph(path: Path, **header) -> pydicom.Dataset:
    """Write a phantom as a DX image with a patient and a study, and return its dataset; None removes an element."""
    pixels = np.asarray(Image.open(EXAMPLE).convert("L"))
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    elements = {**PATIENT, **uids, "InstanceNumber": 3, "ViewPosition": "PA", **header}
    ds = dataset(pixels, **{name: value for name, value in elements.items() if value is not None})
    for name in [name for name, value in elements.items() if value is None and name in ds]:
        del ds[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    save(ds, path)
    return ds


@pytest.fixture(scope="session")
def lenet_ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of 14 findings."""
    paddle.seed(3)
    path = tmp_path_factory.mktemp("lenet") / "model.pdparams"
    checkpoint.save_weights(CheXNet(backbone="lenet").state_dict(), path)
    metadata = {"backbone": "lenet", "resize": 40, "crop": 32, "classes": CLASS_NAMES, "notice": "For tests only."}
    checkpoint.write_metadata_file(path, metadata)
    return path


@pytest.fixture(scope="session")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of operating points: half of the findings are present; two have a calibration."""
    content = threshold_files.Thresholds(
        "rule of a test",
        {name: threshold_files.OperatingPoint(index % 2 * 1.0, 0.5, 0.25) for index, name in enumerate(CLASS_NAMES)},
        calibration={"Mass": PlattScaling(2.0, -1.0), "Edema": PlattScaling(0.5, 0.0)},
        validation_list="val_list.txt",
        validation_images=9,
    )
    path = tmp_path_factory.mktemp("points") / "points.json"
    path.write_text(threshold_files.format_thresholds(content))
    return path


def program(name: str) -> str:
    """Return the path of a program, or skip the test."""
    if not (path := shutil.which(name) or shutil.which(name, path="/usr/sbin")):
        pytest.skip(f"{name} is not installed")
    return path


def dcmtk(name: str, *arguments: object) -> str:
    """Run a program of DCMTK, which must succeed without an error message, and return its output."""
    done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, check=False, timeout=60)
    errors = [line for line in done.stderr.decode(errors="replace").splitlines() if re.match("[EF]: ", line)]
    assert (done.returncode, errors) == (0, [])
    return done.stdout.decode(errors="replace")
