"""What a placement costs, for searches: whole layers at once, live ranks only.

The same model as `verify`, computed another way: shares of ranks in experts are matrices [H, E],
and under local dispatch what a rank gets is added up from three parts (its own tokens, those of its
node, those of nodes without the expert), so that no table over pairs of ranks and experts is built.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    LOCAL,
    WORST,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.rows import plan_of, tables_of


def loads(problem: PlacementProblem, tables: IntArray) -> FloatArray:
    """Return the tokens of every live rank where replicas share equally.

    Parameters
    ----------
    problem : PlacementProblem
    tables : int64[L, H, C]
        Every expert in every layer, none twice on a rank.

    Returns
    -------
    float64[P, L, H]
        Tokens of the window, not divided by speed.
    """
    return np.asarray(_equal(problem, tables).sum(axis=3))


def flows(problem: PlacementProblem, tables: IntArray, layer: int) -> FloatArray:
    """Return the tokens that arrive at a layer, by the live ranks they come from and go to.

    Under adaptive dispatch they are those of the equal split. A chain under local dispatch is
    followed from the first layer on, where nothing arrives.

    Returns
    -------
    float64[P, H, H]
        Tokens, or token pairs of a chain; those that stay on the diagonal.
    """
    if problem.traffic == CHAIN and problem.dispatch != LOCAL:
        return _pair(problem, tables, layer)
    for at, (_, flow) in enumerate(_followed(problem, plan_of(problem, tables), True)):
        if at == layer:
            assert flow is not None
            return flow
    raise IndexError(f"layer {layer} of {problem.n_layers}")


def layer_ticks(problem: PlacementProblem, plan: PlacementPlan) -> FloatArray:
    """float64[P, L], whole numbers: ticks of every layer, in a plan that keeps the rules."""
    work, transfers = np.empty((2, problem.n_profiles, problem.n_layers))
    paid = not problem.balance_only
    pair = problem.pair_ticks[:, problem.live[:, None], problem.live]
    for layer, (handled, flow) in enumerate(_followed(problem, plan, paid)):
        work[:, layer] = _work(problem, layer, handled)
        transfers[:, layer] = 0 if flow is None else _moved(problem, flow * pair)
    work, transfers = np.rint(work), np.rint(transfers)
    both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
    return np.asarray(both + problem.layer_ticks[:, None])


def objective_ticks(problem: PlacementProblem, plan: PlacementPlan) -> float:
    """Return the objective in ticks, a whole number; rules are not looked at.

    `verify` says the same: exactly where no expert has replicas and costs are whole numbers,
    otherwise but for sums whose last bit tips the rounding of a layer to the next tick.
    """
    steps = layer_ticks(problem, plan).sum(axis=1)
    return float(steps.max() if problem.cost.profiles == WORST else steps.sum())


# -- tokens ----------------------------------------------------------------------------------------


def _held(problem: PlacementProblem, tables: IntArray) -> FloatArray:
    """float64[..., H, E]: 1 where a rank holds an expert."""
    held = np.zeros((*tables.shape[:-1], problem.n_experts))
    np.put_along_axis(held, tables, 1.0, axis=-1)
    return held


def _equal(problem: PlacementProblem, tables: IntArray) -> FloatArray:
    """float64[P, L, H, C]: tokens of every slot where replicas share equally."""
    each = problem.counts / _held(problem, tables).sum(axis=1)
    layer = np.arange(len(tables))[:, None, None]
    return np.asarray(each[:, layer, tables])


def _followed(
    problem: PlacementProblem, plan: PlacementPlan, with_flow: bool
) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    """Yield the tokens of slots [P, H, C] and the flow [P, H, H], layer by layer."""
    tables = tables_of(problem, plan)
    if problem.traffic == CHAIN:
        yield from _chain(problem, tables, with_flow)
        return
    handled, split = None, plan.split if problem.dispatch == ADAPTIVE else None
    if split is not None:
        split = split[:, :, :, problem.live]
        handled = split.sum(axis=2).astype(np.float64)
    elif problem.dispatch != LOCAL:
        handled = _equal(problem, tables)
    for layer, table in enumerate(tables):
        start = _start(problem, layer) if with_flow or handled is None else np.zeros(0)
        if handled is None:
            mass, flow = _nearest(problem, _held(problem, table), start, with_flow)
            yield _slots(problem, layer, table, mass), flow
            continue
        flow = None
        if with_flow and split is not None and split.shape[2] > 1:
            flow = _lives(problem, split.shape[2]) @ split[:, layer].sum(axis=3)
        elif with_flow:
            flow = start @ _parts(problem, layer, table, handled[:, layer]).swapaxes(1, 2)
        yield handled[:, layer], flow


def _chain(
    problem: PlacementProblem, tables: IntArray, with_flow: bool
) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    n_live = len(problem.live)
    none = np.zeros((problem.n_profiles, n_live, n_live))
    if problem.dispatch != LOCAL:
        handled = _equal(problem, tables)
        for layer in range(problem.n_layers):
            flow = _pair(problem, tables, layer) if with_flow else None
            yield handled[:, layer], flow
        return
    held = _held(problem, tables[0])
    mass = np.broadcast_to(held, (problem.n_profiles, *held.shape))
    yield _slots(problem, 0, tables[0], mass), none if with_flow else None
    for layer in range(1, problem.n_layers):
        start = _shares(mass, held) @ _pairs(problem, layer)
        held = _held(problem, tables[layer])
        mass, flow = _nearest(problem, held, start, with_flow)
        yield _slots(problem, layer, tables[layer], mass), flow


def _pairs(problem: PlacementProblem, layer: int) -> FloatArray:
    """float64[P, E, E]: token pairs from the layer before."""
    assert problem.transitions is not None
    return problem.transitions[:, layer - 1].astype(np.float64)


def _pair(problem: PlacementProblem, tables: IntArray, layer: int) -> FloatArray:
    """float64[P, H, H]: a chain's flow where both replicas are drawn independently."""
    n_live = len(problem.live)
    if layer == 0:
        return np.zeros((problem.n_profiles, n_live, n_live))
    before, after = (_held(problem, table) for table in tables[layer - 1 : layer + 1])
    flow = (before / before.sum(axis=0)) @ _pairs(problem, layer) @ (after / after.sum(axis=0)).T
    return np.asarray(flow)


