"""Damaged files of other data sets: every one is read or refused in one line."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from chexnet.data.lists import LAYOUTS, read_json_labels, read_npz_labels, read_tables
from chexnet.evaluation.localization.box_files import read_boxes
from faults.fuzzing import Outcomes, damaged, tries


def annotations() -> bytes:
    square = [[1, 1], [9, 1], [9, 9]]
    entry = {"syms": ["Mass"] * 2, "boxes": [[1, 1, 9, 9]] * 2, "polygons": [square] * 2}
    return json.dumps([{"file_name": f"{number}.png", **entry} for number in range(3)]).encode()


def npz() -> bytes:
    file = io.BytesIO()
    images = {f"{part}_images": np.zeros((2, 16, 16), np.uint8) for part in ("train", "val", "test")}
    np.savez(file, **images, **{f"{part}_labels": np.ones((2, 14), int) for part in ("train", "val", "test")})
    return file.getvalue()


def read_annotated(path):
    return read_json_labels(path, ("Mass",)), read_boxes(path)


def read_arrays(path):
    return list(read_npz_labels(path).named_images())


def read_vindr(path):
    return read_boxes(path), read_tables([path], replace(LAYOUTS["vindr_boxes"], classes={"Edema": ("Edema",)}))


def read_padchest(path):
    return read_tables([path], replace(LAYOUTS["padchest"], classes={"Nodule": ("nodule",)}))


VINDR = b"image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\na,Edema,6,R8,5,5,9,9\nb,No finding,14,R8,,,,\n"
PADCHEST = b"ImageID,PatientID,Projection,Labels\na.png,3,PA,\"['nodule', ' loc right']\"\nb.png,4,AP,['normal']\n"


@pytest.mark.parametrize(
    ("name", "original", "read"),
    [
        ("a.json", annotations(), read_annotated),
        ("a.npz", npz(), read_arrays),
        ("vindr.csv", VINDR, read_vindr),
        ("padchest.csv", PADCHEST, read_padchest),
    ],
)
def test_data_sets(name, original, read, tmp_path, tally):
    outcomes = Outcomes(tally, f"damaged data sets, {name}")
    path = tmp_path / name

    @tries(ci=60, full=3000)
    @given(damaged([original]))
    def check(data):
        path.write_bytes(data)
        outcomes.attempt(lambda: read(path))

    check()
    outcomes.close()
