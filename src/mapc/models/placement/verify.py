"""Replay a placement by the rules alone. Shares nothing with what computes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Verdict
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import ADAPTIVE, HOME, WORST, FloatArray, PlacementProblem
from mapc.models.placement.replay import Replay, follow, held_by

MAX_LINES = 20
"""Violations of one kind that are spelled out; the rest is counted."""
ROUNDING = 1e-12
"""Relative error granted to the load limit, whose both sides are sums of quotients."""


def verify(problem: PlacementProblem, plan: PlacementPlan) -> Verdict:
    """Recompute rules, objective and figures from problem and plan.

    Tokens of a replica are its expert's counts times its share. The chance that a token activates
    it follows from its tokens, so that under ``EQUAL`` dispatch its activations are those of
    ``PlacementProblem.activated``. Transfers belong to the layer at which tokens arrive.

    Returns
    -------
    Verdict
        The objective is None where a plan is too broken to be replayed (wrong shapes, unknown or
        missing experts, duplicates on a rank, experts on dead ranks, a split that does not sum up).
        Facts, where "load" is tokens divided by speed, over live ranks:

        ``balancedness``
            Mean load / largest load, averaged over layers, then over profiles by weight.
        ``worst_balancedness``, ``balancedness_by_profile``
            The same average over layers, of the worst profile and of each.
        ``min_layer_balancedness``
            Of the worst layer of any profile.
        ``cross_rank``, ``cross_node``
            Part of the token transfers that leave their rank, their node: averaged over profiles
            by weight. Without a traffic model they are those of ``HOME``; 0 where nothing moves.
        ``compute``, ``transfers``, ``fixed``
            The three parts of the objective, in the unit of the cost; of the slowest profile under
            ``WORST``. With ``overlap`` the first two are more than what they add to it.
        ``worst_rank``
            Name of the rank whose work, over the layers and profiles in which it is the busiest
            one, adds up to most.
        ``moves``
            New (layer, expert, rank) triples beside the placement in force, None without one.
        ``redundant``
            Slots of a layer beyond one per expert.
        ``most_replicas``
            Of one expert in one layer.
    """
    broken, seen = _look(problem, plan)
    if seen is None:
        return Verdict(tuple(broken), None, {})
    held = held_by(problem, np.asarray(plan.slots))
    moves = _moves(problem, held)
    violations = _pins(problem, held) + _budget(problem, moves) + _overloads(problem, seen.load)
    objective, parts = _objective(problem, seen.work.max(axis=2), seen.transfers)
    facts = {
        **_balancedness(problem, seen.load),
        **_crossings(problem, seen.flow),
        **parts,
        "worst_rank": _worst_rank(problem, seen.work),
        "moves": moves,
        "redundant": problem.n_slots - problem.n_experts,
        "most_replicas": int(held.sum(axis=2).max()),
    }
    return Verdict(tuple(violations), objective, facts)


def replay(problem: PlacementProblem, plan: PlacementPlan) -> Replay:
    """Return what a plan does, whether or not it keeps pins, budget and load limit.

    Raises
    ------
    ValueError
        For a plan that cannot be replayed: one for which `verify` has no objective.
    """
    broken, seen = _look(problem, plan)
    if seen is None:
        raise ValueError("; ".join(broken))
    return seen


def _look(problem: PlacementProblem, plan: PlacementPlan) -> tuple[list[str], Replay | None]:
    slots, broken = _slots(problem, plan)
    if slots is None or broken:
        return broken, None
    split, broken = _split(problem, plan, slots)
    if broken:
        return broken, None
    return [], follow(problem, slots, split)


# -- what is in the plan ---------------------------------------------------------------------------


def _array(values: Any) -> np.ndarray[Any, Any] | None:
    """Return values as an array of whole numbers, or None where they are none."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return None
    whole = np.issubdtype(array.dtype, np.integer)
    return array if whole else None


