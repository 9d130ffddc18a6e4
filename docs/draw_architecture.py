"""Draw docs/images/architecture.svg: the wings of the library and which of them import which.

    python docs/draw_architecture.py

The arrows are read from the imports, the words from the packages' docstrings. An arrow that follows from two others is
left out. A test draws the picture again and compares.
"""

import ast
import textwrap
from functools import cache
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "chexnet"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

GROUND = "ground"
_GROUND_WORDS = "config, labels, errors, files, device, cli, prefetch: what everything else stands on."
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _BEND = 250, 92, 30, 46, 12, 90


def dotted(path: Path) -> str:
    """Return the name under which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in sorted(LIBRARY.rglob("*.py"))}


@cache
def dependencies(path: Path) -> set[str]:
    """Return the library's modules that a file imports, also inside functions, but not for type checkers only.

    A name of a package that is itself a module stands for that module.
    """
    found = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found & set(MODULES) - {dotted(path)}


def wing_imports() -> dict[str, set[str]]:
    """Return, for each wing, the wings that it imports; everything that is no package of its own is the ground."""
    wings = {path.parent.name for path in LIBRARY.glob("*/__init__.py")} - {"cli", "config", "files"}

    def wing(module: str) -> str | None:
        top = [*module.split("."), ""][1]
        return None if top in ("", "__main__", "utility") else top if top in wings else GROUND

    graph: dict[str, set[str]] = {name: set() for name in sorted(wings | {GROUND})}
    for module, path in MODULES.items():
        if own := wing(module):
            graph[own] |= {used for name in dependencies(path) if (used := wing(name)) and used != own}
    return graph


def _reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out what is imported by another import, too."""
    reach: dict[str, set[str]] = {}
    for wing in TopologicalSorter(graph).static_order():
        reach[wing] = graph[wing].union(*(reach[below] for below in graph[wing]))
    return {wing: {x for x in below if not any(x in reach[y] for y in below)} for wing, below in graph.items()}


def _levels(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the wings from the lowest level up; a wing is above everything that it imports."""
    level: dict[str, int] = {}
    for wing in TopologicalSorter(graph).static_order():
        level[wing] = 1 + max((level[below] for below in graph[wing]), default=-1)

    def reaches_far(wing: str) -> bool:
        return any(level[wing] - level[below] > 1 for below in graph[wing])

    order = sorted(level, key=lambda wing: (reaches_far(wing) or wing == "metrics", wing))
    return [[wing for wing in order if level[wing] == at] for at in range(max(level.values()) + 1)]


def _words(wing: str) -> str:
    if wing == GROUND:
        return _GROUND_WORDS
    docstring = ast.get_docstring(ast.parse((LIBRARY / wing / "__init__.py").read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("`", "")


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a straight line to the next level, or a bend on the right around the levels between."""
    (x, y), (to_x, to_y) = start, end
    if to_y - y <= _HEIGHT + _GAP_Y:
        return f"M{x + _WIDTH / 2:g} {y + _HEIGHT:g}L{to_x + _WIDTH / 2:g} {to_y - 2:g}"
    x, to_x, y, to_y = x + _WIDTH, to_x + _WIDTH, y + _HEIGHT / 2, to_y + _HEIGHT / 2
    bend = max(x, to_x) + _BEND * (to_y - y) / (3 * (_HEIGHT + _GAP_Y))
    return f"M{x:g} {y:g}C{bend:g} {y:g} {bend:g} {to_y:g} {to_x + 2:g} {to_y:g}"


def draw() -> str:
    """Return the picture as SVG."""
    graph = _reduced(wing_imports())
    levels = _levels(graph)
    widest = max(map(len, levels))
    columns = widest * _WIDTH + (widest - 1) * _GAP_X
    width, height = columns + 2 * _MARGIN + _BEND, 2 * _MARGIN + len(levels) * (_HEIGHT + _GAP_Y) - _GAP_Y
    corner = {}
    for level, wings in enumerate(levels):
        left = _MARGIN + (columns - len(wings) * _WIDTH - (len(wings) - 1) * _GAP_X) / 2
        for column, wing in enumerate(wings):
            corner[wing] = left + column * (_WIDTH + _GAP_X), height - _MARGIN - _HEIGHT - level * (_HEIGHT + _GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<title>The wings of the library; an arrow points to what a wing imports</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#607080"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for wing, below in graph.items():
        for used in sorted(below):
            parts.append(
                f'<path d="{_arrow(corner[wing], corner[used])}" fill="none" stroke="#607080" stroke-width="1.5" '
                'marker-end="url(#tip)"/>'
            )
    for wing, (x, y) in corner.items():
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef3f8" stroke="#607080"/>'
        )
        parts.append(
            f'<text x="{x + 12:g}" y="{y + 24:g}" font-size="16" font-weight="bold" fill="#102030">{wing}</text>'
        )
        for line, words in enumerate(textwrap.wrap(_words(wing), 36)[:3]):
            parts.append(
                f'<text x="{x + 12:g}" y="{y + 45 + 17 * line:g}" font-size="13" fill="#102030">{escape(words)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
