"""Check lists for shared patients, changed labels, missing images, and images that a checkpoint was trained on."""

from chexnet.data.audit.audit_text import format_audit
from chexnet.data.audit.fingerprint import KEY, TrainingOverlap, fingerprint, format_training_overlap, training_overlap
from chexnet.data.audit.list_audit import MIN_IMAGES, Audit, LabelChanges, ListSummary, Overlap, audit
from chexnet.data.audit.list_passport import Passport, Relation, format_passport, numbers_of_known, passport

__all__ = [
    "KEY",
    "MIN_IMAGES",
    "Audit",
    "LabelChanges",
    "ListSummary",
    "Overlap",
    "Passport",
    "Relation",
    "TrainingOverlap",
    "audit",
    "fingerprint",
    "format_audit",
    "format_passport",
    "format_training_overlap",
    "numbers_of_known",
    "passport",
    "training_overlap",
]
