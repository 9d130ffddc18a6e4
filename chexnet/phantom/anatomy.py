"""A healthy chest: its dimensions and its path lengths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chexnet.phantom.canvas import Array, Canvas, Point, Tube, smoothstep

RIGHT, LEFT = -1, 1
"""Sides of the patient as the sign of x: the patient's right is on the left of the image."""

_APEX_X = 5.6
_WIDEST_Y = 6.0
_CONTOUR_POWER = 2.2

_HEALTHY = {
    "half_width": (13.0, 14.6),
    "apex": (-14.2, -13.0),
    "dome_right": (6.3, 7.7),
    "dome_drop": (3.2, 4.2),
    "heart_ratio": (0.40, 0.47),
    "depth": (18.6, 21.0),
    "air": (13.6, 14.6),
    "density": (0.25, 0.30),
    "rib_spacing": (2.35, 2.70),
    "rib_phase": (0.0, 2.5),
    "knob": (0.7, 1.5),
    # Negative values mean none: in about every second patient, and in every sixth.
    "breast": (-2.5, 3.0),
    "stomach": (-1.0, 5.0),
}


@dataclass(frozen=True)
class Anatomy:
    """Dimensions of one chest; lengths in cm, heights as y (downwards).

    Attributes:
        half_width: half of the inner width of the rib cage.
        apex: height of the tops of the lungs.
        dome_right, dome_left: heights of the tops of the diaphragm.
        dome_drop: distance from the top of the diaphragm down to the costophrenic angle.
        heart_ratio: cardiothoracic ratio, heart width over inner width of the rib cage.
        depth: thickness of the trunk, front to back.
        air: maximum depth of lung along a ray.
        density: tissue fraction of the lung.
        rib_spacing, rib_phase: distance between ribs, and height of one rib.
        knob: bulge of the aortic arch.
        breast: thickness of the breast shadows, 0 for none.
        stomach: depth of the air under the left dome.
        vessel_seed: random seed of the vessel tree.
    """

    half_width: float
    apex: float
    dome_right: float
    dome_left: float
    dome_drop: float
    heart_ratio: float
    depth: float
    air: float
    density: float
    rib_spacing: float
    rib_phase: float
    knob: float
    breast: float
    stomach: float
    vessel_seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Anatomy":
        """Return the dimensions of a random healthy chest."""
        values: dict[str, Any] = {name: float(rng.uniform(*limits)) for name, limits in _HEALTHY.items()}
        # The liver holds the right dome a little above the left one.
        values["dome_left"] = values["dome_right"] + float(rng.uniform(0.5, 1.5))
        values["breast"] = max(0.0, values["breast"])
        values["stomach"] = max(0.0, values["stomach"])
        return cls(**values, vessel_seed=int(rng.integers(2**31)))

    @cached_property
    def heart_half_width(self) -> float:
        """Half of the heart's width."""
        return self.heart_ratio * self.half_width

    @cached_property
    def heart(self) -> tuple[float, float, float, float]:
        """Center x, y and half axes of the ellipse of the heart, before it is tilted."""
        half = self.heart_half_width
        # A large heart grows less in height than in width, because it rests on the diaphragm.
        tall = 0.80 * (0.45 * half + 0.55 * 6.0)
        # The lower dome is the one that atelectasis has not raised.
        center_y = max(self.dome_right, self.dome_left) + 1.2 - 1.05 * tall
        return 0.29 * half, center_y, 1.08 * half, tall

    def dome(self, side: int) -> float:
        """Height of the top of one hemidiaphragm."""
        return self.dome_right if side == RIGHT else self.dome_left

    def lateral(self, y: Array) -> Array:
        """Return the distance of the outer border of the lung from the midline at the heights `y`."""
        t = np.clip((_WIDEST_Y - y) / (_WIDEST_Y - self.apex), 0.0, 1.0)
        bulge: Array = (1.0 - t**_CONTOUR_POWER) ** (1.0 / _CONTOUR_POWER)
        return _APEX_X + (self.half_width - _APEX_X) * bulge

    def medial(self, y: Array, side: int) -> Array:
        """Return the distance of the border of the mediastinum from the midline, without the heart."""
        t = np.clip((-8.5 - y) / (-8.5 - self.apex), 0.0, 1.0)
        top = _APEX_X * (1.0 - np.sqrt(1.0 - t**2.2))
        border = 2.5 + 0.7 * smoothstep(y, -8.0, 4.0)
        if side == LEFT:
            border = border + self.knob * np.exp(-(((y + 6.2) / 1.6) ** 2))
            border = border + 0.8 * np.exp(-(((y + 1.8) / 2.2) ** 2))
        else:
            border = border + 0.35 * np.exp(-(((y + 7.0) / 3.0) ** 2))
        return np.maximum(border, top)

    def heart_border(self, y: float, side: int) -> float:
        """Return the distance of the visible medial border from the midline at height `y`, with the heart."""
        cx, cy, a, b = self.heart
        cos, sin = _HEART_TILT
        # Roots of the tilted ellipse along the horizontal line at y.
        qa = (cos / a) ** 2 + (sin / b) ** 2
        qb = 2.0 * cos * sin * (y - cy) * (1.0 / a**2 - 1.0 / b**2)
        qc = (y - cy) ** 2 * ((sin / a) ** 2 + (cos / b) ** 2) - 1.0
        root = qb * qb - 4.0 * qa * qc
        plain = float(self.medial(np.float32(y) * np.ones(1, np.float32), side)[0])
        if root < 0.0:
            return plain
        return max(plain, side * (cx + (side * math.sqrt(root) - qb) / (2.0 * qa)))

    def across(self, y: float, side: int, share: float) -> float:
        """Return the x at the fraction `share` (0 to 1) of the way from the visible medial border to the wall."""
        inner = self.heart_border(y, side)
        outer = float(self.lateral(np.float32(y) * np.ones(1, np.float32))[0])
        return side * (inner + share * (outer - inner))


