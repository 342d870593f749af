"""What a sequence problem has to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mapc.models.sequence.problem import SequenceProblem


def validate(problem: SequenceProblem) -> None:
    """Refuse a problem that breaks a rule of `SequenceProblem`."""
