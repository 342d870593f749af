"""Placement without replicas as a program: one binary for every expert, layer and rank.

Work and transfers of every profile and layer are columns ``work`` and ``moved``, held from below by
rows. Transfers of a chain are products of two binaries. Where links have two prices, inside a node
and between nodes (all clusters of equal links do), a product per rank, "both experts here", and one
per node are enough: what is together pays nothing, or the inner price. Otherwise, and for the
busiest rank, there is a product for every pair of experts and of ranks.

Plain products (McCormick 1976) leave a relaxation that is worth little: at x = 1/H everything is
together with everything. As every rank holds C experts, an expert is together with exactly C of the
next layer; these *degree* rows, sum_{e2} z[e1, e2, g] = C x[e1, g], are the rows
sum_e2 x[e2, g] = C times x[e1, g] (the reformulation of Sherali and Adams 1990).
"""

from __future__ import annotations

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.chains.state_costs import lives_on
from mapc.models.placement.chains.states import permitted, symmetries
from mapc.models.placement.problem import (
    BUSIEST,
    CHAIN,
    EQUAL,
    HOME,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.programs.place_model import PlaceLift, PlaceModel
from mapc.program import Block, Program


def lower_chain(
    problem: PlacementProblem, name: str, *, degree: bool, symmetry: bool = True
) -> tuple[Program, PlaceLift]:
    """Lower a problem without replicas.

    Parameters
    ----------
    problem : PlacementProblem
        Any traffic; S == E.
    name : str
    degree : bool
        Whether products get degree rows.
    symmetry : bool
        Whether relabellings of ranks are cut off where nothing tells ranks apart.

    Raises
    ------
    UsageError
        Where there are replicas.
    """
    if problem.n_slots != problem.n_experts:
        instead = "; try 'balance'" if problem.balance_only and problem.dispatch == EQUAL else ""
        raise UsageError(
            f"formulation {name!r}: {problem.n_slots} slots for {problem.n_experts} experts; it "
            f"takes no replicas{instead}"
        )
    model = PlaceModel(problem, name)
    program, allowed = model.program, permitted(problem)
    if symmetry:
        allowed = allowed & ~_relabelled(problem, allowed)
    x = program.variables(model.shape, 0.0, allowed.astype(np.float64), name="x")
    n_layers, n_experts, n_ranks = model.shape
    by_rank = x.columns.transpose(0, 2, 1)
    program.rows(x.columns.reshape(-1, n_ranks), 1.0, 1.0, 1.0, name="one rank")
    program.rows(
        by_rank.reshape(-1, n_experts), 1.0, problem.slots, problem.slots, name="full ranks"
    )
    _work(model, by_rank)
    model.moves(x.columns)
    model.limit(by_rank, problem.counts.astype(np.float64))
    if not problem.balance_only and problem.traffic == HOME:
        _home(model, x)
    elif not problem.balance_only and problem.traffic == CHAIN and n_layers > 1:
        levels = None if problem.cost.links == BUSIEST else _levels(model)
        if levels is None:
            _all_products(model, x, degree)
        else:
            _together(model, x, levels, degree)
    model.finish()
    return program, PlaceLift(problem, x, model.unit)


def _relabelled(problem: PlacementProblem, allowed: BoolArray) -> BoolArray:
    """bool[L, E, H]: places that some relabelling of the ranks spares an optimal plan.

    With all ranks alike they can be numbered in the order in which the experts of the first layer
    meet them, so that expert e sits on rank e at most. Otherwise a relabelling takes the first
    expert to the first of the ranks like its own.
    """
    spared = np.zeros_like(allowed)
    n_ranks = allowed.shape[2]
    if problem.max_moves is not None:  # the placement in force tells ranks apart
        return spared
    moves = symmetries(problem, allowed)
    swaps = (moves != np.arange(n_ranks)).sum(axis=1) == 2
    if int(swaps.sum()) == n_ranks * (n_ranks - 1) // 2:
        spared[0] = np.arange(n_ranks) > np.arange(allowed.shape[1])[:, None]
        return spared
    first = np.arange(n_ranks)
    for _ in range(n_ranks):
        for move in moves:
            first = np.minimum(first, first[move])
    spared[0, 0] = first != np.arange(n_ranks)
    return spared


def _work(model: PlaceModel, by_rank: IntArray) -> None:
    """Hold work from below by the tokens and the activated experts of every rank."""
    problem = model.problem
    active = problem.activated() if problem.cost.expert else None
    for p in range(problem.n_profiles):
        for weight, ticks in (
            (problem.counts, problem.token_ticks),
            (active, problem.expert_ticks),
        ):
            if weight is not None:
                price = weight[p][:, None, :] * ticks[p, model.live][:, None]
                model.loads(p, model.work, by_rank, price)


def _home(model: PlaceModel, x: Block) -> None:
    """Hold transfers from below by those of the experts of every rank."""
    problem = model.problem
    n_layers, _, n_ranks = model.shape
    flat = x.columns.reshape(n_layers, 1, -1)
    lives = np.stack([lives_on(problem, layer) for layer in range(n_layers)], axis=1)
    for p, pair in enumerate(model.pair):
        ticks = lives[p][:, :, :, None] * pair[:, None, :]  # [L, from, E, to]
        if problem.cost.links != BUSIEST:
            price = ticks.sum(axis=1).reshape(n_layers, 1, -1)
            model.loads(p, model.moved, flat, price)
            continue
        leaving = ticks.reshape(n_layers, n_ranks, -1)
        model.loads(p, model.moved, np.repeat(flat, n_ranks, axis=1), leaving)
        coming = ticks.sum(axis=1).transpose(0, 2, 1)
        model.loads(p, model.moved, x.columns.transpose(0, 2, 1), coming)


# -- products --------------------------------------------------------------------------------------


def _levels(model: PlaceModel) -> list[tuple[IntArray, FloatArray]] | None:
    """Return groups of ranks, int64[H], and what it saves to be in one, float64[P] ticks.

    None where links have more than the two prices.
    """
    problem = model.problem
    node = np.unique(problem.node[model.live], return_inverse=True)[1].astype(np.int64)
    ranks = np.arange(len(node), dtype=np.int64)
    near = (node[:, None] == node) & (ranks[:, None] != ranks)
    far = node[:, None] != node
    most = [model.pair[:, where].max(axis=1, initial=0.0) for where in (near, far)]
    least = [model.pair[:, where].min(axis=1, initial=np.inf) for where in (near, far)]
    if any((low < high).any() for low, high in zip(least, most, strict=True)):
        return None
    inside, across = most
    if not far.any():
        return [(ranks, inside)]
    if not near.any() or (inside == across).all():
        return [(ranks, across)]
    if (inside > across).any():
        return None
    return [(ranks, inside), (node, across - inside)]


def _together(
    model: PlaceModel, x: Block, levels: list[tuple[IntArray, FloatArray]], degree: bool
) -> None:
    """Hold transfers from below by what is not together with what follows it."""
    problem, program = model.problem, model.program
    assert problem.transitions is not None
    n_layers, n_experts, n_ranks = model.shape
    saved, price = [], []
    for group, gain in levels:
        sits = x.columns if len(np.unique(group)) == n_ranks else _grouped(model, x, group)
        z = program.variables((n_layers - 1, n_experts, n_experts, sits.shape[2]), name="together")
        room = np.bincount(group) * problem.slots
        for ends, columns in ((sits[:-1], z.columns), (sits[1:], z.columns.transpose(0, 2, 1, 3))):
            _within(program, columns, ends, room if degree else None)
        saved.append(z.columns.reshape(n_layers - 1, -1))
        cost = gain[:, None, None, None] * problem.transitions
        price.append(np.repeat(cost.reshape(*cost.shape[:2], -1), sits.shape[2], axis=2))
    columns = np.concatenate(saved, axis=1)
    for p in range(problem.n_profiles):
        total = sum(gain[p] for _, gain in levels) * problem.transitions[p].sum(axis=(1, 2))
        less = np.ceil(np.concatenate([part[p] for part in price], axis=1) / model.unit)
        program.rows(
            np.append(model.moved.columns[p, 1:, None], columns, axis=1),
            np.append(np.ones((n_layers - 1, 1)), less, axis=1),
            lower=model.down(total),
            name="moved",
        )


def _grouped(model: PlaceModel, x: Block, group: IntArray) -> IntArray:
    """Append whether an expert sits in a group of ranks, and return the columns [L, E, groups]."""
    n_groups = int(group.max()) + 1
    sits = model.program.variables((*model.shape[:2], n_groups), name="node")
    for n in range(n_groups):
        members = x.columns[:, :, group == n].reshape(-1, int((group == n).sum()))
        columns = np.append(members, sits.columns[:, :, n].reshape(-1, 1), axis=1)
        sums = np.append(np.ones(members.shape[1]), -1.0)
        model.program.rows(columns, sums, 0.0, 0.0, name="node")
    return sits.columns


def _within(program: Program, z: IntArray, sits: IntArray, room: IntArray | None) -> None:
    """Hold products z[l, e, other, n] to one of their factors sits[l, e, n].

    With ``room``, int64[n], also to the degree: an expert is together with as many as fit.
    """
    own = np.broadcast_to(sits[:, :, None, :], z.shape)
    ends = np.stack([z.ravel(), own.ravel()], axis=1)
    program.rows(ends, [1.0, -1.0], upper=0.0, name="product")
    if room is not None:
        columns = np.append(z.transpose(0, 1, 3, 2), sits[..., None], axis=3)
        sums = np.ones(columns.shape)
        sums[..., -1] = -room
        flat = columns.reshape(-1, columns.shape[3])
        program.rows(flat, sums.reshape(flat.shape), 0.0, 0.0, name="degree")


def _all_products(model: PlaceModel, x: Block, degree: bool) -> None:
    """Hold transfers from below by a product for every pair of experts and of ranks."""
    problem, program = model.problem, model.program
    assert problem.transitions is not None
    n_layers, n_experts, n_ranks = model.shape
    shape = (n_layers - 1, n_experts, n_ranks, n_experts, n_ranks)
    y = program.variables(shape, name="from to")
    before, here = x.columns[:-1], x.columns[1:]
    if degree:
        # for each factor: sums over the ranks, and over the experts, of the other one
        for order, factor, right in (
            ((0, 1, 2, 3, 4), before[:, :, :, None], 1),
            ((0, 1, 2, 4, 3), before[:, :, :, None], problem.slots),
            ((0, 1, 3, 4, 2), here[:, None], 1),
            ((0, 2, 3, 4, 1), here[:, None], problem.slots),
        ):
            columns = y.columns.transpose(order)
            own = np.broadcast_to(factor, columns.shape[:4])[..., None]
            flat = np.append(columns, own, axis=4).reshape(-1, columns.shape[4] + 1)
            sums = np.append(np.ones(columns.shape[4]), -float(right))
            program.rows(flat, sums, 0.0, 0.0, name="degree")
    else:
        first = np.broadcast_to(before[:, :, :, None, None], shape)
        second = np.broadcast_to(here[:, None, None, :, :], shape)
        flat = np.stack([y.columns.ravel(), first.ravel(), second.ravel()], axis=1)
        program.rows(flat, [1.0, -1.0, -1.0], lower=-1.0, name="product")
    for p, pair in enumerate(model.pair):
        moved = problem.transitions[p][:, :, None, :, None]
        ticks = np.broadcast_to(moved * pair[:, None, :], shape)
        _moved(model, p, y.columns, ticks)


def _moved(model: PlaceModel, profile: int, y: IntArray, ticks: FloatArray) -> None:
    """Hold transfers from below by sums of products, over all ranks or for each of them."""
    n_pairs = len(y)
    block = Block("moved", int(model.moved.columns[profile, 1]), (1, n_pairs))
    if model.problem.cost.links != BUSIEST:
        model.loads(0, block, y.reshape(n_pairs, 1, -1), ticks.reshape(n_pairs, 1, -1))
        return
    n_ranks = model.shape[2]
    for order in ((0, 2, 1, 3, 4), (0, 4, 1, 2, 3)):
        columns = y.transpose(order).reshape(n_pairs, n_ranks, -1)
        model.loads(0, block, columns, ticks.transpose(order).reshape(columns.shape))
