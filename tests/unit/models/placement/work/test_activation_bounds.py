import itertools

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.models.placement.problem import EQUAL
from mapc.models.placement.work.activation_bounds import least_active, least_extra
from oracles.placement_cases import problems

TINY = settings(max_examples=50, deadline=None)


@given(problems(activated=True), st.integers(0, 10**6))
@TINY
def test_parts_of_tokens_are_activated_at_least_that_often(problem, seed):
    """Parts are any; equal ones have at least an equal share each."""
    rng = np.random.default_rng(seed)
    least = least_active(problem)
    if problem.n_slots == problem.n_experts:
        np.testing.assert_array_equal(least, problem.activated())
        return
    total = problem.counts.sum(axis=2, keepdims=True) / problem.top_k
    tokens = total * problem.scale[:, None, None]

    def active(part):
        return 1 - (1 - np.minimum(problem.counts * part / total, 1)) ** tokens

    for _ in range(5):
        part = rng.uniform()
        assert (active(part) + active(1 - part) >= least * (1 - 1e-9) - 1e-12).all()
    for r in (1, 2, 3):
        assert (active(1 / r) >= least / r * (1 - 1e-9) - 1e-12).all()


@given(problems(activated=True, dispatch=EQUAL, profiles=1, rules=False, dead=0))
@TINY
def test_no_replica_counts_add_less_activations(problem):
    extra = least_extra(problem, 0)
    least = least_active(problem)[0].sum(axis=1)
    for layer in range(problem.n_layers):
        for counts in itertools.product(range(1, problem.n_ranks + 1), repeat=problem.n_experts):
            r = np.array(counts)
            if r.sum() == problem.n_slots:
                total = (problem.activated(r)[0, layer] * r).sum()
                assert least[layer] + extra[layer] <= total * (1 + 1e-9) + 1e-9


@given(problems(activated=True, dispatch=EQUAL, profiles=1, experts=3, ranks=3, slots=2, dead=0))
@TINY
def test_replicas_of_what_is_rarely_active_add_something(problem):
    """Three tokens or more per step: sharing an expert's tokens activates more replicas."""
    tokens = problem.counts.sum(axis=2) / problem.top_k * problem.scale[:, None]
    assume((tokens >= 3).all() and (problem.counts > 0).all())
    share = problem.counts * problem.top_k / problem.counts.sum(axis=2, keepdims=True)
    assume((share < 1).all())
    assert (least_extra(problem, 0) > 0).all()
