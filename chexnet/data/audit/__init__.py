"""What is wrong with lists, or worth knowing: shared patients, changed labels, images that a checkpoint has seen."""

from chexnet.data.audit.audit_text import format_audit
from chexnet.data.audit.fingerprint import KEY, TrainingOverlap, fingerprint, format_training_overlap, training_overlap
from chexnet.data.audit.list_audit import FEW, Audit, LabelChanges, ListFacts, Overlap, audit

__all__ = [
    "FEW",
    "KEY",
    "Audit",
    "LabelChanges",
    "ListFacts",
    "Overlap",
    "TrainingOverlap",
    "audit",
    "fingerprint",
    "format_audit",
    "format_training_overlap",
    "training_overlap",
]
