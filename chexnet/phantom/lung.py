"""Findings of the lung: opacities, scars and collapse.

Each painter changes the layers of a chest and returns its footprints: float32 [S, S] from 0 to 1, one per box that a
radiologist would draw.
"""

from collections.abc import Callable

import numpy as np

from chexnet.phantom.anatomy import LEFT, RIGHT
from chexnet.phantom.canvas import Array, Tube, smoothstep
from chexnet.phantom.chest import Chest
from chexnet.phantom.sites import Site

Painter = Callable[[Chest, Site, np.random.Generator], list[Array]]

LEVELS = {"upper": -7.6, "middle": -2.2, "lower": 3.2}
"""Heights of the three lung zones in cm."""


def atelectasis(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint plate-like bands over a raised hemidiaphragm; `findings.reshape` raises it."""
    canvas, a = chest.canvas, chest.anatomy
    bands = canvas.blank()
    dome = a.dome(site.side)
    for above in (1.4, 3.2):
        y = dome - above + float(rng.uniform(-0.3, 0.3))
        tilt = float(rng.uniform(-0.5, 1.0))
        inner, outer = a.across(y, site.side, 0.0), a.across(y, site.side, 1.0)
        along = (canvas.x - 0.52 * inner - 0.48 * outer) / (0.4 * abs(outer - inner))
        across = (canvas.y - y - tilt * along) / float(rng.uniform(0.36, 0.46))
        bands = np.maximum(bands, np.exp(-(across**2) - along**6))
    bands *= chest.aerated()
    crowded = canvas.inside(canvas.y - dome + 3.5, 3.0) * chest.side(site.side) * chest.aerated()
    chest.opacity += 4.2 * bands + 0.9 * crowded
    return [bands]


def infiltration(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint ill-defined patches of thin haze in the middle of both lungs."""
    canvas, a = chest.canvas, chest.anatomy
    rough = np.clip(0.9 + 0.22 * canvas.texture(rng, 1.5) + 0.12 * canvas.texture(rng, 0.7), 0.0, None)
    footprints = []
    for side in (RIGHT, LEFT):
        haze = canvas.blank()
        for y in (-4.5, -1.5, 1.2, 3.2):
            py = y + float(rng.uniform(-0.8, 0.8))
            px = a.across(py, side, float(rng.uniform(0.3, 0.8)))
            haze += canvas.blob(px, py, float(rng.uniform(1.1, 1.7)), float(rng.uniform(0.9, 1.3)))
        haze = np.minimum(haze, 1.0) * rough * chest.aerated()
        chest.opacity += 3.3 * haze
        footprints.append(haze)
    return footprints


def mass(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint a round, slightly lobulated opacity of more than 3 cm."""
    return [_ball(chest, site, rng, float(rng.uniform(4.4, 6.4)), 1.2)]


def nodule(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint one to three round opacities of less than 3 cm; partly calcified, they are denser than a mass."""
    count = int(rng.integers(1, 4))
    sites = [site] + [Site(s, v) for s in (site.side, -site.side) for v in ("upper", "middle", "lower")]
    chosen = [site, *(sites[i] for i in rng.permutation(np.arange(1, len(sites)))[:3] if sites[i] != site)]
    return [_ball(chest, nodule_site, rng, float(rng.uniform(1.9, 2.6)), 1.9) for nodule_site in chosen[:count]]


def _ball(chest: Chest, site: Site, rng: np.random.Generator, diameter: float, weight: float) -> Array:
    """Paint a ball of tissue inside one zone; its footprint is its chord divided by its diameter."""
    canvas, a = chest.canvas, chest.anatomy
    y = LEVELS[site.level] + float(rng.uniform(-0.9, 0.9))
    inner, outer = abs(a.across(y, site.side, 0.0)), abs(a.across(y, site.side, 1.0))
    # The whole ball lies in the lung if the lung is wide enough.
    slack = max(outer - inner - diameter - 0.9, 0.0)
    x = site.side * (0.5 * (inner + outer) + slack * float(rng.uniform(-0.5, 0.5)))
    lobes = [(float(rng.uniform(0.02, 0.06)), float(rng.uniform(0.0, 6.28))) for _ in range(2)]
    dx, dy = canvas.x - x, canvas.y - y
    angle = np.arctan2(dy, dx)
    wobble = 1.0 + sum(size * np.cos((k + 2) * angle + turn) for k, (size, turn) in enumerate(lobes))
    radius = np.sqrt(dx * dx + dy * dy) / (0.5 * diameter * wobble)
    chord = np.sqrt(np.clip(1.0 - radius * radius, 0.0, None))
    chest.opacity += weight * (1.0 - chest.density) * diameter * chord
    return chord.astype(np.float32)


def pneumonia(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint a soft-edged segment full of fluid, in which the bronchi are visible as dark branches."""
    canvas, a = chest.canvas, chest.anatomy
    y = LEVELS[site.level] + float(rng.uniform(-0.6, 1.2))
    x = a.across(y, site.side, 0.52)
    rx, ry = float(rng.uniform(3.0, 3.6)), float(rng.uniform(3.0, 3.8))
    r2 = ((canvas.x - x) / rx) ** 2 + ((canvas.y - y) / ry) ** 2
    segment = np.exp(-(r2**1.7)) * chest.aerated()
    tree: list[Tube] = []
    stem = (x - site.side * rx, y - 0.35 * ry)
    for end in (-0.55, 0.15, 0.8):
        middle = (x - site.side * 0.2 * rx, y + 0.35 * end * ry)
        tree.append(([stem, middle, (x + site.side * 0.75 * rx, y + end * ry)], [0.26, 0.2]))
    mottled = 0.72 + 0.1 * canvas.texture(rng, 1.6)
    chest.opacity += segment * np.clip(mottled * chest.free_air() - 7.0 * canvas.tubes(tree), 0.0, None)
    return [segment]


def consolidation(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint a lobe without air, dense up to its sharp edge at the fissure."""
    canvas = chest.canvas
    x, y = np.abs(canvas.x), canvas.y
    bow = float(rng.uniform(-0.03, 0.03)) * (x - 7.0) ** 2
    shift = float(rng.uniform(-0.8, 0.8))
    if site.level == "upper":
        # Right upper lobe: everything above the horizontal fissure.
        lobe = canvas.inside(-2.8 + shift + bow - y, 0.15)
    elif site.level == "middle":
        # Right middle lobe: under the horizontal fissure, against the heart.
        lobe = canvas.inside(y + 0.8 - shift - bow, 0.15) * smoothstep(-x, -11.5, -8.5)
    else:
        # Left lower lobe: behind the heart, under the oblique fissure's slope.
        lobe = canvas.inside(y - (0.85 * (x - 2.5) - 1.5 + shift + bow), 0.15)
    lobe = lobe * chest.side(site.side) * (chest.air > 0.4)
    chest.fill(0.9 * lobe)
    return [lobe * chest.aerated()]


def edema(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint bat-wing haze around both hila, wide vessels, and Kerley B lines."""
    canvas, a = chest.canvas, chest.anatomy
    lines: list[Tube] = []
    footprints = []
    strength = float(rng.uniform(4.4, 5.4))
    for side in (RIGHT, LEFT):
        wing = np.exp(-((((canvas.x - side * 5.6) / 4.6) ** 2 + ((canvas.y + 0.6) / 5.6) ** 2) ** 1.3))
        wing = wing * chest.side(side) * chest.aerated()
        chest.opacity += strength * wing
        footprints.append(wing)
        for y in np.arange(2.4, a.dome(side) + 1.6, 0.9).tolist():
            inner, outer = a.across(y, side, 0.80), a.across(y, side, 0.985)
            lines.append(([(inner, y), (outer, y + 0.1)], [0.13]))
    chest.opacity += 6.0 * canvas.tubes(lines) * chest.aerated()
    chest.vessels *= 1.7
    return footprints


def fibrosis(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint a net of scars with honeycomb cells at the outer bases of both lungs."""
    canvas, a = chest.canvas, chest.anatomy
    # The zero lines of a smooth random field form a net of closed cells.
    coarse = np.exp(-((canvas.texture(rng, 1.1) / 0.38) ** 2))
    net = 0.65 * coarse + 0.5 * np.exp(-((canvas.texture(rng, 0.65) / 0.38) ** 2))
    outer = smoothstep(np.abs(canvas.x) / a.lateral(canvas.y), 0.42, 0.72)
    footprints = []
    for side in (RIGHT, LEFT):
        base = smoothstep(canvas.y, a.dome(side) - 9.0, a.dome(side) - 3.0)
        reach = outer * base * chest.side(side) * chest.aerated()
        chest.opacity += reach * (4.2 * net + 0.6)
        footprints.append(reach)
    return footprints
