"""Send DICOM files to another application (C-STORE), with pynetdicom."""

from collections.abc import Iterable
from pathlib import Path

from chexnet._types import LogFn
from chexnet.config.dicom_addresses import Peer
from chexnet.web.dicom_spool import instance_uid

TIMEOUT = 30.0
"""Seconds to wait for a connection, an answer or the next data."""

_DELIVERED = (0x0000, 0xB000, 0xB006, 0xB007)
"""Statuses of a stored instance: success, and the three warnings of DICOM PS3.4 table B.2-1."""


def deliver(paths: Iterable[Path], title: str, peer: Peer, log: LogFn) -> tuple[int, str]:
    """Send files over one association, and remove each one that the peer has stored.

    Args:
        paths: structured reports and secondary captures of a `Spool`.
        title: our own title.
        peer: the receiver.
        log: receives a line about each file that the peer refuses; the file stays.

    Returns:
        The number of files that the peer has stored, and why others were not delivered, empty if all were.
    """
    from pynetdicom import AE
    from pynetdicom.sop_class import ComprehensiveSRStorage, SecondaryCaptureImageStorage

    entity = AE(ae_title=title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT
    entity.add_requested_context(ComprehensiveSRStorage)
    entity.add_requested_context(SecondaryCaptureImageStorage)
    association = entity.associate(peer.host, peer.port, ae_title=peer.title)
    if not association.is_established:
        return 0, f"refuses the association of {title}" if association.is_rejected else "does not answer"
    sent = refused = 0
    try:
        for path in paths:
            try:
                status = association.send_c_store(path)
            except ValueError:  # the peer has accepted no presentation context for it
                log(f"=> {instance_uid(path)}: {peer} does not take results of this kind")
                refused += 1
                continue
            except RuntimeError:
                return sent, "has ended the association"
            if "Status" not in status:
                return sent, "does not answer any more"
            if status.Status in _DELIVERED:
                path.unlink()
                sent += 1
            else:
                log(f"=> {instance_uid(path)}: {peer} refuses a result with status 0x{status.Status:04X}")
                refused += 1
    finally:
        if association.is_established:
            association.release()
    return sent, f"has refused {refused} results" if refused else ""
