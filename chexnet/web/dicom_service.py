"""A DICOM node: receives radiographs (C-STORE), predicts them and sends the results to a peer."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chexnet._types import LogFn
from chexnet.config.dicom_addresses import Peer
from chexnet.errors import InputError, printable
from chexnet.inference import Prediction, Predictor
from chexnet.inference.dicom_report import ModelIdentity
from chexnet.inference.dicom_results import result_documents
from chexnet.inference.image_outputs import select_findings
from chexnet.inference.predictor import MAX_BATCH_IMAGES
from chexnet.web.dicom_peer import deliver
from chexnet.web.dicom_spool import Spool, instance_uid

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0
"""Seconds before a failed delivery is repeated: the first pause, which doubles each time, and the longest one."""

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""Statuses of C-STORE, DICOM PS3.4 table B.2-1."""


@dataclass(frozen=True)
class NodeConfig:
    """Addresses of a node and of its peer.

    Attributes:
        title: its application entity title.
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        allow: titles that may call; empty allows all.
        peer: receiver of the results.
        top: see `select_findings`.
        first_pause: seconds before a failed delivery is repeated.
    """

    title: str
    host: str
    port: int
    allow: tuple[str, ...]
    peer: Peer
    top: int
    first_pause: float = FIRST_PAUSE


