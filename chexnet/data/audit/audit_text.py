"""An audit for a person to read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from chexnet.data.audit.fingerprint import format_training_overlap
from chexnet.data.audit.list_audit import Audit, ListFacts, Overlap


def format_audit(audit: Audit) -> str:
    """Counts, what the lists share, what differs, and at the end what to be warned of; several lines."""
    titles = _titles([one.path for one in audit.lists])
    lines = [*_counts(audit.lists, list(titles.values()))]
    if audit.shared:
        lines += ["", "Shared between the lists:", *_overlaps(audit.shared, titles)]
    for path in dict.fromkeys(one.second for one in audit.official):
        lines += ["", f"In {path}, too:"]
        lines += _overlaps([one for one in audit.official if one.second == path], {**titles, path: ""})
    for one in audit.lists:
        if one.changes and one.changes.images:
            images = f"{one.changes.images:,} images of {titles[one.path]}"
            lines += ["", f"Other labels in {one.changes.path} for {images}:"]
            lines += [f"  {name}: {ours:,} -> {theirs:,}" for name, (ours, theirs) in one.changes.positives.items()]
    if any(one.seen for one in audit.lists):
        lines += ["", "The checkpoint:"]
        lines += [f"  {titles[one.path]}: {format_training_overlap(one.seen)}" for one in audit.lists if one.seen]
    lines += ["", *(f"warning: {warning}" for warning in audit.warnings)] if audit.warnings else ["", "no warnings"]
    return "\n".join(lines)


def _titles(paths: Sequence[str]) -> dict[str, str]:
    """Short names of list files, as long as they differ."""
    short = [Path(path).name.removesuffix(".gz").removesuffix(".txt") for path in paths]
    return dict(zip(paths, short if len(set(short)) == len(set(paths)) else paths, strict=True))


def _counts(lists: Sequence[ListFacts], titles: Sequence[str]) -> Iterable[str]:
    classes = list(lists[0].positives)
    first = max(map(len, (*classes, "unknown patient"))) + 1
    widths = [max(len(title), 8) + 2 for title in titles]
    rows: list[tuple[str, list[int]]] = [("images", [one.images for one in lists])]
    rows += [("patients", [one.patients for one in lists])]
    if any(one.unknown_patients for one in lists):
        rows += [("unknown patient", [one.unknown_patients for one in lists])]
    rows += [(name, [one.positives[name] for one in lists]) for name in classes]
    yield f"{'':{first}}" + "".join(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))
    for name, counts in rows:
        yield f"{name:{first}}" + "".join(f"{count:>{width},}" for count, width in zip(counts, widths, strict=True))


def _overlaps(overlaps: Sequence[Overlap], titles: dict[str, str]) -> Iterable[str]:
    for one in overlaps:
        which = " and ".join(filter(None, (titles[one.first], titles[one.second])))
        yield f"  {which}: {one.images:,} images, {one.patients:,} patients"
