"""What is wrong with lists, or worth knowing: shared patients, changed labels, images that a checkpoint has seen."""

from chexnet.data.audit.audit_text import format_audit
from chexnet.data.audit.fingerprint import KEY, Seen, fingerprint, format_seen, seen
from chexnet.data.audit.list_audit import FEW, Audit, Changes, ListFacts, Overlap, audit

__all__ = [
    "FEW",
    "KEY",
    "Audit",
    "Changes",
    "ListFacts",
    "Overlap",
    "Seen",
    "audit",
    "fingerprint",
    "format_audit",
    "format_seen",
    "seen",
]
