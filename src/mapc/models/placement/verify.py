"""Replay a placement by the rules alone. Shares nothing with what computes it.

Every slot is given the tokens it handles, layer by layer, and every pair of ranks the tokens that
move between them; all else follows from these two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Verdict
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    HOME,
    LOCAL,
    WORST,
    FloatArray,
    PlacementProblem,
)

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
    held = _held(problem, np.asarray(plan.slots))
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


@dataclass(frozen=True, eq=False)
class Replay:
    """What happens to the tokens of the window, layer by layer.

    Attributes
    ----------
    handled : float64[P, L, G, C]
        Tokens of every slot.
    flow : float64[P, L, G, G]
        Tokens from rank to rank; those that stay are on the diagonal.
    load : float64[P, L, H]
        Tokens of every live rank, divided by its speed.
    work : float64[P, L, H]
        Ticks of every live rank, not rounded.
    transfers : float64[P, L]
        Ticks, not rounded.
    """

    handled: FloatArray
    flow: FloatArray
    load: FloatArray
    work: FloatArray
    transfers: FloatArray


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
    handled, flow = _replay(problem, slots, _held(problem, slots), split)
    load = _sum(handled)[:, :, problem.live] / problem.cluster.speed[problem.live]
    return [], Replay(handled, flow, load, _work(problem, handled), _transfers(problem, flow))


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
    missing = np.asarray(~_held(problem, slots).any(axis=2))
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


def _held(problem: PlacementProblem, slots: IntArray) -> BoolArray:
    """bool[L, E, G]: what sits where."""
    held = np.zeros((problem.n_layers, problem.n_experts, problem.n_ranks), dtype=np.bool_)
    layer, rank, slot = np.nonzero(slots >= 0)
    held[layer, slots[layer, rank, slot], rank] = True
    return held


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
    return int((held & ~_held(problem, problem.current)).sum())


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


# -- replay ----------------------------------------------------------------------------------------


def _replay(
    problem: PlacementProblem, slots: IntArray, held: BoolArray, split: IntArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return the tokens of every slot and those that move between ranks.

    Returns
    -------
    handled : float64[P, L, G, C]
    flow : float64[P, L, G, G]
        From rank to rank, those that stay on the diagonal.
    """
    if problem.traffic == CHAIN:
        return _chain(problem, slots, held)
    if problem.dispatch == LOCAL:
        return _nearest(problem, slots, held)
    if split is None:
        handled = _gather(problem.counts / held.sum(axis=2), slots)
    else:
        handled = split.sum(axis=2).astype(np.float64)
    return handled, _home(problem, slots, held, handled, split)


def _gather(per_expert: FloatArray, slots: IntArray) -> FloatArray:
    """Return [P, L, E] as [P, L, G, C], zero in empty slots."""
    layer = np.arange(len(slots))[:, None, None]
    return np.where(slots >= 0, per_expert[:, layer, slots], 0.0)


def _spread(problem: PlacementProblem, n_sources: int) -> FloatArray:
    """float64[G, Q]: part of the tokens of a source that live on each rank."""
    if n_sources == problem.n_ranks:
        return np.eye(n_sources)
    alive = ~problem.dead
    member = np.ones((problem.n_ranks, 1), dtype=np.bool_)
    if n_sources > 1:
        member = problem.node[:, None] == np.arange(n_sources)
    member &= alive[:, None]
    return np.asarray(member / np.maximum(member.sum(axis=0), 1))


def _lives(problem: PlacementProblem) -> IntArray:
    """int64[P, L, Q, E]: tokens by where they live; one source where nobody said."""
    return problem.counts[:, :, None, :] if problem.sources is None else problem.sources


def _home(
    problem: PlacementProblem,
    slots: IntArray,
    held: BoolArray,
    handled: FloatArray,
    split: IntArray | None,
) -> FloatArray:
    """float64[P, L, G, G]: tokens from where they live, where nearness plays no part."""
    if split is not None and split.shape[2] > 1:
        return np.asarray(_spread(problem, split.shape[2]) @ split.sum(axis=4))
    lives = _lives(problem)
    spread = _spread(problem, lives.shape[2])
    if lives.shape[2] == 1:
        return spread @ _sum(handled)[:, :, None, :]
    flow = np.empty((problem.n_profiles, problem.n_layers, problem.n_ranks, problem.n_ranks))
    for layer in range(problem.n_layers):
        share = _shares(problem, layer, slots, handled)
        flow[:, layer] = spread @ (lives[:, layer] @ share)
    return flow


def _shares(
    problem: PlacementProblem, layer: int, slots: IntArray, handled: FloatArray
) -> FloatArray:
    """float64[P, E, G]: part of an expert's tokens that each rank handles; 0 without tokens."""
    share = np.zeros((problem.n_profiles, problem.n_experts, problem.n_ranks))
    rank, slot = np.nonzero(slots[layer] >= 0)
    expert = slots[layer, rank, slot]
    tokens = np.maximum(problem.counts[:, layer, expert], 1)
    share[:, expert, rank] = handled[:, layer, rank, slot] / tokens
    return share