class DicomNode:
    """Receive, predict and deliver, each in its own thread; a context manager.

    An image is confirmed when it is in the spool. What is in the spool at the start is continued.

    Args:
        config: addresses.
        predictor: the network.
        model: what the results say about the network.
        spool: see `Spool`.
        log: receives lines for the user, which name instances by their UID and hold no data of patients.

    Attributes:
        port: port that the node listens on.

    Raises:
        InputError: the address cannot be used.
    """

    def __init__(
        self, config: NodeConfig, predictor: Predictor, model: ModelIdentity, spool: Spool, log: LogFn
    ) -> None:
        self.config, self.predictor, self.model, self.spool, self.log = config, predictor, model, spool, log
        self._stopped = threading.Event()
        self._received, self._predicted = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._entity, self.port = self._listen()
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in (self._predict, self._deliver)]

    def __enter__(self) -> "DicomNode":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Refuse further images, finish the current one and the current delivery, and end."""
        self._stop()
        self._entity.shutdown()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Wait until the node ends by itself, which only an error of its threads causes; raise that error."""
        self._stopped.wait()
        if self._failure:
            raise self._failure

    def _stop(self) -> None:
        for event in (self._stopped, self._received, self._predicted):
            event.set()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failure = error
            self._stop()

    def _listen(self) -> tuple[Any, int]:
        """Accept associations, in threads of pynetdicom; return the application entity and its port."""
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import (
            ComputedRadiographyImageStorage,
            DigitalXRayImageStorageForPresentation,
            DigitalXRayImageStorageForProcessing,
            SecondaryCaptureImageStorage,
            Verification,
        )

        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # the lines of `log` say the same
        entity = AE(ae_title=self.config.title)
        entity.require_calling_aet = list(self.config.allow)
        entity.add_supported_context(Verification)
        for sop_class in (
            ComputedRadiographyImageStorage,
            DigitalXRayImageStorageForPresentation,
            DigitalXRayImageStorageForProcessing,
            SecondaryCaptureImageStorage,
        ):
            entity.add_supported_context(sop_class, _transfer_syntaxes())
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_REJECTED, self._rejected)]
        try:
            server = entity.start_server((self.config.host, self.config.port), block=False, evt_handlers=handlers)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"--host {self.config.host} --port {self.config.port}: cannot listen there: {reason}"
            ) from error
        return entity, server.server_address[1]

    def _store(self, event: Any) -> int:
        """Answer a C-STORE request."""
        from pydicom.uid import UID

        uid = event.request.AffectedSOPInstanceUID
        if not UID(uid).is_valid:
            self.log("=> refused an image: its SOP Instance UID is not valid")
            return CANNOT_UNDERSTAND
        try:
            if self._stopped.is_set() or not self.spool.receive(uid, event.encoded_dataset()):
                self.log(f"=> {uid}: refused, because {self._reason_for_refusal()}")
                return OUT_OF_RESOURCES
        except InputError as error:
            self.log(f"=> {uid}: refused: {error}")
            return OUT_OF_RESOURCES
        self._received.set()
        return SUCCESS

    def _reason_for_refusal(self) -> str:
        return "the node is ending" if self._stopped.is_set() else f"the spool holds {self.spool.limit} images"

    def _rejected(self, event: Any) -> None:
        title = printable(str(event.assoc.requestor.ae_title).strip())
        self.log(f"=> refused an association of {title}: expected one of --allow {' '.join(self.config.allow)}")

    def _predict(self) -> None:
        """Predict the images of the spool, as many together as wait, until the node ends."""
        while not self._stopped.is_set():
            self._received.clear()
            if self._stopped.is_set():  # `_stop` may have set the event just before
                return
            images = self.spool.waiting()[:MAX_BATCH_IMAGES]
            if not images:
                self._received.wait()
                continue
            with closing(self.predictor.predict_all(images)) as predictions:
                for image, prediction in zip(images, predictions, strict=True):
                    self._finish(image, prediction)
                    if self._stopped.is_set():
                        return

    def _finish(self, image: Path, prediction: Prediction | InputError) -> None:
        try:
            if isinstance(prediction, InputError):
                raise prediction
            findings = select_findings(prediction, self.model.thresholds, self.config.top)
            results = result_documents(image, prediction, findings, self.model, self.log)
            documents = [document for _, document in results]
        except InputError as error:
            self.spool.refuse(image)
            reason = str(error).removeprefix(f"{image}: ")
            self.log(f"=> {instance_uid(image)}: no results, put aside in {self.spool.folder / 'refused'}: {reason}")
            return
        try:
            self.spool.store_results(image, documents)
        except InputError as error:
            self.log(f"=> {error}; next try in {self.config.first_pause:g} s")
            self._stopped.wait(self.config.first_pause)
        self._predicted.set()

    def _deliver(self) -> None:
        """Send the results of the spool until the node ends, with growing pauses while that fails."""
        pause = self.config.first_pause
        while not self._stopped.is_set():
            self._predicted.clear()
            if self._stopped.is_set():
                return
            results = self.spool.results()
            if not results:
                self._predicted.wait()
                continue
            sent, failure = deliver(self._until_stopped(results), self.config.title, self.config.peer, self.log)
            if sent:
                self.log(f"=> {self.config.peer}: {sent} results sent, {len(self.spool.waiting())} images wait")
            if not failure:
                pause = self.config.first_pause
                continue
            left = len(self.spool.results())
            self.log(f"=> {self.config.peer} {failure}: {left} results wait in the spool, next try in {pause:g} s")
            self._stopped.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _until_stopped(self, results: list[Path]) -> Iterator[Path]:
        for path in results:
            if self._stopped.is_set():
                return
            yield path


def _transfer_syntaxes() -> list[str]:
    """Return the transfer syntaxes that `chexnet.data.images` reads."""
    from pydicom import uid

    native = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian]
    compressed = [
        *uid.JPEGTransferSyntaxes,
        *uid.JPEGLSTransferSyntaxes,
        *uid.JPEG2000TransferSyntaxes,
        uid.RLELossless,
    ]
    return [*native, *dict.fromkeys(compressed)]


@contextmanager
def running_node(
    config: NodeConfig, predictor: Predictor, model: ModelIdentity, folder: str, limit: int, log: LogFn
) -> Iterator[DicomNode]:
    """Run a node with the spool in `folder` during the block; see `DicomNode` and `Spool` for the arguments.

    Raises:
        InputError: the address or the spool cannot be used, or another node has this spool.
    """
    from chexnet.files import exclusive_lock

    with exclusive_lock(folder):
        spool = Spool(folder, limit)
        if left := len(spool.waiting()) + len(spool.results()):
            log(f"=> {folder}: continuing with {left} files that an earlier run left")
        with DicomNode(config, predictor, model, spool, log) as node:
            yield node
