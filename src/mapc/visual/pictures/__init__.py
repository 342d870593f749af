"""The pictures of every family: ``mapc.visual.pictures.<kind>.sections(view)``."""

from __future__ import annotations

from importlib import import_module

from mapc.visual.figure import Figure, Section
from mapc.visual.view import View


def sections(view: View) -> tuple[Section, ...]:
    """Return the sections of one plan, the family's main picture first; none without a plan."""
    if view.plan is None:
        return ()
    found: tuple[Section, ...] = import_module(f"mapc.visual.pictures.{view.kind}").sections(view)
    return found


def figures(view: View) -> tuple[Figure, ...]:
    """Return all figures of one plan."""
    return tuple(figure for section in sections(view) for figure in section.figures)
