"""Colours by role, for light and dark grounds.

The eight categories are those of Okabe and Ito, told apart with any kind of colour vision, made
darker or lighter where the contrast with the ground asks for it. Lines differ by dashes as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "c1": ("#0072b2", "#4aa8e0"),
    "c2": ("#e69f00", "#e8b040"),
    "c3": ("#009e73", "#2fc097"),
    "c4": ("#cc79a7", "#d893ba"),
    "c5": ("#56b4e9", "#7cc6ef"),
    "c6": ("#d55e00", "#ef8034"),
    "c7": ("#8a7f00", "#d6cb3a"),
    "c8": ("#6b6f76", "#a3a8b0"),
    "quiet": ("#d5d8dc", "#3d434b"),
    "plan": ("#0b5cad", "#6cb6ff"),
    "baseline": ("#7a7f87", "#9aa0a8"),
    "bound": ("#00745a", "#3ccf9f"),
    "limit": ("#b3261e", "#ff7b72"),
    "mark": ("#8e24aa", "#d28cf0"),
    "reload": ("#0b5cad", "#6cb6ff"),
    "spill": ("#b3261e", "#ff7b72"),
}
"""Role -> colour on a light ground, on a dark one."""

STEPS: Final = 32
"""Colours of a scale of values."""


def _mixed(
    start: tuple[int, int, int], middle: tuple[int, int, int], end: tuple[int, int, int]
) -> tuple[str, ...]:
    found = []
    for i in range(STEPS):
        t = 2 * i / (STEPS - 1)
        a, b, part = (start, middle, t) if t <= 1 else (middle, end, t - 1)
        found.append(
            "#" + "".join(f"{round(x + (y - x) * part):02x}" for x, y in zip(a, b, strict=True))
        )
    return tuple(found)


HEAT: Final = (
    _mixed((255, 247, 224), (236, 131, 53), (92, 16, 38)),
    _mixed((44, 38, 34), (204, 102, 40), (255, 236, 170)),
)
"""Colours of values from low to high: on a light ground, on a dark one."""


def heat_step(value: float, low: float, high: float) -> int:
    """Return which of the `STEPS` colours a value has; what is outside has the nearest."""
    if not high > low:
        return 0
    part = (value - low) / (high - low)
    return min(STEPS - 1, max(0, int(part * STEPS))) if part == part else 0
