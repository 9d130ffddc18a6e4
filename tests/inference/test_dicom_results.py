"""DICOM results of predict.py: other readers understand them, and they hold the numbers of its JSON file."""

import hashlib
import json

import highdicom
import numpy as np
import paddle
import pydicom
import pytest
from conftest import run_script, write_png
from dicom_studies import PATIENT, dcmtk, radiograph
from PIL import Image
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from chexnet.inference.finding_codes import LOCAL_SCHEME, finding_code
from chexnet.labels import CLASS_NAMES
from chexnet.model import CheXNet, checkpoint


@pytest.fixture
def predict(lenet_ckpt, points, tmp_path, capsys):
    """Run predict.py --dicom; returns exit code, all output, the documents by file name, and the JSON entries."""

    def run(*images, flags=(), ckpt=lenet_ckpt):
        outputs = ["--dicom", tmp_path / "out", "--output_json", tmp_path / "out.json"]
        common = ["--ckpt", ckpt, "--crops", 1, "--device", "cpu"]
        code = run_script("predict.py", *map(str, [*images, *outputs, *common, *flags]))
        captured = capsys.readouterr()
        documents = {path.name: pydicom.dcmread(path) for path in sorted((tmp_path / "out").glob("*.dcm"))}
        entries = json.loads((tmp_path / "out.json").read_text())["images"] if code in (0, 2) else []
        return code, captured.out + captured.err, documents, entries

    run.points = ["--thresholds", str(points)]
    return run


@pytest.fixture(scope="module")
def three_findings(tmp_path_factory):
    """A network of three findings, for tests of what does not depend on the findings."""
    return save_lenet(tmp_path_factory.mktemp("three") / "model.pdparams", CLASS_NAMES[:3])


def save_lenet(path, classes):
    paddle.seed(0)
    checkpoint.save_weights(CheXNet(len(classes), backbone="lenet").state_dict(), path)
    checkpoint.write_metadata_file(path, {"backbone": "lenet", "resize": 40, "crop": 32, "classes": classes})
    return path


def groups(report):
    """Read a report with highdicom: finding -> measurement group."""
    document = highdicom.sr.ComprehensiveSR.from_dataset(report)
    return {group.tracking_identifier: group for group in document.content.get_image_measurement_groups()}