_HEART_TILT = (float(np.cos(np.radians(33.0))), float(np.sin(np.radians(33.0))))


def heart_thickness(canvas: Canvas, a: Anatomy) -> Array:
    """Return the path through the heart in cm; it is blunter than an ellipsoid, for a sharp border with the lung."""
    cx, cy, along, across = a.heart
    cos, sin = _HEART_TILT
    dx, dy = canvas.x - cx, canvas.y - cy
    squared = ((dx * cos + dy * sin) / along) ** 2 + ((dy * cos - dx * sin) / across) ** 2
    thickness: Array = 10.8 * np.sqrt(np.clip(1.0 - _power(squared), 0.0, None))
    return thickness


def diaphragm(canvas: Canvas, a: Anatomy) -> Array:
    """Return the height of the diaphragm in the column of each pixel, float32 [S, S]."""
    s = (np.abs(canvas.x) - 5.4) / (a.half_width - 5.4)
    slope = (0.45 + 0.55 * (s > 0.0).astype(np.float32)) * a.dome_drop * s * s
    top = a.dome_right + (a.dome_left - a.dome_right) * smoothstep(canvas.x, -2.0, 2.0)
    return top + slope


def lung_air(canvas: Canvas, a: Anatomy, dome: Array, heart: Array) -> Array:
    """Return the depth of lung along each ray in cm, without the path through the heart.

    Args:
        canvas: pixel grid.
        a: dimensions of the chest.
        dome: height of the diaphragm, from `diaphragm`.
        heart: path through the heart, from `heart_thickness`.
    """
    lateral = a.lateral(canvas.y)
    medial = np.where(canvas.x > 0, a.medial(canvas.y, LEFT), a.medial(canvas.y, RIGHT))
    x = np.abs(canvas.x)
    below = dome - canvas.y
    # The cross-section is elliptic: rays through the flank of the lung are short.
    section = np.sqrt(np.clip(1.0 - _power(x / lateral), 0.0, None))
    inner = np.clip((x - medial) / 2.0, 0.0, 1.0)
    section *= np.sqrt(inner * (2.0 - inner))
    # Above the dome is the whole lung, behind it the posterior recess, which fades out downwards.
    whole = canvas.inside(below, 0.12)
    recess = 0.16 * smoothstep(below, -4.5, 0.0)
    upper = 0.5 + 0.5 * smoothstep(canvas.y, a.apex - 1.0, a.apex + 8.0)
    air = (a.air * upper) * section * (recess + (1.0 - recess) * whole)
    return np.maximum(air - heart, 0.12 * air)


