import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mapc.models.placement.problem import ADAPTIVE, CHAIN, EQUAL, EXPECTED, HOME, LOCAL, NONE
from mapc.models.placement.work import bounds
from oracles.placement_cases import brute_force, problems, random_problem, tables

TINY = settings(max_examples=50, deadline=None)


class Proofs:
    """A search that only listens."""

    def __init__(self, patience=10**9):
        self.bounds, self.patience = [], patience

    def done(self):
        self.patience -= 1
        return self.patience < 0

    def prove(self, bound, source):
        assert source == "floor"
        self.bounds.append(bound)


def proven(problem):
    search = Proofs()
    bounds.run(problem, search)
    return max(search.bounds)


def answer(problem):
    try:
        return brute_force(problem)
    except ValueError:  # what the oracle cannot do
        return None


@given(problems())
@TINY
def test_no_plan_is_below_the_floor(problem):
    best = answer(problem)
    if best is not None:
        assert proven(problem) <= best.objective


@pytest.mark.parametrize(
    ("dispatch", "traffic", "activated"),
    [
        *itertools.product([EQUAL, LOCAL], [NONE, HOME, CHAIN], [False, True]),
        (ADAPTIVE, NONE, False),  # all that the oracle can enumerate
        (ADAPTIVE, HOME, False),
    ],
)
@pytest.mark.parametrize("dead", [0, 1])
def test_no_plan_is_below_the_floor_with_any_options(dispatch, traffic, activated, dead):
    chosen = {"dispatch": dispatch, "traffic": traffic, "activated": activated, "dead": dead}
    if dispatch == ADAPTIVE:
        chosen["transfer"] = False
    seen = 0
    for seed in range(6):
        problem = random_problem(seed, **chosen, experts=3, rules=False, max_imbalance=0.0)
        best = answer(problem)
        if best is not None:
            assert proven(problem) <= best.objective
            seen += 1
    assert seen >= 3


