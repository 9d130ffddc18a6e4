"""A report as one page that needs no other file and no network."""

from html import escape
from pathlib import Path

from chexnet.labels import published
from chexnet.report import figures, tables
from chexnet.report.contents import Report
from chexnet.report.markup import STYLE, decimals, interval, signed


def of_report(report: Report) -> str:
    """The page, HTML."""
    auroc = "AUROC beside what is published" if published(report.predictions.classes) else "AUROC"
    sections = [
        ("auroc", auroc, tables.published(report)),
        ("comparison", "The two predictions compared", tables.comparison(report)),
        ("roc", "ROC curves", figures.roc(report)),
        ("pr", "Precision and recall", figures.precision_recall(report)),
        ("calibration", "Calibration", figures.reliability(report) + tables.calibration(report)),
        ("points", "Operating points", tables.operating_points(report)),
        ("together", "Findings that go together", tables.together(report) + tables.confusion(report)),
        ("members", "The checkpoints of the average", tables.members(report)),
        ("run", "How this was computed", tables.run(report)),
    ]
    present = [(name, title, body) for name, title, body in sections if body]
    title = f"CheXNet report: {escape(Path(report.predictions.source).name)}"
    links = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading, _ in present)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        f"<header><h1>{title}</h1><p>No medical device. Every number is of these images only.</p>",
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>',
        f"<main>{_summary(report)}",
        *(
            f'<section aria-labelledby="{name}"><h2 id="{name}">{heading}</h2>{body}</section>'
            for name, heading, body in present
        ),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def _summary(report: Report) -> str:
    mean = report.scores.mean
    classes, patients = report.predictions.classes, report.predictions.patients
    defined = len(classes) - len(report.scores.undefined)
    numbers = [
        (f"mean AUROC over {defined} of {len(classes)} findings", decimals(mean.auroc, 4)),
        ("95 % interval, by resampling patients", interval(mean.low, mean.high, 4)),
        ("images", f"{len(report.predictions):,}"),
        (f"patients, by {patients.source}", f"{len(patients.known):,}"),
        *([("images of unknown patients", f"{patients.unknown:,}")] if patients.unknown else []),
    ]
    if report.other and report.comparison:
        gap = report.comparison.mean
        numbers.append(("mean AUROC, first minus second", signed(gap.difference)))
        numbers.append(("95 % interval of that", interval(gap.low, gap.high, 4)))
    parts = ['<dl class="key">']
    parts += [f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in numbers]
    parts.append("</dl>")
    for notice in _notices(report):
        parts.append(f'<p class="notice">{escape(notice)}</p>')
    if report.scores.undefined:
        parts.append(
            f'<p class="notice">No AUROC, because these images have one kind of label only for them: '
            f"{escape(', '.join(report.scores.undefined))}. They are left out of every mean.</p>"
        )
    parts.append('<h2 id="known">What should be known of these images</h2><ul>')
    parts += [f"<li>{escape(line)}</li>" for line in report.audit]
    return "".join(parts) + "</ul>"


def _notices(report: Report) -> list[str]:
    """What the checkpoints' own JSON wants to be known, each once."""
    members = report.run.get("members", [report.run])
    return list(dict.fromkeys(str(one["notice"]) for one in members if one.get("notice")))
