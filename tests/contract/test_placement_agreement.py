"""Every way to answer a placement problem without replicas agrees: models, backends, oracle."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError, UsageError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.formulations import FORMULATIONS
from mapc.models.placement.problem import CHAIN, HOME, NONE, PlacementProblem, StepTime
from mapc.models.placement.verify import verify
from mapc.program import Program
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.placement_states import brute_force, small_problems

ONE_WORKER = Limits(workers=1, time=60)
SMALL = [(4, 2, 2), (3, 3, 2), (2, 2, 3), (4, 4, 1)]


def agree(problem: PlacementProblem, formulation: str, backend: str, **options: object) -> None:
    best = brute_force(problem)
    program, lift = FORMULATIONS[formulation].lower(problem, **options)
    answer = registry.solve(program, backend, limits=ONE_WORKER)
    if best is None:
        assert answer.status is Status.INFEASIBLE
        return
    assert answer.status is Status.OPTIMAL, (answer.status, answer.message)
    verdict = verify(problem, lift(answer))
    assert not verdict.violations
    bound = lift.bound(answer.bound)
    doubt = 0.0 if exact(problem, lift.unit) else rounding(problem) * lift.unit * problem.tick
    assert best <= verdict.objective <= best + doubt
    assert best - doubt <= bound <= best


def exact(problem: PlacementProblem, unit: float) -> bool:
    """Whether all costs are multiples of the unit."""
    ticks = (problem.token_ticks, problem.pair_ticks, problem.layer_ticks)
    whole = not problem.cost.expert and problem.n_slots == problem.n_experts
    whole = whole and (problem.traffic != HOME or problem.balance_only)
    return whole and not any((each % unit).any() for each in ticks)


def rounding(problem: PlacementProblem) -> int:
    """Return how many terms of a program's objective are rounded by less than a unit."""
    products = problem.n_experts**2 * problem.n_ranks**2
    terms = products + 2 * problem.n_experts * problem.n_ranks + 1
    return problem.n_layers * problem.n_profiles * terms


@settings(max_examples=15, deadline=None)
@given(
    problem=small_problems(sizes=SMALL),
    formulation=st.sampled_from(["degree", "degree", "mccormick"]),
)
def test_products_agree_with_brute_force_on_highs(
    problem: PlacementProblem, formulation: str
) -> None:
    agree(problem, formulation, "highs")


@settings(max_examples=6, deadline=None)
@given(problem=small_problems(sizes=SMALL, traffic=(CHAIN,), token=4.0, expert=0.0))
def test_products_agree_with_brute_force_on_cpsat(problem: PlacementProblem) -> None:
    agree(problem, "degree", "cpsat")


@settings(max_examples=12, deadline=None)
@given(
    problem=small_problems(sizes=[(3, 2, 2), (2, 2, 2), (3, 3, 1), (4, 3, 1)], traffic=(NONE,)),
    slots=st.integers(1, 3),
)
def test_balance_agrees_with_brute_force(problem: PlacementProblem, slots: int) -> None:
    slots = min(max(slots, -(-problem.n_experts // len(problem.live))), problem.n_experts)
    try:
        problem = problem.replace(slots=slots)
    except InstanceError:
        reject()
    agree(problem, "balance", "highs")


@settings(max_examples=10, deadline=None)
@given(
    problem=small_problems(sizes=[(4, 2, 2), (3, 3, 2)], traffic=(NONE, CHAIN), rules=False),
    moves=st.integers(0, 4),
    formulation=st.sampled_from(["degree", "balance"]),
)
def test_a_budget_of_moves_is_kept(problem: PlacementProblem, moves: int, formulation: str) -> None:
    if formulation == "balance" and not problem.balance_only:
        formulation = "degree"
    rng = np.random.default_rng(moves)
    order = np.stack([rng.permutation(problem.n_experts) for _ in range(problem.n_layers)])
    current = order.reshape(problem.n_layers, problem.n_ranks, problem.slots)
    agree(problem.replace(current=current, max_moves=moves), formulation, "highs")


def test_degree_rows_make_the_bound_useful() -> None:
    """Relaxed, plain products say that nothing moves; degree rows cannot."""
    rng = np.random.default_rng(0)
    transitions = rng.integers(0, 9, (1, 1, 8, 8))
    problem = PlacementProblem(
        name="pair",
        counts=np.ones((1, 2, 8), dtype=np.int64),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([4], 1 << 40, 1.0, 1.0),
        slots=2,
        cost=StepTime(token=0.0, transfer=1.0),
        traffic=CHAIN,
        transitions=transitions,
    )
    bound = {}
    for name in ("mccormick", "degree"):
        program, lift = FORMULATIONS[name].lower(problem)
        relaxed = Program(name)
        m = program.matrix
        x = relaxed.variables(m.n_columns, m.lower, m.upper, integer=False, cost=m.cost)
        relaxed.ragged_rows(
            m.indptr, x.columns[m.indices], m.coefficients, m.row_lower, m.row_upper
        )
        bound[name] = lift.bound(registry.solve(relaxed, "highs", limits=ONE_WORKER).objective)
    total = transitions.sum()
    # an expert keeps its two dearest partners at most
    kept = np.sort(transitions[0, 0], axis=1)[:, -2:].sum()
    assert bound["degree"] >= total - kept - 1e-6
    assert bound["mccormick"] < total - kept


@pytest.mark.parametrize("name", ["degree", "mccormick", "balance"])
def test_what_a_program_cannot_take_is_refused(name: str) -> None:
    rng = np.random.default_rng(0)
    problem = PlacementProblem(
        name="replicas",
        counts=rng.integers(1, 9, (1, 2, 3)),
        profiles=("all",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([2], 1 << 40, 1.0, 1.0),
        slots=2,
        cost=StepTime(transfer=1.0),
        traffic=CHAIN,
        transitions=rng.integers(0, 9, (1, 1, 3, 3)),
    )
    with pytest.raises(UsageError, match=name):
        FORMULATIONS[name].lower(problem)


def test_highs_finds_the_optimum_that_symmetry_detection_loses() -> None:
    """HiGHS 1.13.1 called 8493463 optimal here when it looked for symmetries and restarted."""
    counts = np.array([[[80, 450, 60, 370, 1110, 310, 780, 40]]])
    problem = PlacementProblem(
        name="one layer",
        counts=counts,
        profiles=("all",),
        weight=np.ones(1),
        scale=np.array([0.00125]),
        cluster=DeviceGraph.cluster([2, 2], 10**15, 9.0, 1.0),
        slots=3,
    )
    program, _ = FORMULATIONS["balance"].lower(problem)
    found = [registry.solve(program, name, limits=ONE_WORKER) for name in ("highs", "cpsat")]
    assert [one.status for one in found] == [Status.OPTIMAL] * 2
    assert [one.objective for one in found] == [8388607.0] * 2
