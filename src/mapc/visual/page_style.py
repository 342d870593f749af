"""Style sheet and script of a report: the files in ``assets``, and the colours of the palette."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from mapc.visual.figure import ROLES
from mapc.visual.palette import COLOURS, HEAT, STEPS

GROUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "ground": ("#ffffff", "#16191d"),
    "soft": ("#f3f5f7", "#21262c"),
    "ink": ("#1b1f24", "#e8eaed"),
    "faint": ("#565c66", "#a5adb8"),
    "edge": ("#dfe2e6", "#343a42"),
    "control": ("#7d838c", "#757d88"),
}
"""Colours of the page itself: light, dark."""

SCRIPTS: Final = ("words.js", "tooltip.js", "plot.js", "page.js")
"""Parts of the script; each uses what those before it define."""


def variables(theme: int) -> dict[str, str]:
    """Return the colours of a theme (0: light, 1: dark) by the name of their CSS variable."""
    found = {name: pair[theme] for name, pair in {**GROUNDS, **COLOURS}.items()}
    return found | {f"q{i}": colour for i, colour in enumerate(HEAT[theme])}


@cache
def stylesheet() -> str:
    """Return the style sheet: light as a rule and on paper, dark where it is asked for."""
    light, dark = (_declared(variables(theme)) for theme in (0, 1))
    roles = "".join(f".{role}{{--k:var(--{role})}}" for role in ROLES if role != "heat")
    steps = "".join(f".q{i}{{fill:var(--q{i})}}" for i in range(STEPS))
    ramp = ",".join(f"var(--q{i})" for i in range(STEPS))
    return "\n".join(
        (
            f":root{{color-scheme:light;{light}}}",
            "@media screen and (prefers-color-scheme:dark){"
            f":root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}",
            f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}",
            f":root{{--ramp:{ramp}}}",
            f"{roles}.heat{{--k:var(--q{STEPS // 2})}}",
            _asset("report.css"),
            steps,
        )
    )


@cache
def script() -> str:
    """Return the script of a report: its parts in a scope of their own.

    With it figures can be looked at more closely; without it the page says everything.
    """
    parts = "\n".join(_asset(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def policy() -> str:
    """Return the content security policy: nothing is loaded, and only this script runs."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _declared(values: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())


@cache
def _asset(name: str) -> str:
    return (resources.files("mapc.visual") / "assets" / name).read_text(encoding="utf-8")
