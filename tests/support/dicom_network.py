"""DICOM applications of other people on loopback, for tests of the DICOM node."""

import socket
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pydicom
from dicom_studies import program

from chexnet.config.dicom_addresses import Peer


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(condition, seconds=60.0):
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value


def reachable(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Archive:
    """DCMTK's storescp with the title ARCHIVE, which keeps each instance that it receives in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir()

    @contextmanager
    def running(self, *options):
        command = [program("storescp"), "-aet", "ARCHIVE", "+uf", *options, "-od", self.folder, str(self.port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: reachable(self.port))
            yield self
        finally:
            process.terminate()
            process.wait()

    @property
    def peer(self) -> Peer:
        return Peer("ARCHIVE", "127.0.0.1", self.port)

    def instances(self):
        """Return the datasets of all complete files."""
        found = []
        for path in sorted(self.folder.iterdir()):
            try:
                found.append(pydicom.dcmread(path))
            except (pydicom.errors.InvalidDicomError, EOFError):
                continue  # still being written
        return found

    def uids(self):
        return Counter(instance.SOPInstanceUID for instance in self.instances())