def _slots(problem: PlacementProblem, plan: Any) -> tuple[IntArray | None, list[str]]:
    """Return the table of slots, and what keeps it from being replayed."""
    shape = (problem.n_layers, problem.n_ranks, problem.slots)
    found = _array(getattr(plan, "slots", None))
    if found is None or found.shape != shape:
        what = "no whole numbers" if found is None else f"shape {found.shape}"
        return None, [f"slots: {what}; expected whole numbers of shape {shape}"]
    slots, names = found, problem.cluster.names
    wrong = (slots >= problem.n_experts) | (slots < np.where(problem.dead, -1, 0)[:, None])
    wrong |= problem.dead[:, None] & (slots >= 0)
    lines = _lines(
        wrong,
        lambda at: (
            f"layer {at[0]}, rank {names[at[1]]!r}: expert {slots[tuple(at)]} in slot {at[2]}; "
            + (
                "expected -1, it is dead"
                if problem.dead[at[1]]
                else f"0 to {problem.n_experts - 1}"
            )
        ),
    )
    if lines:
        return None, lines
    slots = slots.astype(np.int64)
    ordered = np.sort(slots, axis=2)
    twice = (ordered[:, :, 1:] == ordered[:, :, :-1]) & (ordered[:, :, 1:] >= 0)
    lines = _lines(
        twice,
        lambda at: (
            f"layer {at[0]}, rank {names[at[1]]!r}: expert {ordered[tuple(at)]} is there twice"
        ),
    )
    missing = np.asarray(~held_by(problem, slots).any(axis=2))
    lines += _lines(missing, lambda at: f"layer {at[0]}: expert {at[1]} is on no rank")
    return slots, lines


def _split(
    problem: PlacementProblem, plan: Any, slots: IntArray
) -> tuple[IntArray | None, list[str]]:
    """Return the split, None where replicas share equally, and what is wrong with it."""
    given = getattr(plan, "split", None)
    if given is None:
        return None, []
    if problem.dispatch != ADAPTIVE:
        return None, [f"a split of tokens, which {problem.dispatch!r} dispatch does not take"]
    total = _demand(problem)
    shape = (*total.shape[:3], *slots.shape[1:])
    found = _array(given)
    if found is None or found.shape != shape:
        what = "no whole numbers" if found is None else f"shape {found.shape}"
        return None, [f"split: {what}; expected whole numbers of shape {shape}"]
    profiles, names = problem.profiles, problem.cluster.names
    wrong = (found < 0) | (found > total.max()) | ((slots[:, None] < 0) & (found != 0))
    lines = _lines(
        wrong,
        lambda at: (
            f"profile {profiles[at[0]]!r}, layer {at[1]}, rank {names[at[3]]!r}: "
            f"{found[tuple(at)]} tokens in slot {at[4]}"
        ),
    )
    if lines:
        return None, lines
    split = found.astype(np.int64)
    off = _by_expert(problem, slots, split) - total
    lines = _lines(
        off != 0,
        lambda at: (
            f"profile {profiles[at[0]]!r}, layer {at[1]}, expert {at[3]}: the split has "
            f"{total[tuple(at)] + off[tuple(at)]} tokens of source {at[2]}; "
            f"expected {total[tuple(at)]}"
        ),
    )
    return split, lines


def _demand(problem: PlacementProblem) -> IntArray:
    """int64[P, L, Q, E]: tokens that a split has to hand out."""
    by_source = problem.traffic == HOME and not problem.balance_only
    if by_source and problem.sources is not None:
        return problem.sources
    return problem.counts[:, :, None, :]


def _by_expert(problem: PlacementProblem, slots: IntArray, split: IntArray) -> IntArray:
    """int64[P, L, Q, E]: tokens that a split gives to the slots of every expert."""
    n_layers, n_experts = problem.n_layers, problem.n_experts
    key = np.arange(n_layers)[:, None, None] * n_experts + np.maximum(slots, 0)
    found = np.zeros((*split.shape[:3], n_experts), dtype=np.int64)
    for p in range(split.shape[0]):
        for q in range(split.shape[2]):
            # floats are exact: no sum reaches 2**52
            sums = np.bincount(key.ravel(), split[p, :, q].ravel(), n_layers * n_experts)
            found[p, :, q] = np.rint(sums).astype(np.int64).reshape(n_layers, n_experts)
    return found