def _nearest(
    problem: PlacementProblem, slots: IntArray, held: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Replay local dispatch of tokens that return home."""
    lives = _lives(problem)
    spread = _spread(problem, lives.shape[2])
    handled = np.empty((problem.n_profiles, *slots.shape))
    flow = np.empty((problem.n_profiles, problem.n_layers, problem.n_ranks, problem.n_ranks))
    for layer in range(problem.n_layers):
        goes = _goes(problem, held[layer])
        start = spread @ lives[:, layer]  # [P, G, E]
        mass = np.einsum("pge,geh->peh", start, goes)
        flow[:, layer] = np.einsum("pge,geh->pgh", start, goes)
        handled[:, layer] = _tokens(problem, layer, slots, _parts(mass, held[layer]))
    return handled, flow


def _goes(problem: PlacementProblem, held: BoolArray) -> FloatArray:
    """float64[G, E, G]: chance of each rank to get a token on a rank, by its expert."""
    same_node = problem.node[:, None] == problem.node
    own = held.T[:, :, None] & np.eye(problem.n_ranks, dtype=np.bool_)[:, None]
    near = held & same_node[:, None]
    goes = np.where(near.any(axis=2, keepdims=True), near, held)
    goes = np.where(own.any(axis=2, keepdims=True), own, goes)
    return np.asarray(goes / goes.sum(axis=2, keepdims=True))


def _parts(mass: FloatArray, held: BoolArray) -> FloatArray:
    """Return masses [P, E, G] as parts of their expert's; even where none arrives."""
    total = mass.sum(axis=2, keepdims=True)
    even = held / held.sum(axis=1, keepdims=True)
    return np.where(total > 0, mass / np.where(total > 0, total, 1.0), even)


def _tokens(
    problem: PlacementProblem, layer: int, slots: IntArray, share: FloatArray
) -> FloatArray:
    """float64[P, G, C]: tokens of every slot, by the shares of ranks in experts."""
    found = np.zeros((problem.n_profiles, *slots.shape[1:]))
    rank, slot = np.nonzero(slots[layer] >= 0)
    expert = slots[layer, rank, slot]
    found[:, rank, slot] = problem.counts[:, layer, expert] * share[:, expert, rank]
    return found


def _chain(
    problem: PlacementProblem, slots: IntArray, held: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Replay tokens that stay where their expert was; the first layer has no transfers."""
    n_profiles, n_ranks = problem.n_profiles, problem.n_ranks
    assert problem.transitions is not None
    even = held / held.sum(axis=2, keepdims=True)
    share = np.repeat(even[None, 0], n_profiles, axis=0)  # [P, E, G]
    handled = np.empty((n_profiles, *slots.shape))
    flow = np.zeros((n_profiles, problem.n_layers, n_ranks, n_ranks))
    handled[:, 0] = _tokens(problem, 0, slots, share)
    for layer in range(1, problem.n_layers):
        # tokens on each rank by the expert they want next: [P, G, E]
        wanted = share.transpose(0, 2, 1) @ problem.transitions[:, layer - 1].astype(np.float64)
        if problem.dispatch == LOCAL:
            goes = _goes(problem, held[layer])
            flow[:, layer] = np.einsum("pge,geh->pgh", wanted, goes)
            share = _parts(np.einsum("pge,geh->peh", wanted, goes), held[layer])
        else:
            share = np.repeat(even[None, layer], n_profiles, axis=0)
            flow[:, layer] = wanted @ share
        handled[:, layer] = _tokens(problem, layer, slots, share)
    return handled, flow


# -- cost and figures ------------------------------------------------------------------------------


def _sum(per_slot: FloatArray) -> FloatArray:
    """Return [..., G, C] summed over slots, whatever their order."""
    return np.asarray(np.sort(per_slot, axis=-1).sum(axis=-1))


def _work(problem: PlacementProblem, handled: FloatArray) -> FloatArray:
    """float64[P, L, H]: ticks of every live rank."""
    work = problem.token_ticks[:, None] * _sum(handled)
    if problem.cost.expert:
        # handled / total is the chance of a pick, k times that the chance of a token
        total = problem.counts.sum(axis=2)[:, :, None, None] / problem.top_k
        chance = np.minimum(handled / total, 1.0)
        per_step = total * problem.scale[:, None, None, None]
        with np.errstate(divide="ignore"):
            active = _sum(-np.expm1(per_step * np.log1p(-chance)))
        work = np.maximum(work, problem.expert_ticks[:, None] * active)
    return np.asarray(work[:, :, problem.live])


def _transfers(problem: PlacementProblem, flow: FloatArray) -> FloatArray:
    """float64[P, L]: ticks of the transfers of every layer."""
    if problem.balance_only:
        return np.zeros(flow.shape[:2])
    ticks = flow * problem.pair_ticks[:, None]
    if problem.cost.links == BUSIEST:
        return np.asarray(np.maximum(ticks.sum(axis=3), ticks.sum(axis=2)).max(axis=2))
    return np.asarray(ticks.sum(axis=(2, 3)))


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