def _nearest(
    problem: PlacementProblem, held: FloatArray, start: FloatArray, with_flow: bool
) -> tuple[FloatArray, FloatArray | None]:
    """Send tokens [P, H, E] to the nearest replicas; return what arrives [P, H, E] and the flow."""
    node = problem.node[problem.live]
    member = (node[:, None] == np.arange(problem.n_nodes)).astype(np.float64)  # [H, N]
    near = (member.T @ held)[node]  # [H, E]: replicas in the node of each rank
    own = start * held
    inside = np.where((held == 0) & (near > 0), start, 0.0) / np.maximum(near, 1)
    outside = np.where(near == 0, start, 0.0) / held.sum(axis=0)
    mass = held * (own + member @ (member.T @ inside) + outside.sum(axis=1, keepdims=True))
    if not with_flow:
        return mass, None
    flow = (member @ member.T) * (inside @ held.T) + outside @ held.T
    at = np.arange(len(held))
    flow[:, at, at] += own.sum(axis=2)
    return mass, flow


def _shares(mass: FloatArray, held: FloatArray) -> FloatArray:
    """float64[P, H, E]: masses as parts of their expert's; even where there is none."""
    total = mass.sum(axis=1, keepdims=True)
    return np.where(total > 0, mass / np.where(total > 0, total, 1), held / held.sum(axis=0))


def _slots(problem: PlacementProblem, layer: int, table: IntArray, mass: FloatArray) -> FloatArray:
    """float64[P, H, C]: an expert's tokens, dealt to its slots as its mass is."""
    tokens = problem.counts[:, layer, None] * _shares(mass, _held(problem, table))
    return np.take_along_axis(tokens, np.broadcast_to(table, (len(tokens), *table.shape)), axis=2)


def _parts(
    problem: PlacementProblem, layer: int, table: IntArray, handled: FloatArray
) -> FloatArray:
    """float64[P, H, E]: part of each expert's tokens that a rank handles."""
    parts = np.zeros((problem.n_profiles, len(table), problem.n_experts))
    index = np.broadcast_to(table, handled.shape)
    np.put_along_axis(parts, index, handled, axis=2)
    return parts / np.maximum(problem.counts[:, layer, None], 1)


def _lives(problem: PlacementProblem, n_sources: int) -> FloatArray:
    """float64[H, Q]: part of a source's tokens that live on each live rank."""
    if n_sources == problem.n_ranks:
        return np.eye(n_sources)[problem.live]
    node = problem.node[problem.live] if n_sources > 1 else np.zeros(len(problem.live), np.int64)
    each = 1 / np.maximum(np.bincount(node, minlength=n_sources), 1)
    return np.asarray((node[:, None] == np.arange(n_sources)) * each)


def _start(problem: PlacementProblem, layer: int) -> FloatArray:
    """float64[P, H, E]: tokens where they live."""
    if problem.sources is None:
        even = problem.counts[:, layer, None] / len(problem.live)
        return np.repeat(even, len(problem.live), axis=1)
    return np.asarray(_lives(problem, problem.sources.shape[2]) @ problem.sources[:, layer])


# -- ticks -----------------------------------------------------------------------------------------


def _work(problem: PlacementProblem, layer: int, handled: FloatArray) -> FloatArray:
    """float64[P]: ticks of the busiest rank."""
    live = problem.live
    work = problem.token_ticks[:, live] * handled.sum(axis=2)
    if problem.cost.expert:
        total = problem.counts[:, layer].sum(axis=1)[:, None, None] / problem.top_k
        per_step = total * problem.scale[:, None, None]
        with np.errstate(divide="ignore"):
            active = -np.expm1(per_step * np.log1p(-np.minimum(handled / total, 1.0)))
        work = np.maximum(work, problem.expert_ticks[:, live] * active.sum(axis=2))
    return np.asarray(work.max(axis=1))


def _moved(problem: PlacementProblem, ticks: FloatArray) -> FloatArray:
    """float64[P]: ticks of a layer's transfers, given those of every pair of ranks."""
    if problem.cost.links == BUSIEST:
        return np.asarray(np.maximum(ticks.sum(axis=2), ticks.sum(axis=1)).max(axis=1))
    return np.asarray(ticks.sum(axis=(1, 2)))
