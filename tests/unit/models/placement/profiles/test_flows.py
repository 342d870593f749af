"""The best split of a table beside enumeration of all splits and of all sets of ranks."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.kernels import load
from mapc.models.placement.problem import ADAPTIVE, HOME, NONE
from mapc.models.placement.profiles.flows import KERNELS, best_split, by_source, cut_bound, nearness
from mapc.models.placement.rows import plan_of, tables_of
from mapc.models.placement.verify import verify
from oracles.placement_cases import problems, random_plan, random_problem

some = settings(max_examples=60, deadline=None, derandomize=True)


def split(table, tokens, ticks):
    flow, cut = np.empty_like(table), np.empty(len(table), dtype=np.bool_)
    limit = load(KERNELS).split_tokens(table, tokens, ticks, flow, cut)
    return limit, flow, cut


def least_by_cuts(table, tokens, ticks) -> int:
    """The largest, over all sets of ranks, of the least time in which they do what must stay."""
    least = 0
    for members in itertools.product([False, True], repeat=len(table)):
        inside = np.array(members)
        if inside.any():
            stays = np.setdiff1d(np.arange(len(tokens)), table[~inside])
            while (least // ticks[inside]).sum() < tokens[stays].sum():
                least += 1
    return least


@st.composite
def tables(draw: st.DrawFn, most: int):
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    n_ranks, n_slots = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    n_experts = draw(st.integers(n_slots, n_ranks * n_slots))
    extra = rng.integers(n_experts, size=n_ranks * n_slots - n_experts)
    slots = rng.permutation(np.concatenate([np.arange(n_experts), extra]))
    table = slots.reshape(n_ranks, n_slots)
    for row in table:  # in place of what a rank has twice, something that it has not
        for i in range(1, n_slots):
            if row[i] in row[:i]:
                row[i] = rng.choice(np.setdiff1d(np.arange(n_experts), row))
    missing = np.setdiff1d(np.arange(n_experts), table)
    tokens = rng.integers(0, most + 1, n_experts)
    tokens[missing] = 0  # repaired away
    return table, tokens, rng.integers(1, 4, n_ranks)


@some
@given(tables(40))
def test_the_limit_is_that_of_the_tightest_cut(case) -> None:
    table, tokens, ticks = case
    limit, flow, cut = split(table, tokens, ticks)
    assert limit == least_by_cuts(table, tokens, ticks)
    assert (flow >= 0).all()
    assert (np.bincount(table.ravel(), flow.ravel(), len(tokens)) == tokens).all()
    assert (flow.sum(axis=1) * ticks).max() <= limit
    stays = np.setdiff1d(np.arange(len(tokens)), table[~cut])
    assert limit == 0 or ((limit - 1) // ticks[cut]).sum() < tokens[stays].sum()


@some
@given(tables(4))
def test_no_other_split_is_faster(case) -> None:
    table, tokens, ticks = case
    times = {tuple(np.zeros(len(ticks), dtype=int))}
    for e, n in enumerate(tokens.tolist()):  # loads that the first experts can make
        holders = np.flatnonzero((table == e).any(axis=1))
        ways = [
            np.bincount(way, minlength=len(ticks))
            for way in itertools.combinations_with_replacement(holders.tolist(), n)
        ]
        times = {tuple(np.add(load_, way)) for load_ in times for way in ways or [0 * ticks]}
        if len(times) > 3000:
            return
    assert split(table, tokens, ticks)[0] == min(max(np.array(t) * ticks) for t in times)


@some
@given(tables(1000), st.integers(0, 99))
def test_names_of_ranks_and_experts_do_not_matter(case, seed) -> None:
    table, tokens, ticks = case
    rng = np.random.default_rng(seed)
    ranks, experts = rng.permutation(len(table)), rng.permutation(len(tokens))
    renamed = np.ascontiguousarray(experts[table[ranks]])
    moved = np.empty_like(tokens)
    moved[experts] = tokens
    assert split(renamed, moved, ticks[ranks])[0] == split(table, tokens, ticks)[0]


@some
@given(problems(traffic=NONE, dispatch=ADAPTIVE, token=True, activated=False, max_imbalance=0.0))
def test_a_plan_takes_the_ticks_of_its_limits_and_its_cuts_prove_them(problem) -> None:
    tables_ = tables_of(problem, random_plan(problem, 5))
    best = best_split(problem, tables_)
    assert (cut_bound(problem, tables_, best.cut) == best.limit).all()
    plan = plan_of(problem, tables_, by_source(problem, tables_, best.tokens))
    verdict = verify(problem, plan)
    assert verdict.objective is not None
    ticks = best.limit + problem.layer_ticks[:, None]
    work = (best.tokens.sum(axis=3) * problem.token_ticks[:, None, problem.live]).max(axis=2)
    assert (work <= best.limit).all()
    times = (work + problem.layer_ticks[:, None]).sum(axis=1)
    total = times.max() if problem.cost.profiles == "worst" else times.sum()
    assert verdict.objective == total * problem.tick
    assert total <= ticks.sum()


@some
@given(st.integers(0, 2**20), st.booleans())
def test_any_cut_bounds_the_limit(seed, everything) -> None:
    problem = random_problem(seed, traffic=NONE, dispatch=ADAPTIVE, token=True, activated=False)
    tables_ = tables_of(problem, random_plan(problem, 5))
    best = best_split(problem, tables_)
    cut = np.random.default_rng(seed).random(best.cut.shape) < (1.0 if everything else 0.5)
    assert (cut_bound(problem, tables_, cut) <= best.limit).all()


@some
@given(st.integers(0, 2**20), st.sampled_from(["ranks", "nodes"]), st.integers(0, 1))
def test_sources_share_a_split_nearest_first(seed, sources, dead) -> None:
    problem = random_problem(
        seed, traffic=HOME, dispatch=ADAPTIVE, transfer=True, sources=sources, dead=dead
    )
    tables_ = tables_of(problem, random_plan(problem, 5))
    tokens = best_split(problem, tables_).tokens
    parts = by_source(problem, tables_, tokens)
    assert (parts.sum(axis=2) == tokens).all()
    assert verify(problem, plan_of(problem, tables_, parts)).objective is not None
    near = nearness(problem, parts.shape[2])
    for p, layer, q in np.ndindex(parts.shape[:3]):
        for e in range(problem.n_experts):
            here = (tables_[layer] == e).any(axis=1)
            own = here & (near[q] == near.max())
            if near.max() == 2 and own.any():  # a source on a rank gets what that rank takes
                at = tables_[layer] == e
                had = tokens[p, layer][at & own[:, None]].sum()
                want = problem.sources[p, layer, q, e]
                assert parts[p, layer, q][at & own[:, None]].sum() == min(had, want)
