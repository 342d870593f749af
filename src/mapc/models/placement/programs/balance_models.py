"""Balance with replicas as a program, transfers left out.

An expert with k replicas weighs about 1/k on each of its ranks, so the number of replicas is a
choice of its own: ``y[l, e, k]``, and ``u[l, e, g, k]`` says that rank g holds one of k. Then
sum_g u = k y, u <= y, and work is linear. Its relaxation is the migration bound of the literature
on placements in force; it takes L * E * H * K columns, so it is for single layers and small ones.
"""

from __future__ import annotations

import numpy as np

from mapc.errors import UsageError
from mapc.models.placement.problem import EQUAL, PlacementProblem
from mapc.models.placement.programs.place_model import PlaceLift, PlaceModel
from mapc.models.placement.rows import rows_of
from mapc.program import Program


def lower_balance(problem: PlacementProblem) -> tuple[Program, PlaceLift]:
    """Lower a problem whose transfers cost nothing.

    Raises
    ------
    UsageError
        Where transfers cost something, or replicas share tokens other than equally.
    """
    if not problem.balance_only:
        raise UsageError("formulation 'balance': it takes no transfers; try 'degree'")
    if problem.n_slots > problem.n_experts and problem.dispatch != EQUAL:
        raise UsageError(
            f"formulation 'balance': replicas share tokens by {problem.dispatch!r} dispatch; it "
            f"takes {EQUAL!r}"
        )
    model = PlaceModel(problem, "balance")
    program, rows = model.program, rows_of(problem)
    n_layers, n_experts, n_ranks = model.shape
    copies = np.arange(1, rows.most + 1)
    allowed = problem.allowed[:, :, problem.live].astype(np.float64)
    u = program.variables((*model.shape, rows.most), 0.0, allowed[..., None], name="u")
    y = program.variables((n_layers, n_experts, rows.most), name="replicas")
    program.rows(y.columns.reshape(-1, rows.most), 1.0, 1.0, 1.0, name="one number")
    by_number = np.append(u.columns.transpose(0, 1, 3, 2), y.columns[..., None], axis=3)
    sums = np.ones(by_number.shape)
    sums[..., -1] = -copies
    flat = by_number.reshape(-1, n_ranks + 1)
    program.rows(flat, sums.reshape(flat.shape), 0.0, 0.0, name="as many replicas")
    chosen = np.broadcast_to(y.columns[:, :, None], u.shape)
    ends = np.stack([u.columns.ravel(), chosen.ravel()], axis=1)
    program.rows(ends, [1.0, -1.0], upper=0.0, name="of that number")
    by_rank = u.columns.transpose(0, 2, 1, 3).reshape(n_layers, n_ranks, -1)
    full = by_rank.reshape(n_layers * n_ranks, -1)
    program.rows(full, 1.0, problem.slots, problem.slots, name="full ranks")
    _pins(model, u.columns)
    _work(model, by_rank, copies)
    model.moves(u.columns)
    tokens = problem.counts[..., None] / copies
    model.limit(by_rank, tokens.reshape(*tokens.shape[:2], -1))
    model.finish()
    return program, PlaceLift(problem, u, model.unit)


def _pins(model: PlaceModel, u: np.ndarray) -> None:
    """Hold pins; u int64[L, E, H, K]."""
    problem = model.problem
    layer, expert, rank = problem.pinned.T
    if len(layer):
        at = np.searchsorted(problem.live, rank)
        model.program.rows(u[layer, expert, at], 1.0, 1.0, 1.0, name="pinned")


def _work(model: PlaceModel, by_rank: np.ndarray, copies: np.ndarray) -> None:
    """Hold work from below; by_rank int64[L, H, E * K]."""
    problem = model.problem
    kinds = [(problem.counts[..., None] / copies, problem.token_ticks)]
    if problem.cost.expert:
        active = [problem.activated(int(k)) for k in copies]
        kinds.append((np.stack(active, axis=3), problem.expert_ticks))
    for p in range(problem.n_profiles):
        for weight, ticks in kinds:
            each = weight[p].reshape(problem.n_layers, 1, -1)
            model.loads(p, model.work, by_rank, each * ticks[p, model.live][:, None])
