"""Plans where a bound is least: better than what is known, and within the work that is given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mapc.instances.generators.lengths import generate
from mapc.models.sequence.assembly import step_ticks
from mapc.models.sequence.packing import near
from mapc.models.sequence.packing.hints import Hint, hint_of
from mapc.models.sequence.packing.search import pack
from mapc.models.sequence.published.baselines import best_homogeneous
from mapc.models.sequence.verify import verify


class Search:
    """Knows a plan, and counts."""

    seed, deterministic = 0, True

    def __init__(self, problem) -> None:
        self.plan = best_homogeneous(problem)
        self.objective = step_ticks(problem, self.plan) * problem.tick
        self.plans: list = []

    def done(self) -> bool:
        return False

    def remaining(self) -> float:
        return math.inf

    def propose(self, plan, source) -> bool:
        self.plans.append(plan)
        return True


@pytest.fixture(scope="module")
def problem():
    return generate(sequences=96, ranks=16, max_length=32_000, seed=4)


def test_plans_are_better_than_what_is_known(problem) -> None:
    search = Search(problem)
    near.look_near(problem, search, [hint_of(problem, pack(problem, work=300_000))])
    assert search.plans
    for plan in search.plans:
        verdict = verify(problem, plan)
        assert not verdict.violations
        assert verdict.objective < search.objective


def test_without_hints_nothing_is_done(problem) -> None:
    search = Search(problem)
    near.look_near(problem, search, [])
    assert search.plans == []


def test_modes_of_a_hint_are_taken(problem, monkeypatch: pytest.MonkeyPatch) -> None:
    from mapc.kernels import load, stream
    from mapc.models.sequence.packing import starts
    from mapc.models.sequence.packing.search import KERNELS

    kernels = load(KERNELS)
    order = np.argsort(-problem.padded, kind="stable")
    sizes = starts.Sizes(problem, order)
    widest = problem.n_modes - 1
    modes = np.zeros((problem.n_modes, 2))
    modes[widest] = 1.0
    target = np.full(sizes.fewest + 2, 2.0 * sizes.alone)
    start = sizes.hinted(
        kernels, np.random.default_rng(0), stream(0, 1), Hint(target, modes=modes), 1
    )
    groups, items = start.state[2], start.state[4]
    assert groups[1][items[0][:2]].tolist() == [widest, widest]
    assert (items[0][2:] < 0).all()
    assert start.construct(kernels, 0, 1 << 40) == problem.n_sequences
