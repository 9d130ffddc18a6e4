"""The DICOM node on loopback, with the programs of DCMTK on both sides."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import pydicom
import pytest
from conftest import ROOT, run_script
from dicom_network import Archive, until
from dicom_studies import program, radiograph

from chexnet.inference import Predictor
from chexnet.inference.dicom_report import ModelIdentity
from chexnet.web.dicom_service import NodeConfig, running_node

pytest.importorskip("pynetdicom")


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


@pytest.fixture(scope="module")
def predictor(lenet_ckpt):
    return Predictor(lenet_ckpt, crops=1, device="cpu", engine="paddle")


@pytest.fixture
def start(predictor, tmp_path):
    """Run a node in this process, for a `with` block; its lines are in `node.lines`."""

    @contextmanager
    def start(peer, *, allow=(), limit=100, predictor=predictor):
        lines = []
        config = NodeConfig("CHEXNET", "127.0.0.1", 0, allow, peer, 1, first_pause=0.05)
        identity = ModelIdentity.of(predictor, None)
        with running_node(config, predictor, identity, str(tmp_path / "spool"), limit, lines.append) as node:
            node.lines = lines
            yield node

    return start


def send(port, *paths, title="SCANNER", succeeds=True):
    command = [program("storescu"), "-aet", title, "-aec", "CHEXNET", "127.0.0.1", str(port)]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) == succeeds, done.stderr
    return done.stderr.decode()


def spooled(tmp_path, kind="*"):
    return sorted(tmp_path.glob(f"spool/{kind}/*.dcm"))


def test_images_come_back_as_results_of_the_same_study(archive, start, tmp_path):
    sources = [radiograph(tmp_path / f"{index}.dcm") for index in range(3)]
    with archive.running(), start(archive.peer) as node:
        subprocess.run([program("echoscu"), "127.0.0.1", str(node.port)], check=True, timeout=60)
        send(node.port, *(tmp_path / f"{index}.dcm" for index in range(3)))
        until(lambda: len(archive.instances()) == 6)
        until(lambda: not spooled(tmp_path))
    found = archive.instances()
    assert Counter(instance.Modality for instance in found) == {"SR": 3, "OT": 3}
    assert {instance.StudyInstanceUID for instance in found} == {source.StudyInstanceUID for source in sources}
    assert {str(instance.PatientName) for instance in found} == {"Doe^Jane"}
    assert not any("Doe" in line or "7731" in line for line in node.lines)


def test_results_wait_for_a_peer_and_survive_a_restart(archive, start, tmp_path):
    radiograph(tmp_path / "a.dcm")
    with start(archive.peer) as node:
        send(node.port, tmp_path / "a.dcm")
        until(lambda: sum("does not answer" in line for line in node.lines) >= 2)
    waiting = spooled(tmp_path)
    assert len(waiting) == 2
    assert {path.parent.name for path in waiting} == {"results"}
    with archive.running("+xi"), start(archive.peer):  # it accepts implicit value representations only
        until(lambda: not spooled(tmp_path))
    assert set(archive.uids().values()) == {1}
    assert len(archive.uids()) == 2


def test_a_caller_that_is_not_allowed_is_refused(archive, start, tmp_path):
    radiograph(tmp_path / "a.dcm")
    with start(archive.peer, allow=("SCANNER",)) as node:
        assert "Calling AE Title Not Recognized" in send(node.port, tmp_path / "a.dcm", title="WHO", succeeds=False)
        send(node.port, tmp_path / "a.dcm")
        until(lambda: any("WHO" in line for line in node.lines))
    assert len(spooled(tmp_path)) > 0


def test_a_full_spool_refuses_and_takes_images_again_when_it_has_room(archive, start, tmp_path):
    for index in range(3):
        radiograph(tmp_path / f"{index}.dcm")
    with start(archive.peer, limit=2) as node:
        send(node.port, tmp_path / "0.dcm", tmp_path / "1.dcm")
        send(node.port, tmp_path / "2.dcm", succeeds=False)
        assert any("the spool holds 2 images" in line for line in node.lines)
        with archive.running():
            until(lambda: not spooled(tmp_path))
            send(node.port, tmp_path / "2.dcm")
            until(lambda: not spooled(tmp_path))
    assert len(archive.uids()) == 6


def test_an_image_without_results_is_put_aside(archive, start, tmp_path):
    radiograph(tmp_path / "bad.dcm", PhotometricInterpretation="PALETTE COLOR")
    radiograph(tmp_path / "good.dcm")
    with archive.running(), start(archive.peer) as node:
        send(node.port, tmp_path / "bad.dcm", tmp_path / "good.dcm")
        until(lambda: len(archive.instances()) == 2)
    bad = pydicom.dcmread(tmp_path / "bad.dcm").SOPInstanceUID
    assert [line for line in node.lines if bad in line and "no results" in line]
    (refused,) = spooled(tmp_path, "refused")
    assert pydicom.dcmread(refused).SOPInstanceUID == bad


def test_a_peer_that_refuses_the_association_is_tried_again(archive, start, tmp_path):
    radiograph(tmp_path / "a.dcm")
    with start(archive.peer) as node:
        with archive.running("--refuse"):
            send(node.port, tmp_path / "a.dcm")
            until(lambda: any("refuses the association" in line for line in node.lines))
        with archive.running():
            until(lambda: not spooled(tmp_path))
    assert len(archive.uids()) == 2


def test_a_peer_that_ends_the_association_is_tried_again(archive, start, tmp_path):
    radiograph(tmp_path / "a.dcm")
    with start(archive.peer) as node:
        with archive.running("--abort-after"):
            send(node.port, tmp_path / "a.dcm")
            until(lambda: any("next try" in line and "does not answer:" not in line for line in node.lines))
        with archive.running():
            until(lambda: not spooled(tmp_path))
    assert len(archive.uids()) == 2  # at least once, with the same UIDs


def test_an_image_that_arrives_during_its_own_prediction_is_predicted_again(archive, start, predictor, tmp_path):
    """The first copy is removed after its prediction; the second one, with the same UID, must stay."""
    radiograph(tmp_path / "a.dcm")
    entered, proceed = threading.Event(), threading.Event()

    class Slow:
        def __getattr__(self, name):
            return getattr(predictor, name)

        def predict_all(self, paths):
            for prediction in predictor.predict_all(paths):
                entered.set()
                proceed.wait(60)
                yield prediction

    with archive.running(), start(archive.peer, predictor=Slow()) as node:
        send(node.port, tmp_path / "a.dcm")
        assert entered.wait(60)
        send(node.port, tmp_path / "a.dcm")
        assert len(spooled(tmp_path, "received")) == 2
        proceed.set()
        until(lambda: not spooled(tmp_path))
    assert set(archive.uids().values()) == {2}


def test_one_node_per_spool(archive, start):
    with start(archive.peer), pytest.raises(Exception, match="another process is writing"), start(archive.peer):
        pass


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--peer", "ARCHIVE"], "TITLE@HOST:PORT"),
        (["--peer", "ARCHIVE@host:0"], "TITLE@HOST:PORT"),
        (["--peer", "A-TITLE-TOO-LONG-FOR-DICOM@host:104"], "16"),
        (["--peer", "A@b:104", "--title", "ä"], "16"),
        (["--peer", "A@b:104", "--host", "0.0.0.0"], "--allow"),
        (["--peer", "A@b:104", "--queue", "0"], "--queue"),
    ],
)
def test_flags_are_checked(flags, word, tmp_path, capsys):
    try:
        code = run_script("tools/dicom_node.py", "--spool", str(tmp_path / "spool"), *flags)
    except SystemExit as error:
        code = error.code
    message = capsys.readouterr().err
    assert code == 2
    assert word in message
    assert message.count("\n") == 1
    assert not (tmp_path / "spool").exists()


@contextmanager
def script(archive, spool, ckpt):
    """Run tools/dicom_node.py as a process; yields it with its port."""
    command = [sys.executable, ROOT / "tools/dicom_node.py", "--peer", str(archive.peer), "--spool", spool]
    flags = ["--ckpt", ckpt, "--crops", "1", "--device", "cpu", "--engine", "paddle", "--port", "0"]
    process = subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True
    )
    try:
        for line in process.stdout:
            if "listens on" in line:
                yield process, int(line.split("127.0.0.1:")[1].split()[0])
                break
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_killed_node_delivers_after_its_restart(archive, tmp_path, lenet_ckpt):
    """Killed between receipt and delivery: every result arrives, with the UIDs of an undisturbed run."""
    for index in range(4):
        radiograph(tmp_path / f"{index}.dcm")
    with script(archive, tmp_path / "spool", lenet_ckpt) as (process, port):
        send(port, *(tmp_path / f"{index}.dcm" for index in range(4)))  # confirmed, but there is no archive yet
        process.kill()
    assert spooled(tmp_path)
    with archive.running(), script(archive, tmp_path / "spool", lenet_ckpt) as (process, _):
        until(lambda: not spooled(tmp_path))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    uids = archive.uids()
    assert len(uids) == 4 * 4  # a report and three maps for each image
    assert set(uids.values()) == {1}