def body_thickness(canvas: Canvas, a: Anatomy) -> Array:
    """Return the path through trunk, neck, shoulders and breasts in cm of water, as if the lungs were solid."""
    x, y = np.abs(canvas.x), canvas.y
    trunk_half = 5.0 + (a.half_width + 2.6 - 5.0) * smoothstep(y, -18.0, -10.0)
    depth = a.depth * (0.62 + 0.33 * smoothstep(y, -18.0, -6.0) + 0.05 * smoothstep(y, 4.0, 14.0))
    trunk = depth * np.sqrt(np.clip(1.0 - _power(x / trunk_half), 0.0, None))
    above = y - (-17.2 + 0.22 * x + 0.006 * x * x)
    arm = np.sqrt(np.clip(above / 5.0, 0.0, 1.0)) * smoothstep(x - 0.45 * y, 13.5, 19.0)
    shoulder = np.maximum(arm * 12.5, 10.5 * np.sqrt(np.clip(above / 4.0, 0.0, 1.0)) * (y < -6.0))
    shoulder *= 1.0 - 0.9 * smoothstep(y - 0.9 * (x - 15.0), -7.0, -3.0)
    body = np.maximum(trunk, shoulder)
    if a.breast > 0.0:
        for side in (RIGHT, LEFT):
            r = ((canvas.x - side * 8.6) / 6.2) ** 2 + ((y - 4.6) / 5.4) ** 2
            body += a.breast * np.sqrt(np.clip(1.0 - r, 0.0, None)) * (body > 0)
    return body


def _power(share: Array) -> Array:
    """Return `share` ** 3, the roundness of trunk and heart; a product is much faster than a power."""
    return share * share * share


def vessel_tree(a: Anatomy) -> list[Tube]:
    """Return center lines and radii (cm) of the pulmonary vessels, which fan out from both hila."""
    rng = np.random.default_rng(a.vessel_seed)
    tree = []
    for side, hilum in ((RIGHT, (3.7, -0.9)), (LEFT, (4.1, -1.7))):
        angles = np.linspace(-74.0, 78.0, 8) + rng.uniform(-7.0, 7.0, 8)
        lengths, turns = rng.uniform(7.5, 10.0, 8), rng.uniform(-20.0, 20.0, (8, 2))
        sampled = (v.tolist() for v in (angles, lengths, turns, rng.normal(0.0, 12.0, (8, 7))))
        for angle, length, turn, bend in zip(*sampled, strict=True):
            # Lower vessels are thicker and longer than upper ones, because blood follows gravity.
            radius, reach = (0.34, length) if angle > 0 else (0.27, 0.88 * length)
            stem = _branch(side, (hilum[0], hilum[1] + 0.02 * angle), angle, reach, radius, bend[:3])
            tree.append(stem)
            for (x, y), aside, twist in zip(stem[0][1:], turn, (bend[3:5], bend[5:]), strict=False):
                off = angle + aside + math.copysign(22.0, aside)
                tree.append(_branch(side, (side * x, y), off, 0.42 * reach, 0.6 * radius, twist))
    return tree


def _branch(side: int, start: Point, angle: float, length: float, radius: float, bends: Sequence[float]) -> Tube:
    """Return a vessel from `start` (x outwards) at `angle` (degrees downwards), with a narrower piece per bend."""
    x, y = start
    points = [(side * x, y)]
    for bend in bends:
        angle += bend
        x += length / len(bends) * math.cos(math.radians(angle))
        y += length / len(bends) * math.sin(math.radians(angle))
        points.append((side * x, y))
    return points, [radius * 0.7**i for i in range(len(bends))]
