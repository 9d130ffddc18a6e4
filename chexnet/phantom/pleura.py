"""Findings outside the lung: pleura, heart and hiatus, and the over-inflated chest of emphysema."""

import numpy as np

from chexnet.phantom.anatomy import LEFT, RIGHT
from chexnet.phantom.canvas import Array
from chexnet.phantom.chest import Chest
from chexnet.phantom.sites import Site


def cardiomegaly(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Return the shadow of the heart above the diaphragm; `findings.reshape` has enlarged the heart."""
    shadow = (chest.heart > 0).astype(np.float32)
    return [shadow * chest.canvas.inside(chest.dome + 1.0 - chest.canvas.y)]


def emphysema(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Thin out the vessels; `findings.reshape` has over-inflated the lungs."""
    chest.vessels *= 0.55
    return [chest.aerated() * chest.side(side) for side in (RIGHT, LEFT)]


def effusion(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint fluid over the diaphragm: it fills the costophrenic angle and rises along the wall."""
    canvas, a = chest.canvas, chest.anatomy
    level = a.dome(site.side) - float(rng.uniform(0.6, 1.6))
    climb = float(rng.uniform(3.0, 5.0))
    surface = level - climb * np.exp(-np.maximum(a.lateral(canvas.y) - np.abs(canvas.x), 0.0) / 2.6)
    fluid = canvas.inside(canvas.y - surface, 0.5) * chest.side(site.side) * (chest.air > 0)
    chest.fill(0.97 * fluid)
    # Below the surface the fluid also surrounds the liver or the stomach.
    chest.extra += 0.6 * fluid
    return [fluid * np.clip(chest.air / 1.0, 0.0, 1.0) * canvas.inside(chest.dome + 0.3 - canvas.y)]


def pneumothorax(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Detach the lung from apex and wall: bare air outside a fine white pleural line."""
    canvas, a = chest.canvas, chest.anatomy
    drop, gap = float(rng.uniform(4.0, 6.0)), float(rng.uniform(2.6, 3.8))
    apex, wide, bottom = a.apex + drop, a.half_width - gap, 7.0
    x = np.maximum(canvas.x * site.side - 4.6, 0.0) / (wide - 4.6)
    y = np.maximum(bottom - canvas.y, 0.0) / (bottom - apex)
    # The level of a superellipse minus one, times its local radius, is nearly a distance in cm.
    level = np.sqrt(x**2.4 + y**2.4 + 1e-6)
    outside = (level - 1.0) * (0.5 * (wide - 4.6 + bottom - apex))
    lung = chest.side(site.side) * chest.aerated()
    bare = canvas.inside(outside, 0.15) * lung
    line = np.exp(-((outside / max(0.16, 0.6 * canvas.pixel)) ** 2)) * lung
    chest.density += (0.02 - chest.density) * bare
    chest.density += 0.06 * (lung - bare)
    for layer in (chest.vessels, chest.opacity):
        layer *= 1.0 - bare
    chest.extra += 1.3 * line
    return [bare]


def pleural_thickening(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint a wavy dense band inside the chest wall, with a cap over the apex."""
    canvas, a = chest.canvas, chest.anatomy
    wave = np.sin(canvas.y * float(rng.uniform(0.5, 0.8)) + float(rng.uniform(0.0, 6.28)))
    thick = float(rng.uniform(1.5, 2.1)) + 0.22 * wave + 0.12 * np.sin(2.7 * canvas.y)
    wall = a.lateral(canvas.y) - np.abs(canvas.x)
    low = a.dome(site.side) + 0.5 * a.dome_drop
    band = canvas.inside(thick - wall, 0.45) * canvas.inside(low - canvas.y, 1.5)
    cap = canvas.inside(a.apex + 2.1 + 0.11 * (np.abs(canvas.x) - 5.6) ** 2 - canvas.y, 0.45)
    peel = np.maximum(band, cap) * chest.side(site.side) * (chest.air > 0)
    chest.fill(0.85 * peel)
    chest.extra += 1.2 * peel
    return [peel]


def hernia(chest: Chest, site: Site, rng: np.random.Generator) -> list[Array]:
    """Paint the stomach behind the heart: a round shadow with a horizontal fluid level under its air."""
    canvas, a = chest.canvas, chest.anatomy
    radius = float(rng.uniform(3.5, 4.3))
    x = float(rng.uniform(0.8, 2.0))
    y = max(a.dome_right, a.dome_left) - 0.5 * radius - 0.6
    r = np.sqrt((canvas.x - x) ** 2 + ((canvas.y - y) / 0.92) ** 2)
    sac = canvas.inside(radius - r, 0.2)
    cavity = np.sqrt(np.clip(1.0 - (r / (radius - 0.35)) ** 2, 0.0, None))
    gas = cavity * canvas.inside(y - 0.1 - canvas.y, 0.12)
    chest.fill(sac * (chest.air > 0))
    chest.extra += 0.8 * sac - 10.0 * gas
    return [sac]
