"""The rules a placement problem must meet.

Every check looks at whole arrays; only the first offender is turned into words.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.checks.loads_validation import (
    check_counts,
    check_profiles,
    check_sources,
    check_transitions,
)
from mapc.models.placement.checks.naming import check_shape, first
from mapc.models.placement.checks.ranks_validation import (
    check_cluster,
    check_current,
    check_slots,
    check_triples,
)
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    NONE,
    SUM,
    WORST,
    PlacementProblem,
    StepTime,
)

TIMES = 2.0**-900, 2.0**900
"""What all times together may come to, so that they can be counted in ticks."""

_KINDS = {"i": "int64", "f": "float64", "b": "bool"}


def check_types(problem: PlacementProblem) -> None:
    """Refuse what is no array of the right kind and number of axes; the sizes come later."""
    if not isinstance(problem.cluster, DeviceGraph):
        raise InstanceError(type(problem.cluster).__name__, "cluster", "a DeviceGraph")
    for name, kind, axes in (
        ("counts", "i", 3),
        ("weight", "f", 1),
        ("scale", "f", 1),
        ("transitions", "i", 4),
        ("sources", "i", 4),
        ("layer_ids", "i", 1),
        ("current", "i", 3),
        ("pinned", "i", 2),
        ("forbidden", "i", 2),
        ("dead", "b", 1),
    ):
        array = getattr(problem, name)
        if array is None and name in ("transitions", "sources", "current"):
            continue
        dtype = getattr(array, "dtype", None)
        if not isinstance(array, np.ndarray) or dtype != _KINDS[kind]:
            found = type(array).__name__ if dtype is None else f"an array of {dtype}"
            raise InstanceError(found, name, f"an array of {_KINDS[kind]}")
        if array.ndim != axes:
            raise InstanceError(f"shape {array.shape}", name, f"{axes} axes")


def validate(problem: PlacementProblem) -> None:
    """Raise ``InstanceError`` for the first broken rule of `PlacementProblem`."""
    _check_shapes(problem)
    check_counts(problem)
    check_profiles(problem)
    _check_layers(problem)
    _check_scalars(problem)
    _check_cost(problem)
    check_cluster(problem)
    check_slots(problem)
    check_transitions(problem)
    check_sources(problem)
    check_current(problem)
    check_triples(problem)
    _check_limits(problem)


def check_range(problem: PlacementProblem) -> None:
    """Refuse times that cannot be counted in ticks, once weights are known to sum to 1."""
    with np.errstate(all="ignore"):
        tick = problem.tick
        names = ("token_ticks", "expert_ticks", "pair_ticks", "layer_ticks")
        most = max(float(getattr(problem, name).max()) for name in names)
    if not TIMES[0] <= tick <= TIMES[1] or not most <= 2.0**53:
        raise InstanceError(
            "the times of a step are too large or too small to count",
            "cost",
            f"costs, scales and bandwidths that give times of {TIMES[0]:.0e} to {TIMES[1]:.0e}",
        )


# -- sizes -----


def _check_shapes(problem: PlacementProblem) -> None:
    shape = problem.counts.shape
    if not problem.counts.size:
        raise InstanceError(f"shape {shape}", "counts", "at least 1 profile, layer and expert")
    n_ranks = len(problem.cluster.names)
    if not n_ranks:
        raise InstanceError("no ranks", "cluster", "at least one")
    n_profiles, n_layers, n_experts = shape
    if len(problem.profiles) != n_profiles:
        raise InstanceError(
            f"{len(problem.profiles)} names", "profiles", f"{n_profiles}, as counts has"
        )
    check_shape("weight", problem.weight, (n_profiles,))
    check_shape("scale", problem.scale, (n_profiles,))
    check_shape("layer_ids", problem.layer_ids, (n_layers,))
    check_shape("dead", problem.dead, (n_ranks,))
    for name in ("pinned", "forbidden"):
        triples = getattr(problem, name)
        check_shape(name, triples, (len(triples), 3))
    if problem.transitions is not None:
        pairs = (n_profiles, n_layers - 1, n_experts, n_experts)
        check_shape("transitions", problem.transitions, pairs)


# -- single values ------


def _check_scalars(problem: PlacementProblem) -> None:
    _word("traffic", problem.traffic, (NONE, CHAIN, HOME))
    _word("dispatch", problem.dispatch, (EQUAL, LOCAL, ADAPTIVE))
    if problem.traffic == CHAIN and problem.dispatch == ADAPTIVE:
        raise InstanceError("adaptive with chain traffic", "dispatch", f"{EQUAL} or {LOCAL}")
    for name, least, most in (
        ("slots", 1, 2**31 - 1),
        ("top_k", 1, problem.n_experts),
        ("groups", 1, problem.n_experts),
        ("model_layers", 1, 2**31 - 1),
        ("expert_bytes", 0, 2**50),
    ):
        value = getattr(problem, name)
        if not _whole(value) or not least <= value <= most:
            raise InstanceError(f"{value!r}", name, f"a whole number {least} to {most}")
    if problem.n_experts % problem.groups:
        raise InstanceError(
            f"{problem.groups} groups of {problem.n_experts} experts", "groups", "equal groups"
        )


def _check_cost(problem: PlacementProblem) -> None:
    cost = problem.cost
    if not isinstance(cost, StepTime):
        raise InstanceError(type(cost).__name__, "cost", "a StepTime")
    for name in ("token", "expert", "layer", "transfer"):
        value = getattr(cost, name)
        if not _number(value) or not 0 <= value < math.inf:
            raise InstanceError(f"{value!r}", f"cost.{name}", "a finite number >= 0")
    _word("cost.links", cost.links, (SUM, BUSIEST))
    _word("cost.profiles", cost.profiles, (EXPECTED, WORST))
    if not isinstance(cost.overlap, bool | np.bool_):
        raise InstanceError(f"{cost.overlap!r}", "cost.overlap", "true or false")
    if not isinstance(cost.unit, str):
        raise InstanceError(f"{cost.unit!r}", "cost.unit", "a word")


def _word(name: str, value: Any, right: tuple[str, ...]) -> None:
    if value not in right:
        raise InstanceError(f"{value!r}", name, ", ".join(right))


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _check_layers(problem: PlacementProblem) -> None:
    ids = problem.layer_ids
    if ids[0] < 0:
        raise InstanceError(f"{ids[0]}", "layer_ids[0]", "an index >= 0")
    at = first(np.diff(ids) <= 0)
    if at:
        i = at[0] + 1
        raise InstanceError(f"{ids[i]} after {ids[i - 1]}", f"layer_ids[{i}]", "increasing ones")
    if _whole(problem.model_layers) and ids[-1] >= problem.model_layers:
        raise InstanceError(
            f"layer {ids[-1]} of a model of {problem.model_layers} layers",
            f"layer_ids[{len(ids) - 1}]",
            f"at most {problem.model_layers - 1}",
        )


def _check_limits(problem: PlacementProblem) -> None:
    moves, limit = problem.max_moves, problem.max_imbalance
    if moves is not None:
        if not _whole(moves) or not 0 <= moves < 2**53:
            raise InstanceError(f"{moves!r}", "max_moves", "none, or a whole number >= 0")
        if problem.current is None:
            raise InstanceError(
                f"{moves} moves, from no placement", "max_moves", "a current placement beside it"
            )
    if limit is not None and (not _number(limit) or not 1 <= limit < math.inf):
        raise InstanceError(
            f"{limit!r}", "max_imbalance", "none, or a multiple of the mean load, at least 1"
        )
