"""What can be proven impossible before any search.

Each check is a necessary condition, so that what is refused here has no plan; what is not may still
have none, which is for `rules` to find out.
"""

from __future__ import annotations

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.checks.naming import first, layer_of, profile_of, rank_of
from mapc.models.placement.problem import PlacementProblem


def check_possible(problem: PlacementProblem) -> None:
    """Raise ``InfeasibleError`` for rules that contradict each other.

    Raises
    ------
    InfeasibleError
        A rank may hold fewer different experts than it has slots; pins leave fewer slots than
        there are experts without one; the rules take more moves than the budget allows; or an
        expert, replicated as far as it can be, exceeds the load limit wherever it sits.
    """
    _check_fillings(problem)
    _check_pins(problem)
    _check_moves(problem)
    _check_load(problem)


def fewest_moves(problem: PlacementProblem) -> int:
    """Return a lower bound on the moves of any plan; 0 without a placement in force.

    A rank has as many new experts as it has pins that are new there, and at least as many as its
    slots beyond the old experts it may keep: every slot holds a different one. New experts of
    different ranks are different moves, so they add up. An expert that no live rank may keep needs
    a move of its own. Layers add up.
    """
    if problem.current is None:
        return 0
    old = _old(problem)
    keeps = old[:, :, problem.live].sum(axis=1)  # [L, H]
    pinned = np.zeros_like(old)
    pinned[tuple(problem.pinned.T)] = True
    new_pins = (pinned & ~old)[:, :, problem.live].sum(axis=1)
    by_rank = np.maximum(problem.slots - keeps, new_pins).sum(axis=1)
    lost = (~old.any(axis=2)).sum(axis=1)
    return int(np.maximum(by_rank, lost).sum())


def _old(problem: PlacementProblem) -> BoolArray:
    """bool[L, E, G]: what is in force on live ranks and allowed there."""
    assert problem.current is not None
    old = np.zeros((problem.n_layers, problem.n_experts, problem.n_ranks), dtype=np.bool_)
    layer, rank, slot = np.nonzero(problem.current >= 0)
    old[layer, problem.current[layer, rank, slot], rank] = True
    return old & problem.allowed


def _check_fillings(problem: PlacementProblem) -> None:
    choices = problem.allowed[:, :, problem.live].sum(axis=1)  # [L, H]
    at = first(choices < problem.slots)
    if at:
        raise InfeasibleError(
            f"{layer_of(problem, at[0])}, {rank_of(problem, int(problem.live[at[1]]))}: "
            f"{choices[at]} experts are allowed there, for {problem.slots} slots"
        )


def _check_pins(problem: PlacementProblem) -> None:
    pins = np.unique(problem.pinned, axis=0)
    n_layers, n_experts = problem.n_layers, problem.n_experts
    free = problem.n_slots - np.bincount(pins[:, 0], minlength=n_layers)
    has_pin = np.zeros((n_layers, n_experts), dtype=np.bool_)
    has_pin[pins[:, 0], pins[:, 1]] = True
    waiting: IntArray = n_experts - has_pin.sum(axis=1)
    at = first(np.asarray(waiting > free))
    if at:
        raise InfeasibleError(
            f"{layer_of(problem, at[0])}: pins leave {free[at]} slots for {waiting[at]} experts"
        )


def _check_moves(problem: PlacementProblem) -> None:
    least = fewest_moves(problem)
    if problem.max_moves is not None and least > problem.max_moves:
        raise InfeasibleError(
            f"the rules take at least {least} moves from the placement in force, above the budget "
            f"{problem.max_moves}"
        )


def _check_load(problem: PlacementProblem) -> None:
    """Refuse a limit below the hottest expert's part, where speeds are equal.

    Of r replicas one takes at least 1/r of the expert's tokens, however they are split; r is at
    most the number of live ranks, and leaves a slot to every other expert. With equal speeds the
    mean load is the same in every plan.
    """
    speed = problem.cluster.speed[problem.live]
    if problem.max_imbalance is None or (speed != speed[0]).any():
        return
    most = min(len(problem.live), problem.n_slots - problem.n_experts + 1)
    mean = problem.counts.sum(axis=2) / len(problem.live)
    least = problem.counts.max(axis=2) / most / mean
    # a margin for rounding, wider than the verifier's
    at = first(np.asarray(least > problem.max_imbalance * (1 + 1e-9)))
    if at:
        raise InfeasibleError(
            f"{profile_of(problem, at[0])}, {layer_of(problem, at[1])}: expert "
            f"{problem.counts[at].argmax()} alone makes {least[at]:.6g} times the mean load with "
            f"the most replicas it can have, {most}; the limit is {problem.max_imbalance:.6g}"
        )
