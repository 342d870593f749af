"""The rules a bits problem must meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapc.models.bits.problem import BitsProblem


def validate(problem: BitsProblem) -> None:
    """Raise ``InstanceError`` for the first broken rule, naming the entity."""