@given(problems(traffic=NONE, whole=True, rules=False, max_imbalance=0.0), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_names_of_experts_and_ranks_mean_nothing(problem, seed):
    rng = np.random.default_rng(seed)
    experts, ranks = rng.permutation(problem.n_experts), rng.permutation(problem.n_ranks)
    other = problem.replace(
        counts=problem.counts[:, :, experts],
        dead=problem.dead[ranks],
        current=None,
        max_moves=None,
        sources=None,
        dispatch=EQUAL,
    )
    same = problem.replace(current=None, max_moves=None, sources=None, dispatch=EQUAL)
    # sums of floats depend on their order
    np.testing.assert_allclose(
        bounds.layer_bounds(other), bounds.layer_bounds(same), rtol=1e-12, atol=1
    )


@given(problems(traffic=NONE, activated=False, dead=0, rules=False, current=False))
@TINY
def test_layers_are_bounded_one_by_one(problem):
    """Also in profiles that count little, and in all units: ticks, whole."""
    found = bounds.layer_bounds(problem)
    assert (found == np.rint(found)).all()
    for layer in range(problem.n_layers):
        best = np.full(problem.n_profiles, np.inf)
        for table in tables(problem, layer):
            replicas = np.bincount(table.ravel(), minlength=problem.n_experts)
            if problem.dispatch != EQUAL and problem.n_slots > problem.n_experts:
                continue
            load = (problem.counts[:, layer] / replicas)[:, table].sum(axis=2)
            best = np.minimum(best, np.rint(load * problem.token_ticks).max(axis=1))
        assert (found[:, layer] <= best).all()


def test_nothing_refines_once_it_is_done():
    search = Proofs(patience=0)
    bounds.run(random_problem(3, profiles=2, experts=4, ranks=3, slots=2), search)
    assert len(search.bounds) == 1


def test_a_perfect_balance_is_proven_exactly():
    problem = random_problem(
        0,
        experts=4,
        ranks=2,
        slots=2,
        layers=1,
        profiles=1,
        traffic=NONE,
        whole=True,
        activated=False,
        dead=0,
        rules=False,
        current=False,
        goal=EXPECTED,
        max_imbalance=0.0,
    )
    problem = problem.replace(counts=np.array([[[5, 1, 2, 4]]]), sources=None, dispatch=EQUAL)
    best = brute_force(problem)
    assert best is not None
    assert proven(problem) == best.objective


# -- rows of work ----------------------------------------------------------------------------------


def loads_of_tables(work, ranks, slots):
    """Loads of all tables of one row, [tables, G], replicas sharing equally."""
    fillings = list(itertools.combinations(range(len(work)), slots))
    found = []
    for chosen in itertools.product(fillings, repeat=ranks):
        flat = list(itertools.chain.from_iterable(chosen))
        replicas = np.bincount(flat, minlength=len(work))
        if replicas.min() > 0:
            found.append([sum(work[e] / replicas[e] for e in one) for one in chosen])
    return np.array(found)


whole = st.integers(0, 40)
sizes = st.sampled_from([(2, 2, 4), (2, 3, 6), (3, 2, 6), (3, 1, 3), (1, 3, 3)])
spare = st.sampled_from([(2, 2, 3), (3, 2, 4), (3, 2, 5), (2, 3, 4), (3, 1, 2), (3, 2, 3)])


@given(sizes, st.data())
@TINY
def test_hot_bound(size, data):
    ranks, slots, n_experts = size
    work = data.draw(arrays(np.int64, n_experts, elements=whole))
    slow = data.draw(arrays(np.int64, ranks, elements=st.integers(1, 4)))
    loads = loads_of_tables(work, ranks, slots)
    found = bounds.hot_bound(work[None], slow, slots)[0]
    assert found == int(found)
    assert found <= (loads * slow).max(axis=1).min()
    even = bounds.hot_bound(work[None], np.ones(ranks, dtype=np.int64), slots)[0]
    assert even <= loads.max(axis=1).min()
    # what it generalises
    hottest = np.sort(work)[-1] + np.sort(work)[: slots - 1].sum()
    assert even >= max(hottest, -(-work.sum() // ranks))
    real = bounds.hot_bound(work[None].astype(float), np.ones(ranks), slots)[0]
    assert even - 1 < real <= even


def test_hot_bound_sees_that_hot_experts_are_apart():
    """Two of them on one rank are too much; apart, they take two of the coldest others."""
    work = np.array([[60, 57, 30, 9, 5, 0]])
    assert work.sum() / 3 < 60
    assert bounds.hot_bound(work, np.ones(3, dtype=np.int64), 2)[0] == 61  # (60 + 57 + 0 + 5) / 2
    assert loads_of_tables(work[0], 3, 2).max(axis=1).min() >= 61


@given(spare, st.data())
@TINY
def test_companion_and_share_bounds(size, data):
    ranks, slots, n_experts = size
    work = data.draw(arrays(np.float64, n_experts, elements=whole))
    best = loads_of_tables(work, ranks, slots).max(axis=1).min()
    found = bounds.companion_bound(work[None], ranks, slots)[0]
    share = bounds.share_bound(work[None], ranks, ranks * slots)[0]
    assert found <= best * (1 + 1e-12)
    assert share <= best * (1 + 1e-12)
    assert found >= max(share, work.sum() / ranks) * (1 - 1e-6)
    slow = data.draw(arrays(np.float64, ranks, elements=st.sampled_from([0.5, 1.0, 3.0])))
    best = (loads_of_tables(work, ranks, slots) * slow).max(axis=1).min()
    assert bounds.row_bounds(work[None], slow, slots)[0] <= best * (1 + 1e-12)


@given(spare, st.data())
@TINY
def test_share_bound_is_what_the_best_replica_counts_leave(size, data):
    ranks, slots, n_experts = size
    work = data.draw(arrays(np.float64, n_experts, elements=whole))
    counts = itertools.product(range(1, ranks + 1), repeat=n_experts)
    best = min(max(work / r) for r in map(np.array, counts) if r.sum() == ranks * slots)
    assert bounds.share_bound(work[None], ranks, ranks * slots)[0] == pytest.approx(best)


def test_companions_weigh():
    """Expert 0 can have two replicas at most; each has a companion of weight 3."""
    work = np.array([[10.0, 3.0, 3.0]])
    assert bounds.share_bound(work, 2, 4)[0] == 5
    assert bounds.companion_bound(work, 2, 2)[0] == pytest.approx(8, rel=1e-9)
    assert bounds.companion_bound(np.zeros((1, 3)), 2, 2)[0] == 0


@given(
    arrays(np.int64, st.integers(1, 4), elements=st.integers(1, 9)),
    arrays(np.int64, 3, elements=st.integers(0, 200)),
)
@TINY
def test_whole_mean_bound_is_the_least_that_is_enough(slow, total):
    found = bounds.whole_mean_bound(total, slow)
    for one, least in zip(total, found, strict=True):
        assert (least // slow).sum() >= one
        assert least == 0 or ((least - 1) // slow).sum() < one
        assert least >= bounds.mean_bound(np.array([one]), slow)[0] * (1 - 1e-12)