def comments(report):
    return [item.TextValue for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121106"]


def presence(group):
    (evaluation,) = group.get_qualitative_evaluations(codes.DCM.PresenceOfProperty)
    return evaluation.value


def test_a_report_holds_the_numbers_and_decisions_of_the_json(predict, tmp_path):
    source = radiograph(tmp_path / "in" / "a.dcm")
    flags = [*predict.points, "--calibrated"]
    code, _, documents, (entry,) = predict(tmp_path / "in" / "a.dcm", flags=flags)
    report = documents["a_report.dcm"]
    found = groups(report)
    assert code == 0
    assert set(entry["calibrated"]) == {"Mass", "Edema"}
    assert entry["dicom"][0] == str(tmp_path / "out" / "a_report.dcm")
    assert set(found) == set(CLASS_NAMES)
    for name, group in found.items():
        value, scheme, meaning = finding_code(name)
        assert (group.finding_type.value, group.finding_type.scheme_designator) == (value, scheme)
        assert group.finding_type.meaning == meaning
        probability, *calibrated = [float(item.value) for item in group.get_measurements()]
        assert probability == entry["probabilities"][name]
        assert calibrated == ([entry["calibrated"][name]] if name in entry["calibrated"] else [])
        assert (presence(group) == codes.cid240.Present) is entry["decisions"][name]
        assert group.source_images[0].referenced_sop_instance_uid == source.SOPInstanceUID
        assert any("rule of a test" in line for line in parameters(group))
    assert any("Not for diagnosis" in line for line in comments(report))
    assert "For tests only." in comments(report)


def parameters(group):
    """Return the Algorithm Parameters of a measurement group."""
    items = group[0].ContentSequence
    return [item.TextValue for item in items if item.ConceptNameCodeSequence[0].CodeValue == "111002"]


def test_model_and_software_are_identified(predict, tmp_path, lenet_ckpt):
    radiograph(tmp_path / "in" / "a.dcm")
    _, _, documents, _ = predict(tmp_path / "in" / "a.dcm")
    stored = hashlib.sha256(lenet_ckpt.read_bytes()).hexdigest()
    for document in documents.values():
        assert (document.Manufacturer, document.DeviceSerialNumber) == ("Paddle-CheXNet", stored)
        assert document.SoftwareVersions
    (group, *_) = groups(documents["a_report.dcm"]).values()
    assert any(stored in line for line in parameters(group))
    (observer,) = [
        item
        for item in documents["a_report.dcm"].ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121012"
    ]
    assert UID(observer.UID).is_valid


def test_dcmtk_reads_all_documents(predict, tmp_path):
    radiograph(tmp_path / "in" / "a.dcm")
    _, _, documents, (entry,) = predict(tmp_path / "in" / "a.dcm", flags=predict.points)
    text = dcmtk("dsrdump", "+Pl", tmp_path / "out" / "a_report.dcm")
    assert text.count('"Measurement Group"') == len(CLASS_NAMES)
    for value in entry["probabilities"].values():
        assert f'"{value}"' in text or f'"{value:.16g}"' in text
    assert len(documents) > 1
    for name, document in documents.items():
        if name != "a_report.dcm":
            dcmtk("dcm2pnm", "+on", tmp_path / "out" / name, tmp_path / "map.png")
            with Image.open(tmp_path / "map.png") as picture:
                assert np.array_equal(np.asarray(picture.convert("RGB")), document.pixel_array)


def test_maps_are_those_of_the_shown_findings_and_hold_no_data_of_the_patient(predict, tmp_path):
    source = radiograph(tmp_path / "in" / "Doe^Jane.dcm")
    flags = [*predict.points, "--cam", tmp_path / "cam"]
    _, _, documents, (entry,) = predict(tmp_path / "in" / "Doe^Jane.dcm", flags=flags)
    maps = {name for name in documents if "_map_" in name}
    assert maps == {f"Doe^Jane_map_{finding}.dcm" for finding in entry["cam"]}
    assert len({documents[name].SeriesInstanceUID for name in maps}) == 1
    assert len({documents[name].InstanceNumber for name in maps}) == len(maps)
    for name in maps:
        document = documents[name]
        assert document.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert (document.Modality, document.BurnedInAnnotation) == ("OT", "NO")
        # The picture of --cam has the name of the file in its title, which may be that of a patient.
        finding = name.removeprefix("Doe^Jane_map_").removesuffix(".dcm")
        with Image.open(entry["cam"][finding]) as picture:
            top = np.asarray(picture.convert("RGB"))[:30, 100:]
        assert not np.array_equal(top, document.pixel_array[:30, 100 : 100 + top.shape[1]])


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (None, "Doe^Jane"),
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Wang^XiaoMing=王^小明"),
        ("GB18030", "Wang^XiaoMing=王^小明"),
        ("GBK", "Wang^XiaoMing=王^小明"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
def test_patient_study_and_characters_are_kept(predict, three_findings, tmp_path, charset, name):
    source = radiograph(tmp_path / "in" / "a.dcm", SpecificCharacterSet=charset, PatientName=name)
    _, _, documents, _ = predict(tmp_path / "in" / "a.dcm", flags=["--top", 1], ckpt=three_findings)
    assert len(documents) == 2
    for document in documents.values():
        assert document.StudyInstanceUID == source.StudyInstanceUID
        assert document.SeriesInstanceUID != source.SeriesInstanceUID
        assert str(document.PatientName) == name
        for keyword in set(PATIENT) - {"PatientName"}:
            assert str(document.get(keyword)) == PATIENT[keyword]


def test_class_names_of_any_characters(predict, tmp_path):
    classes = ["肺炎", "é" * 80, "a\\b=c^d"]
    ckpt = save_lenet(tmp_path / "m.pdparams", classes)
    radiograph(tmp_path / "in" / "a.dcm", SpecificCharacterSet="GB18030", PatientName="Wang^XiaoMing=王^小明")
    code, _, documents, (entry,) = predict(tmp_path / "in" / "a.dcm", ckpt=ckpt)
    assert code == 0
    assert len(documents) == 4
    found = groups(documents["a_report.dcm"])
    assert {name: float(group.get_measurements()[0].value) for name, group in found.items()} == entry["probabilities"]
    assert {group.finding_type.scheme_designator for group in found.values()} == {LOCAL_SCHEME}
    assert str(documents["a_report.dcm"].PatientName) == "Wang^XiaoMing=王^小明"


def uids(documents):
    return {name: (document.SeriesInstanceUID, document.SOPInstanceUID) for name, document in documents.items()}


def test_a_repeated_run_gives_the_same_uids_and_other_results_give_others(predict, tmp_path):
    source = tmp_path / "in" / "a.dcm"
    radiograph(source)
    first = uids(predict(source)[2])
    again = uids(predict(source)[2])
    decided = uids(predict(source, flags=predict.points)[2])
    assert first == again
    assert all(UID(uid).is_valid for pair in first.values() for uid in pair)
    assert len({uid for _, uid in first.values()}) == len(first)
    assert decided["a_report.dcm"][0] == first["a_report.dcm"][0]  # the series is that of the images and the weights
    assert decided["a_report.dcm"][1] != first["a_report.dcm"][1]


def test_images_of_one_series_share_the_series_of_their_results(predict, tmp_path):
    first = radiograph(tmp_path / "in" / "a.dcm")
    shared = {"StudyInstanceUID": first.StudyInstanceUID, "SeriesInstanceUID": first.SeriesInstanceUID}
    radiograph(tmp_path / "in" / "b.dcm", InstanceNumber=4, **shared)
    _, _, documents, _ = predict(tmp_path / "in")
    for kind in ("report", "map"):
        chosen = [document for name, document in documents.items() if f"_{kind}" in name]
        assert len({document.SeriesInstanceUID for document in chosen}) == 1
        assert len({document.InstanceNumber for document in chosen}) == len(chosen)


def test_an_image_that_is_no_frontal_radiograph_has_no_decisions(predict, tmp_path):
    radiograph(tmp_path / "in" / "a.dcm", ViewPosition="LL")
    _, _, documents, (entry,) = predict(tmp_path / "in" / "a.dcm", flags=predict.points)
    report = documents["a_report.dcm"]
    assert {presence(group).value for group in groups(report).values()} == {codes.cid240.Undetermined.value}
    for warning in entry["warnings"]:
        assert any(warning in line for line in comments(report))
    assert any("meaningless" in line for line in comments(report))


def test_other_files_are_named_and_get_no_results(predict, tmp_path):
    radiograph(tmp_path / "in" / "a.dcm")
    write_png(tmp_path / "in" / "b.png")
    code, output, documents, entries = predict(tmp_path / "in")
    assert code == 0
    assert len([line for line in output.splitlines() if "b.png: not DICOM" in line]) == 1
    assert {name[0] for name in documents} == {"a"}
    assert "dicom" not in entries[1]


@pytest.mark.parametrize(
    "header",
    [
        {"StudyInstanceUID": None},
        {"SeriesInstanceUID": None},
        {"StudyInstanceUID": "1.2.not a uid"},
        {"StudyInstanceUID": ["1.2.3", "1.2.4"]},
        {"SOPClassUID": "1.2.3.4"},
        {"SeriesInstanceUID": "1." * 40 + "1"},
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_an_image_without_references_gets_one_line_and_others_go_on(predict, three_findings, tmp_path, header):
    radiograph(tmp_path / "in" / "a.dcm", **header)
    radiograph(tmp_path / "in" / "b.dcm")
    code, output, documents, entries = predict(tmp_path / "in", ckpt=three_findings)
    assert code == 2
    assert len([line for line in output.splitlines() if "a.dcm: no DICOM results" in line]) == 1
    assert {name[0] for name in documents} == {"b"}
    assert len(entries) == 2  # its prediction is still written
    assert "Doe" not in output


@pytest.mark.parametrize(
    "header",
    [
        {"PatientID": None},
        {"PatientName": None, "PatientBirthDate": None, "PatientSex": None, "AccessionNumber": None},
        {"PatientName": "", "StudyDate": None, "StudyTime": None, "StudyID": None, "ReferringPhysicianName": None},
        {"PatientSex": "Q?", "PatientBirthDate": "3 Feb 1970", "StudyDate": "2026.01.02", "StudyTime": "noon"},
        {"PatientName": "Doe Jane" * 30, "PatientID": "7731" * 40, "AccessionNumber": "A" * 40},
        {"PatientID": ["PAT-7731", "8"], "PatientName": "A=B=C=D=E", "StudyID": "very long study identifier"},
        {"InstanceNumber": None, "ViewPosition": None, "PatientOrientation": ["L", "F"]},
        {"InstanceNumber": 2**31 - 1, "PatientOrientation": "?", "BurnedInAnnotation": "YES"},
        {"SpecificCharacterSet": "NO SUCH SET"},
        {"SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage, "LossyImageCompression": "01"},
        {"SOPClassUID": pydicom.uid.ComputedRadiographyImageStorage, "Modality": "CR"},
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_unusual_headers_give_documents_and_print_no_data_of_the_patient(predict, three_findings, tmp_path, header):
    radiograph(tmp_path / "in" / "a.dcm", **header)
    code, output, documents, (entry,) = predict(tmp_path / "in" / "a.dcm", ckpt=three_findings)
    assert code == 0
    assert len(documents) == len(entry["dicom"]) == 4
    for secret in ("Doe", "7731", "Feb", "House", "ACC-55"):
        assert secret not in output
    assert ("no Patient ID" in output) == ("PatientID" in header and header["PatientID"] is None)
    dcmtk("dsrdump", tmp_path / "out" / "a_report.dcm")
    for document in documents.values():
        for keyword in ("PatientID", "PatientName", "AccessionNumber", "StudyDate"):  # never absent, maybe empty
            assert keyword in document


def test_documents_are_not_written_into_the_images(tmp_path, lenet_ckpt):
    radiograph(tmp_path / "in" / "a.dcm")
    common = ["--ckpt", str(lenet_ckpt), "--device", "cpu", "--crops", "1"]
    for folder in (tmp_path, tmp_path / "in", tmp_path / "in" / "deeper"):
        assert run_script("predict.py", str(tmp_path / "in"), "--dicom", str(folder), *common) == 2
    assert len(list(tmp_path.rglob("*.dcm"))) == 1


def test_a_missing_package_is_named_before_any_work(predict, tmp_path, monkeypatch):
    from chexnet.inference import dicom_results

    radiograph(tmp_path / "in" / "a.dcm")
    monkeypatch.setattr(dicom_results, "find_spec", lambda name: None if name == "highdicom" else name)
    with pytest.raises(FileNotFoundError):  # there is no JSON file to read
        predict(tmp_path / "in" / "a.dcm")
    assert not (tmp_path / "out.json").exists()
