"""Plans looked for where a bound is least."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mapc.models.sequence.packing.hints import Hint
from mapc.models.sequence.packing.search import STALE_EACH, found
from mapc.models.sequence.problem import SequenceProblem

if TYPE_CHECKING:
    from mapc.models.base import Search

SLACK = 1.006
"""By how much targets exceed the makespans of a relaxation."""
SECONDS_EACH, LOOKS_EACH = 3.5e-4, 10_000
"""Seconds for each sequence that plans are looked for at most; looks, where there is no clock."""


def look_near(problem: SequenceProblem, search: Search, hints: Sequence[Hint]) -> None:
    """Propose plans that begin at hints, in turn.

    Parameters
    ----------
    problem : SequenceProblem
    search : Search
    hints : sequence of Hint
        None of them: nothing is done.
    """
    if not hints or search.objective is None or search.done():
        return
    work: int | None = LOOKS_EACH * problem.n_sequences
    done = search.done
    if not search.deterministic:
        end = time.monotonic() + SECONDS_EACH * problem.n_sequences
        work, done = None, lambda: time.monotonic() >= end or search.done()
    for one in found(
        problem,
        seed=search.seed + 1,
        work=work,
        done=done,
        hint=hints,
        baselines=False,
        least=search.objective / problem.tick,
        stale=STALE_EACH * problem.n_sequences,
    ):
        search.propose(one.plan, one.source)
