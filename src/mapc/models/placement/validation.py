"""What a placement problem has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapc.models.placement.problem import PlacementProblem


def validate(problem: PlacementProblem) -> None:
    """Refuse a problem that breaks a rule of `PlacementProblem`."""
