from __future__ import annotations

import pytest

from mapc.errors import InfeasibleError
from mapc.models.allocation.exact import turns
from mapc.program.model import Program
from mapc.solvers.base import Solution
from oracles.allocation_bruteforce import ABOVE_LOAD, BareSearch, problem_of

Rows = list[tuple[int, int, int]]
CASES = pytest.mark.parametrize(("buffers", "load", "best"), ABOVE_LOAD)


class Timed(BareSearch):
    """A search with a clock that stands still until the solver is asked."""

    deterministic = False
    left = 100.0

    def remaining(self) -> float:
        return self.left

    def done(self) -> bool:
        return self.left <= 0 or super().done()

    def solve(self, program: Program, **options: object) -> Solution:
        self.left -= 20.0
        options.pop("time")
        return super().solve(program, **options)  # type: ignore[arg-type]


@CASES
def test_each_part_is_brought_to_the_height_of_the_whole(
    buffers: Rows, load: int, best: int
) -> None:
    search = BareSearch(problem_of([*buffers, (50, 52, load), (60, 62, best)]))
    turns.run(search.problem, search)
    assert search.objective == search.bound == best
    assert search.solved == []


@CASES
def test_the_part_that_does_not_fit_is_named(buffers: Rows, load: int, best: int) -> None:
    last = max(row[1] for row in buffers)
    rows = [*buffers, (50, 52, load)]
    with pytest.raises(InfeasibleError, match=rf"8 buffers alive in \[0, {last}\).* {load} bytes"):
        turns.run(problem_of(rows, capacity=load), BareSearch(problem_of(rows, capacity=load)))
    search = BareSearch(problem_of(rows, capacity=best))
    turns.run(search.problem, search)
    assert search.objective == 0


@CASES
def test_a_solver_has_its_turn(
    buffers: Rows, load: int, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns.Lowering, "round", lambda *_: None)
    monkeypatch.setattr(turns.Placing, "go_on", lambda placing, *_: placing.placed)
    search = Timed(problem_of(buffers))
    turns.run(search.problem, search)
    assert search.solved
    assert search.bound == best
    with pytest.raises(InfeasibleError, match="no placement"):
        turns.run(problem_of(buffers, capacity=load), Timed(problem_of(buffers, capacity=load)))


def test_without_a_clock_turns_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(turns.Lowering, "round", lambda _, nodes, done: asked.append(nodes))
    search = BareSearch(problem_of(ABOVE_LOAD[0][0]))
    turns.run(search.problem, search)
    assert search.solved == []
    assert not search.done()
    assert asked == [turns.TURN << k for k in range(turns.TURNS)]
