"""Format an audit as text."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from chexnet.data.audit.fingerprint import format_training_overlap
from chexnet.data.audit.list_audit import Audit, ListSummary, Overlap
from chexnet.data.audit.list_passport import format_passport


def format_audit(audit: Audit) -> str:
    """Format an audit: counts, overlaps, differences in labels, and finally the warnings, one per line."""
    titles = _titles([summary.path for summary in audit.lists])
    lines = [*_counts(audit.lists, list(titles.values())), "", "What the lists are:"]
    for found in audit.passports:
        lines += format_passport(found, titles.get(found.path, found.path))
    if audit.shared:
        lines += ["", "Shared between the lists:", *_overlaps(audit.shared, titles)]
    for path in dict.fromkeys(overlap.second for overlap in audit.official):
        lines += ["", f"Also in {path}:"]
        lines += _overlaps([overlap for overlap in audit.official if overlap.second == path], {**titles, path: ""})
    for summary in audit.lists:
        changes = summary.changes
        if changes and changes.images:
            lines += ["", f"Other labels in {changes.path} for {changes.images:,} images of {titles[summary.path]}:"]
            lines += [f"  {name}: {before:,} -> {after:,}" for name, (before, after) in changes.positives.items()]
    overlaps = [(titles[summary.path], summary.seen) for summary in audit.lists if summary.seen]
    if overlaps:
        lines += ["", "Training images of the checkpoint:"]
        lines += [f"  {title}: {format_training_overlap(overlap)}" for title, overlap in overlaps]
    lines += ["", *(f"warning: {warning}" for warning in audit.warnings)] if audit.warnings else ["", "no warnings"]
    return "\n".join(lines)


def _titles(paths: Sequence[str]) -> dict[str, str]:
    """Return short names of list files, or the paths if short names are not unique."""
    short = [Path(path).name.removesuffix(".gz").removesuffix(".txt") for path in paths]
    return dict(zip(paths, short if len(set(short)) == len(set(paths)) else paths, strict=True))


def _counts(lists: Sequence[ListSummary], titles: Sequence[str]) -> Iterable[str]:
    classes = list(lists[0].positives)
    first = max(map(len, (*classes, "unknown patient"))) + 1
    widths = [max(len(title), 8) + 2 for title in titles]
    rows: list[tuple[str, list[int]]] = [("images", [summary.images for summary in lists])]
    rows += [("patients", [summary.patients for summary in lists])]
    if any(summary.unknown_patients for summary in lists):
        rows += [("unknown patient", [summary.unknown_patients for summary in lists])]
    rows += [(name, [summary.positives[name] for summary in lists]) for name in classes]
    yield f"{'':{first}}" + "".join(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))
    for name, counts in rows:
        yield f"{name:{first}}" + "".join(f"{count:>{width},}" for count, width in zip(counts, widths, strict=True))


def _overlaps(overlaps: Sequence[Overlap], titles: dict[str, str]) -> Iterable[str]:
    for overlap in overlaps:
        pair = " and ".join(filter(None, (titles[overlap.first], titles[overlap.second])))
        yield f"  {pair}: {overlap.images:,} images, {overlap.patients:,} patients"
