"""Added profiles are profiles, and leaving one out leaves it out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.models.placement.problem import ADAPTIVE, CHAIN, EQUAL, HOME, NONE
from mapc.models.placement.profiles.flows import best_split
from mapc.models.placement.profiles.robust import (
    balancedness,
    keep_profiles,
    leave_one_out,
    robust_profiles,
)
from mapc.models.placement.rows import plan_of, tables_of
from mapc.models.placement.verify import verify
from oracles.placement_cases import problems, random_plan, random_problem

some = settings(max_examples=40, deadline=None, derandomize=True)


@some
@given(problems(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
def test_added_profiles_are_valid_and_the_given_ones_stay(problem, copies, mixtures, seed) -> None:
    robust = robust_profiles(problem, copies=copies, mixtures=mixtures, noise=0.3, seed=seed)
    p = problem.n_profiles
    assert robust.n_profiles == p * (1 + copies) + mixtures
    assert len(set(robust.profiles)) == robust.n_profiles
    assert (robust.counts[:p] == problem.counts).all()
    assert robust.weight[:p] / robust.weight[:p].sum() == pytest.approx(problem.weight)
    again = robust_profiles(problem, copies=copies, mixtures=mixtures, noise=0.3, seed=seed)
    assert (again.counts == robust.counts).all()
    # tokens of a step stay: rounding loses or adds at most half a token for each number
    steps = problem.counts.sum(axis=2) * problem.scale[:, None]
    slack = 0.5 * (1 if problem.sources is None else problem.sources[0, 0].size) * 5 + 1
    for at in range(p, p + copies * p):
        got = robust.counts[at].sum(axis=1) * robust.scale[at]
        assert got == pytest.approx(steps[at % p], abs=slack * robust.scale[at])


def test_copies_without_noise_are_copies() -> None:
    problem = random_problem(4, profiles=2, traffic=HOME, dispatch=EQUAL, sources="ranks")
    robust = robust_profiles(problem, copies=1, noise=0.0, weight=1.0)
    assert (robust.counts[2:] == problem.counts).all()
    assert (robust.sources[2:] == problem.sources).all()
    assert robust.weight[2:] == pytest.approx(problem.weight / 2)
    chain = random_problem(4, profiles=2, layers=2, traffic=CHAIN, dispatch=EQUAL)
    same = robust_profiles(chain, copies=1, noise=0.0)
    assert (same.transitions[2:] == chain.transitions).all()


def test_noise_has_its_deviation() -> None:
    problem = random_problem(3, experts=5, layers=2, profiles=1, traffic=NONE, dispatch=EQUAL)
    problem = problem.replace(counts=np.full((1, 2, 5), 10**9))
    counts = robust_profiles(problem, copies=400, noise=0.2, seed=1).counts[1:]
    ratio = np.log(counts[:, :, 1:] / counts[:, :, :1])  # the scaling cancels
    assert ratio.std() == pytest.approx(0.2 * 2**0.5, rel=0.05)


def test_a_mixture_of_one_profile_is_that_profile() -> None:
    problem = random_problem(3, profiles=1, traffic=NONE, dispatch=EQUAL)
    assert (robust_profiles(problem, copies=0, mixtures=2).counts[1:] == problem.counts).all()
    assert robust_profiles(problem, copies=0) is problem


def test_a_mixture_is_no_worse_than_its_worst_part() -> None:
    problem = random_problem(
        8, profiles=2, experts=5, ranks=3, traffic=NONE, dispatch=EQUAL, sources="none"
    )
    total = problem.counts.sum(axis=(1, 2))
    problem = problem.replace(counts=problem.counts * 10**6, scale=total.max() / total)
    robust = robust_profiles(problem, copies=0, mixtures=20)
    layer_total = robust.counts.sum(axis=2) * robust.scale[:, None]
    tables = tables_of(robust, random_plan(robust, 1))
    copies = np.array([np.bincount(t.ravel(), minlength=robust.n_experts) for t in tables])
    at = np.arange(robust.n_layers)[:, None, None]
    top = (robust.counts / copies)[:, at, tables].sum(axis=3).max(axis=2) * robust.scale[:, None]
    assert (top[2:] <= top[:2].max(axis=0) * (1 + 1e-5)).all()
    assert layer_total[2:].max() <= layer_total[:2].max() * (1 + 1e-5)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"copies": -1}, "copies"),
        ({"mixtures": -2}, "mixtures"),
        ({"noise": float("nan")}, "noise"),
        ({"noise": -0.1}, "noise"),
        ({"weight": 0.0}, "weight"),
        ({"weight": float("inf")}, "weight"),
    ],
)
def test_numbers_that_make_no_sense_are_named(bad, word) -> None:
    with pytest.raises(InstanceError, match=f"{word} of robust profiles: .*; expected"):
        robust_profiles(random_problem(1), **bad)


@some
@given(problems(traffic=NONE, dispatch=ADAPTIVE))
def test_balancedness_is_that_of_the_verifier(problem) -> None:
    tables = tables_of(problem, random_plan(problem, 1))
    equal, adaptive = balancedness(problem, tables)
    facts = verify(problem, plan_of(problem, tables)).facts
    assert list(equal) == pytest.approx(list(facts["balancedness_by_profile"].values()))
    split = best_split(problem, tables).tokens[:, :, None]
    facts = verify(problem, plan_of(problem, tables, split)).facts
    assert list(adaptive) == pytest.approx(list(facts["balancedness_by_profile"].values()))


def test_the_profile_left_out_is_not_trained_on() -> None:
    problem = random_problem(6, profiles=3, traffic=NONE, dispatch=EQUAL)
    seen = []

    def train(part):
        seen.append(part.profiles)
        return random_plan(part, 1)

    found = leave_one_out(problem, train)
    assert [row.profile for row in found] == list(problem.profiles)
    for row, profiles in zip(found, seen, strict=True):
        assert set(profiles) == set(problem.profiles) - {row.profile}
    equal, adaptive = balancedness(
        problem, tables_of(problem, random_plan(keep_profiles(problem, [1, 2]), 1))
    )
    assert (found[0].test_equal, found[0].test_adaptive) == (equal[0], adaptive[0])
    assert found[0].train_equal == pytest.approx(equal[1:].mean())
    assert found[0].train_adaptive == pytest.approx(adaptive[1:].mean())


def test_one_profile_cannot_be_left_out() -> None:
    with pytest.raises(InstanceError, match=r"profiles: one, .*; expected two or more"):
        leave_one_out(random_problem(6, profiles=1), lambda part: random_plan(part, 1))
