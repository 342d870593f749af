import numpy as np
from hypothesis import given, settings

from mapc.models.placement.problem import ADAPTIVE, EQUAL, EXPECTED, LOCAL, NONE, WORST
from mapc.models.placement.work.bounds import layer_bounds
from mapc.models.placement.work.joint_bounds import joint_extra
from oracles.placement_cases import brute_force, problems, random_problem

PLAIN = {
    "layers": 1, "profiles": 2, "traffic": NONE, "dead": 0, "rules": False, "current": False,
    "max_imbalance": 0.0, "overlap": False,
}  # fmt: skip


def ticks(problem):
    """What the bounds of single layers and profiles prove for the step, and what joining adds."""
    work = layer_bounds(problem)
    step = (problem.layer_ticks[:, None] + work).sum(axis=1)
    known = step.max() if problem.cost.profiles == WORST else step.sum()
    return known, joint_extra(problem, work)


@given(problems(**PLAIN | {"layers": None, "profiles": 2}, slots=2))
@settings(max_examples=60, deadline=None)
def test_no_plan_is_below(problem):
    if problem.dispatch == ADAPTIVE and problem.cost.expert:
        return
    best = brute_force(problem)
    known, extra = ticks(problem)
    assert extra >= 0
    assert (known + extra) * problem.tick <= best.objective


def torn(goal, dispatch=EQUAL):
    """Each profile has a hot expert of its own, and there is one spare slot."""
    problem = random_problem(
        1, experts=4, ranks=3, slots=2, nodes=1, whole=True, activated=False, goal=goal,
        dispatch=dispatch, **PLAIN,
    )  # fmt: skip
    counts = np.zeros((2, 1, 5), dtype=np.int64)
    counts[0, 0], counts[1, 0] = [100, 1, 1, 1, 1], [1, 100, 1, 1, 1]
    return problem.replace(counts=counts, dispatch=dispatch, sources=None)


def test_profiles_that_need_the_same_slot():
    for dispatch in (EQUAL, LOCAL, ADAPTIVE):
        problem = torn(EXPECTED, dispatch)
        best = brute_force(problem)
        known, extra = ticks(problem)
        assert extra > 0.2 * known
        assert (known + extra) * problem.tick <= best.objective


def test_the_slower_of_two_such_profiles():
    problem = torn(WORST)
    known, extra = ticks(problem)
    assert extra > 0.1 * known
    assert (known + extra) * problem.tick <= brute_force(problem).objective


def test_one_profile_or_no_spare_slot_adds_nothing():
    assert ticks(torn(EXPECTED).replace(
        counts=torn(EXPECTED).counts[:1], profiles=("p0",), weight=np.ones(1), scale=np.ones(1),
    ))[1] == 0  # fmt: skip
    assert ticks(random_problem(0, experts=4, ranks=2, slots=2, **PLAIN))[1] == 0


def test_it_stops_when_asked():
    problem = torn(EXPECTED)
    assert joint_extra(problem, layer_bounds(problem), lambda: True) == 0
