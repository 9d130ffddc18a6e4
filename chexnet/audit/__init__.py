"""What is wrong with lists, or worth knowing: shared patients, changed labels, images that a checkpoint has seen."""

from chexnet.audit.fingerprint import KEY, Seen, fingerprint, format_seen, seen
from chexnet.audit.lists import FEW, Audit, Changes, ListFacts, Overlap, audit
from chexnet.audit.text import format_audit

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
