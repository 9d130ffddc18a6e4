"""Pieces of a page: numbers, tables, sections, the style sheet."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root{--ink:#1a1a1a;--soft:#4a4a4a;--line:#c8ccd0;--paper:#fff;--shade:#f3f5f7;--first:#0060a8;--second:#b34700}
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;max-width:78rem;
padding:1rem 1.5rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:1rem 0 .25rem}
h2{font-size:1.3rem;margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.5rem 0 .25rem}
p,ul,dl{max-width:48rem;overflow-wrap:anywhere}
a{color:var(--first)}
.key{display:flex;flex-wrap:wrap;gap:.5rem 2.5rem;margin:1rem 0;max-width:none}
.key div{display:flex;flex-direction:column-reverse}
.key dt{color:var(--soft);font-size:.9rem}
.key dd{margin:0;font-size:1.35rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;list-style:none;padding:0;max-width:none}
.notice{border-left:.3rem solid var(--second);padding:.25rem .75rem;background:var(--shade)}
.scroll{overflow-x:auto;margin:.5rem 0 1rem}
.scroll:focus-visible,a:focus-visible{outline:3px solid var(--first);outline-offset:2px}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:.25rem 0}
th,td{padding:.2rem .4rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600}
thead th{background:var(--shade);vertical-align:bottom;white-space:normal}
tbody th,thead th:first-child{text-align:left}
thead th[scope=colgroup]{text-align:center}
.text th,.text td{text-align:left}
.text td{white-space:normal;overflow-wrap:anywhere}
.own{background:#e8f1f8}
.matrix{font-size:.75rem}
.matrix th,.matrix td{padding:.15rem .4rem}
.matrix thead th+th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;padding:.4rem .15rem}
tfoot th,tfoot td{border-top:2px solid var(--soft);font-weight:600}
tfoot th{text-align:left}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:1rem;margin:1rem 0}
figure{margin:0}
figcaption{font-size:.85rem;line-height:1.3}
svg{width:100%;height:auto;display:block}
svg text{font-size:10px;fill:var(--soft)}
svg path{fill:none;stroke-width:1.6}
.grid{stroke:#dfe3e6;stroke-width:1!important}
.guide{stroke:#767676;stroke-width:1!important;stroke-dasharray:3 3}
path.first{stroke:var(--first)}
path.second{stroke:var(--second);stroke-dasharray:5 2}
path.bar{stroke-width:1;stroke-dasharray:none}
circle.first{fill:var(--first)}
circle.second{fill:var(--paper);stroke:var(--second)}
.legend .first{color:var(--first);font-weight:600}
.legend .second{color:var(--second);font-weight:600}
@media print{body{max-width:none;padding:0;font-size:10pt}.scroll{overflow:visible}table{font-size:7pt}
.matrix{font-size:5.5pt}th,td,.matrix th,.matrix td{padding:.1rem .2rem}
.charts{grid-template-columns:repeat(4,1fr)}figure,tr{break-inside:avoid}h2,h3{break-after:avoid}nav{display:none}}
"""
"""Colours are told apart by colour-blind eyes, and lines by their dashes too; text has a contrast above 4.5 to 1."""


NONE = "&ndash;"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Head:
    """A column's head: its text, how many columns it spans, and its CSS class."""

    text: str
    span: int = 1
    style: str = ""


def table(
    name: str,
    caption: str,
    heads: Sequence[Sequence[Head]],
    rows: Iterable[Sequence[str]],
    foot: Sequence[str] = (),
    style: str = "",
) -> str:
    """A table that scrolls sideways where it is too wide, by keyboard too.

    Args:
        name: its id, which no other table of the page has.
        caption: what it holds; HTML.
        heads: one or two rows of heads; in the first, those of groups of columns.
        rows: cells as HTML, the first of each row being its head.
        foot: a last row, likewise.
        style: CSS class.
    """
    parts = [
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}">',
        f'<table class="{style}"><caption id="{name}">{caption}</caption><thead>',
    ]
    for place, row in enumerate(heads):
        scope = "colgroup" if place < len(heads) - 1 else "col"
        cells = "".join(_head(one, scope) for one in row)
        parts.append(f"<tr>{cells}</tr>")
    last = heads[-1]
    parts.append("</thead><tbody>")
    parts += [_row(row, last) for row in rows]
    parts.append("</tbody>")
    if foot:
        parts.append(f"<tfoot>{_row(foot, last)}</tfoot>")
    return "".join(parts) + "</table></div>"


def _head(head: Head, scope: str) -> str:
    if not head.text:
        return f"<td{_class(head)}></td>" if head.span == 1 else f'<td colspan="{head.span}"{_class(head)}></td>'
    span = f' colspan="{head.span}"' if head.span > 1 else ""
    return f'<th scope="{scope if head.span > 1 else "col"}"{span}{_class(head)}>{head.text}</th>'


def _row(cells: Sequence[str], heads: Sequence[Head]) -> str:
    tail = "".join(f"<td{_class(head)}>{cell}</td>" for cell, head in zip(cells[1:], heads[1:], strict=True))
    return f'<tr><th scope="row">{cells[0]}</th>{tail}</tr>'


def _class(head: Head) -> str:
    return f' class="{head.style}"' if head.style else ""


def figure(svg: str, caption: str) -> str:
    """A chart with its caption, HTML."""
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def facts(rows: Iterable[tuple[str, object]], name: str, caption: str) -> str:
    """A table of names and what they are, as text."""
    cells = [(escape(key), escape(str(value))) for key, value in rows]
    return table(name, caption, [[Head("name"), Head("value")]], cells, style="text")


def decimals(value: float, places: int = 3) -> str:
    """A number, or a dash where there is none."""
    return NONE if math.isnan(value) else f"{value:.{places}f}"


def interval(low: float, high: float, places: int = 3) -> str:
    """`0.812 to 0.845`, or a dash."""
    return NONE if math.isnan(low) else f"{low:.{places}f} to {high:.{places}f}"


def signed(value: float) -> str:
    """A difference, `+0.0123`, or a dash."""
    return NONE if math.isnan(value) else f"{value:+.4f}"


def share(value: float, ends: tuple[float, float]) -> str:
    """`0.81 (0.78 to 0.84)`, or a dash."""
    return NONE if math.isnan(value) else f"{value:.3f} ({interval(*ends)})"