def _lines(wrong: BoolArray, say: Any) -> list[str]:
    """Return one line for each of the first offenders, and how many more there are."""
    places = np.argwhere(wrong)
    lines = [say(at.tolist()) for at in places[:MAX_LINES]]
    more = len(places) - MAX_LINES
    return [*lines, f"and {more} more"] if more > 0 else lines


# -- rules -----------------------------------------------------------------------------------------


def _pins(problem: PlacementProblem, held: BoolArray) -> list[str]:
    names = problem.cluster.names
    found = []
    for triples, right, rule in (
        (problem.pinned, True, "not on"),
        (problem.forbidden, False, "on"),
    ):
        wrong = held[tuple(triples.T)] != right
        broken = triples[wrong].tolist()
        found += [
            f"layer {layer}: expert {expert} is {rule} rank {names[rank]!r}, where it is "
            + ("pinned" if right else "forbidden")
            for layer, expert, rank in broken[:MAX_LINES]
        ]
        if len(broken) > MAX_LINES:
            found.append(f"and {len(broken) - MAX_LINES} more")
    return found


def _moves(problem: PlacementProblem, held: BoolArray) -> int | None:
    if problem.current is None:
        return None
    return int((held & ~held_by(problem, problem.current)).sum())


def _budget(problem: PlacementProblem, moves: int | None) -> list[str]:
    if problem.max_moves is None or moves is None or moves <= problem.max_moves:
        return []
    return [f"{moves} moves, above the budget {problem.max_moves}"]


def _overloads(problem: PlacementProblem, load: FloatArray) -> list[str]:
    if problem.max_imbalance is None:
        return []
    ratio = load / load.mean(axis=2, keepdims=True)
    return _lines(
        ratio > problem.max_imbalance * (1 + ROUNDING),
        lambda at: (
            f"profile {problem.profiles[at[0]]!r}, layer {at[1]}, rank "
            f"{problem.cluster.names[problem.live[at[2]]]!r}: {ratio[tuple(at)]:.6g} times the "
            f"mean load, above the limit {problem.max_imbalance:.6g}"
        ),
    )


# -- cost and figures ------------------------------------------------------------------------------


def _objective(
    problem: PlacementProblem, work: FloatArray, transfers: FloatArray
) -> tuple[float, dict[str, float]]:
    """Return the objective and its parts, in the unit of the cost."""
    work, transfers = np.rint(work), np.rint(transfers)
    both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
    fixed = np.broadcast_to(problem.layer_ticks[:, None], both.shape)
    step = (fixed + both).sum(axis=1)
    # every term is a whole number of ticks and no sum reaches 2**53: floats are exact
    counted = [int(step.argmax())] if problem.cost.profiles == WORST else slice(None)
    parts = {"compute": work, "transfers": transfers, "fixed": fixed}
    return float(step[counted].sum()) * problem.tick, {
        name: float(part[counted].sum()) * problem.tick for name, part in parts.items()
    }


def _balancedness(problem: PlacementProblem, load: FloatArray) -> dict[str, Any]:
    balance = load.mean(axis=2) / load.max(axis=2)
    by_profile = balance.mean(axis=1)
    return {
        "balancedness": float(by_profile @ problem.weight),
        "worst_balancedness": float(by_profile.min()),
        "min_layer_balancedness": float(balance.min()),
        "balancedness_by_profile": dict(zip(problem.profiles, by_profile.tolist(), strict=True)),
    }


def _crossings(problem: PlacementProblem, flow: FloatArray) -> dict[str, float]:
    moved = flow.sum(axis=1)  # [P, G, G]
    total = np.maximum(moved.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    other_node = problem.node[:, None] != problem.node
    other_rank = ~np.eye(problem.n_ranks, dtype=np.bool_)
    return {
        name: float(((moved * apart).sum(axis=(1, 2)) / total) @ problem.weight)
        for name, apart in (("cross_rank", other_rank), ("cross_node", other_node))
    }


def _worst_rank(problem: PlacementProblem, work: FloatArray) -> str:
    heaviest = np.bincount(work.argmax(axis=2).ravel(), work.max(axis=2).ravel(), len(problem.live))
    return str(problem.cluster.names[problem.live[int(heaviest.argmax())]])
