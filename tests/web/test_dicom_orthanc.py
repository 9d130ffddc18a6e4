"""The DICOM node between two sides of Orthanc, an archive: it sends an image and gets the results into the study."""

import json
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest
from dicom_network import free_port, reachable, until
from dicom_studies import program, radiograph

from chexnet.config.dicom_addresses import Peer
from chexnet.inference import Predictor
from chexnet.inference.dicom_report import ModelIdentity
from chexnet.web.dicom_service import NodeConfig, running_node

pytest.importorskip("pynetdicom")


class Orthanc:
    """An Orthanc with an empty store, reachable on loopback only."""

    def __init__(self, folder, node_port):
        self.dicom, self.http = free_port(), free_port()
        settings = {
            "Name": "test",
            "StorageDirectory": str(folder / "store"),
            "IndexDirectory": str(folder / "store"),
            "DicomAet": "ORTHANC",
            "DicomPort": self.dicom,
            "HttpPort": self.http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": {"chexnet": ["CHEXNET", "127.0.0.1", node_port]},
            "Plugins": [],
        }
        self.config = folder / "orthanc.json"
        self.config.write_text(json.dumps(settings))
        self.output = folder / "orthanc.log"

    @contextmanager
    def running(self):
        with open(self.output, "wb") as output:
            process = subprocess.Popen([program("Orthanc"), self.config], stdout=output, stderr=output)
        try:
            until(lambda: process.poll() is not None or (reachable(self.http) and reachable(self.dicom)))
            if process.poll() is not None:
                pytest.skip(f"Orthanc does not start: {self.output.read_text()[-300:]}")
            yield self
        finally:
            process.terminate()
            process.wait()

    def call(self, path, data=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


def test_orthanc_sends_an_image_and_gets_the_results_into_its_study(tmp_path, lenet_ckpt):
    program("Orthanc")
    source = radiograph(tmp_path / "a.dcm", SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoMing=王^小明")
    predictor = Predictor(lenet_ckpt, crops=1, device="cpu", engine="paddle")
    identity = ModelIdentity.of(predictor, None)
    port = free_port()
    orthanc = Orthanc(tmp_path, port)
    config = NodeConfig("CHEXNET", "127.0.0.1", port, ("ORTHANC",), Peer("ORTHANC", "127.0.0.1", orthanc.dicom), 1)
    node = running_node(config, predictor, identity, str(tmp_path / "spool"), 10, lambda line: None)
    with orthanc.running(), node:
        instance = orthanc.call("instances", (tmp_path / "a.dcm").read_bytes())["ID"]
        orthanc.call("modalities/chexnet/store", json.dumps([instance]).encode())
        until(lambda: len(orthanc.call("instances")) == 3)
        (study,) = orthanc.call("studies")
        content = orthanc.call(f"studies/{study}")
        series = [orthanc.call(f"series/{name}") for name in content["Series"]]
        (patient,) = orthanc.call("patients")
        name = orthanc.call(f"patients/{patient}")["MainDicomTags"]["PatientName"]
        (report,) = [one["Instances"][0] for one in series if one["MainDicomTags"]["Modality"] == "SR"]
        tags = orthanc.call(f"instances/{report}/simplified-tags")
    assert content["MainDicomTags"]["StudyInstanceUID"] == source.StudyInstanceUID
    assert sorted(one["MainDicomTags"]["Modality"] for one in series) == ["DX", "OT", "SR"]
    assert name == "Wang^XiaoMing=王^小明"
    evidence = tags["CurrentRequestedProcedureEvidenceSequence"][0]["ReferencedSeriesSequence"][0]
    assert evidence["ReferencedSOPSequence"][0]["ReferencedSOPInstanceUID"] == source.SOPInstanceUID
