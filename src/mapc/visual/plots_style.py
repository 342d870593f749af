"""The style of figures for papers: settings of matplotlib, colours, dashes and hatches.

What two kinds of marks stand for can be told in greyscale: lines of like lightness differ by
dashes, areas by hatches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mapc.visual.palette import COLOURS, HEAT

SIZE: Final = 7.0
"""Points of the names of ticks and in the legend."""

TITLE_SIZE: Final = 8.5
LABEL_SIZE: Final = 7.5
RULE_SIZE: Final = 6.5

SETTINGS: Final[Mapping[str, Any]] = {
    # the font that comes with matplotlib: the same figure on every machine
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.labelsize": LABEL_SIZE,
    "figure.titlesize": TITLE_SIZE,
    "figure.titleweight": "bold",
    "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE,
    "legend.fontsize": SIZE,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#3a3f45",
    "axes.labelcolor": "#1c2024",
    "text.color": "#1c2024",
    "xtick.color": "#3a3f45",
    "ytick.color": "#3a3f45",
    "xtick.labelcolor": "#1c2024",
    "ytick.labelcolor": "#1c2024",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.1,
    "hatch.linewidth": 0.5,
    "hatch.color": "#ffffff",
    "figure.constrained_layout.w_pad": 0.04,
    "figure.constrained_layout.h_pad": 0.04,
    # names come from outside: a dollar sign is a dollar sign
    "text.parse_math": False,
    "text.usetex": False,
    # TrueType inside PDF, which publishers ask for; text stays text in SVG
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # identifiers within SVG are drawn from this instead of at random
    "svg.hashsalt": "mapc",
}
"""Over the defaults of matplotlib, while a figure is drawn."""

# no dots: as outlines of circles they are most of a file
HATCHES: Final = ("", "//////", "------", "\\\\\\\\\\\\", "xxxxxx", "||||||", "++++++")
DASHES: Final[tuple[Any, ...]] = (
    "solid",
    (0, (1.0, 1.2)),
    (0, (6.0, 1.2, 1.2, 1.2)),
    (0, (8.0, 2.0)),
    (0, (6.0, 1.2, 1.2, 1.2, 1.2, 1.2)),
)
"""Of lines that are not dashed."""

DASHED: Final[tuple[Any, ...]] = ((0, (3.5, 1.8)), (0, (5.0, 1.5, 1.0, 1.5)), (0, (2.0, 1.0)))
"""Of dashed ones: bounds, and what is like them."""

ALIKE: Final = 12.0
"""Lightness (0 to 100) below which two greys are taken for one."""


def colour(role: str) -> str:
    """Return the colour of a role on paper."""
    return HEAT[0][-1] if role == "heat" else COLOURS[role][0]


def lightness(colour_: str) -> float:
    """Return what a printer without colours makes of ``"#rrggbb"``: CIE L*, 0 black, 100 white."""
    red, green, blue = (_linear(int(colour_[at : at + 2], 16) / 255) for at in (1, 3, 5))
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return float(116 * light ** (1 / 3) - 16) if light > 0.008856 else 903.3 * light


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def apart(roles: Iterable[str], ways: tuple[Any, ...]) -> dict[str, Any]:
    """Return a way to draw every role, so that no two of like lightness have the same.

    The first role has the first way, and so has whatever is lighter or darker enough than all that
    have it already. With more roles than there are ways the last one is used again.

    >>> apart(["reload", "spill", "quiet"], ("", "//"))
    {'reload': '', 'spill': '//', 'quiet': ''}
    """
    users: list[list[float]] = [[] for _ in ways]
    found: dict[str, Any] = {}
    for role in roles:
        if role in found:
            continue
        own = lightness(colour(role))
        free = (
            at for at, greys in enumerate(users) if all(abs(own - grey) >= ALIKE for grey in greys)
        )
        at = next(free, len(ways) - 1)
        users[at].append(own)
        found[role] = ways[at]
    return found


def darker(colour_: str, part: float = 0.3) -> str:
    """Return a colour with some of its light taken away."""
    return "#" + "".join(
        f"{round(int(colour_[at : at + 2], 16) * (1 - part)):02x}" for at in (1, 3, 5)
    )
