"""Placement problems and plans in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, field

from mapc.errors import InstanceError
from mapc.graph.devices import DeviceGraph
from mapc.graph.operators import IntArray
from mapc.instances.codec import Codec
from mapc.instances.columns import Index, Size, Strict, check_length, int64, mask
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import FloatArray, PlacementProblem, StepTime

Tokens = Annotated[int, Meta(ge=0, le=2**52, description="tokens of the window")]
Memory = Annotated[int, Meta(ge=0, le=2**63 - 1, description="bytes")]
Slot = Annotated[int, Meta(ge=-1, lt=2**31, description="expert; -1: none")]
Positive = Annotated[int, Meta(ge=1, lt=2**31)]
Triple = tuple[Index, Index, Index]


class PlacementUnits(Strict, frozen=True, kw_only=True):
    """What the numbers mean; times have the unit that ``cost`` names."""

    size: Literal["bytes"] = "bytes"
    load: Literal["tokens of the window"] = "tokens of the window"


class ProfileColumns(Strict, frozen=True, kw_only=True):
    """One entry per profile; ``counts`` is by profile, layer and expert."""

    name: list[str]
    weight: list[float]
    scale: Annotated[list[float], Meta(description="tokens of a step per token of the window")]
    counts: list[list[list[Tokens]]]


class LayerColumns(Strict, frozen=True, kw_only=True):
    """The layers that have experts: their index in the model, which may have more."""

    id: list[Index]
    of: Positive


class ClusterColumns(Strict, frozen=True, kw_only=True):
    """One entry per rank.

    Links between all pairs of ranks have the bandwidth ``intra`` inside a node and ``inter``
    between nodes, or that of a matrix (from, to; 0: no link), in bytes per unit of time.
    """

    name: list[str]
    node: list[Index]
    speed: list[float]
    memory: list[Memory]
    intra: float | None = None
    inter: float | None = None
    bandwidth: list[list[float]] | None = None
    latency: list[list[float]] | None = None
    dead: Annotated[list[Index], Meta(description="ranks")] = field(default_factory=list)


class CostFields(Strict, frozen=True, kw_only=True):
    """What a step is made of, in the unit named."""

    token: float = 1.0
    expert: float = 0.0
    layer: float = 0.0
    transfer: float = 0.0
    links: Literal["sum", "busiest"] = "sum"
    overlap: bool = False
    profiles: Literal["expected", "worst"] = "expected"
    unit: str = "tokens"


class PlacementBody(Strict, frozen=True, kw_only=True):
    """A placement problem: an expert for every slot of every rank, least modelled step time."""

    profiles: ProfileColumns
    layers: LayerColumns
    cluster: ClusterColumns
    slots: Annotated[Positive, Meta(description="per rank and layer")]
    cost: CostFields = field(default_factory=CostFields)
    traffic: Literal["none", "chain", "home"] = "none"
    dispatch: Literal["equal", "local", "adaptive"] = "equal"
    transitions: Annotated[
        list[list[list[list[Tokens]]]] | None,
        Meta(description="by profile, layer, expert there and in the next layer"),
    ] = None
    sources: Annotated[
        list[list[list[list[Tokens]]]] | None,
        Meta(description="by profile, layer, rank or node, expert"),
    ] = None
    top_k: Positive = 1
    groups: Positive = 1
    expert_bytes: Size = 0
    current: Annotated[list[list[list[Slot]]] | None, Meta(description="by layer, rank, slot")] = (
        None
    )
    max_moves: Annotated[int, Meta(ge=0, lt=2**53)] | None = None
    pinned: Annotated[list[Triple], Meta(description="layer, expert, rank")] = field(
        default_factory=list
    )
    forbidden: Annotated[list[Triple], Meta(description="layer, expert, rank")] = field(
        default_factory=list
    )
    max_imbalance: float | None = None


class PlacementPlanColumns(Strict, frozen=True, kw_only=True):
    """The plan of a placement problem: the expert in every slot, by layer, rank, slot.

    ``split`` is by profile, layer, source, rank, slot.
    """

    slots: list[list[list[Slot]]]
    split: list[list[list[list[list[Tokens]]]]] | None = None


# -- writing -------------------------------------------------------------------------------------


def _to_body(problem: PlacementProblem) -> PlacementBody:
    return PlacementBody(
        profiles=ProfileColumns(
            name=list(problem.profiles),
            weight=problem.weight.tolist(),
            scale=problem.scale.tolist(),
            counts=problem.counts.tolist(),
        ),
        layers=LayerColumns(id=problem.layer_ids.tolist(), of=int(problem.model_layers)),
        cluster=_to_cluster(problem),
        slots=int(problem.slots),
        cost=_to_cost(problem.cost),
        traffic=problem.traffic,  # type: ignore[arg-type]
        dispatch=problem.dispatch,  # type: ignore[arg-type]
        transitions=_nested(problem.transitions),
        sources=_nested(problem.sources),
        top_k=int(problem.top_k),
        groups=int(problem.groups),
        expert_bytes=int(problem.expert_bytes),
        current=_nested(problem.current),
        max_moves=None if problem.max_moves is None else int(problem.max_moves),
        pinned=[tuple(row) for row in problem.pinned.tolist()],
        forbidden=[tuple(row) for row in problem.forbidden.tolist()],
        max_imbalance=None if problem.max_imbalance is None else float(problem.max_imbalance),
    )


def _nested(array: IntArray | None) -> Any:
    return None if array is None else array.tolist()


def _to_cost(cost: StepTime) -> CostFields:
    # whole numbers given where floats are meant must not change the hash
    return CostFields(
        token=float(cost.token),
        expert=float(cost.expert),
        layer=float(cost.layer),
        transfer=float(cost.transfer),
        links=cost.links,  # type: ignore[arg-type]
        overlap=bool(cost.overlap),
        profiles=cost.profiles,  # type: ignore[arg-type]
        unit=cost.unit,
    )


def _to_cluster(problem: PlacementProblem) -> ClusterColumns:
    cluster = problem.cluster
    links = _to_links(cluster)
    latency = None
    if cluster.latency.any():
        latency = _matrix(cluster, cluster.latency).tolist()
    return ClusterColumns(
        name=list(cluster.names),
        node=cluster.node.tolist(),
        speed=cluster.speed.tolist(),
        memory=cluster.memory.tolist(),
        dead=np.flatnonzero(problem.dead).tolist(),
        latency=latency,
        **links,
    )


def _to_links(cluster: DeviceGraph) -> dict[str, Any]:
    """Two numbers where they say it all, otherwise the matrix; nothing without links."""
    n = len(cluster.names)
    if not len(cluster.bandwidth):
        return {}
    matrix = _matrix(cluster, cluster.bandwidth)
    same = cluster.node[:, None] == cluster.node
    apart = ~np.eye(n, dtype=np.bool_)
    found = {}
    for name, pairs in (("intra", same & apart), ("inter", ~same)):
        values = np.unique(matrix[pairs])
        if len(values) > 1 or (values == 0).any():
            return {"bandwidth": matrix.tolist()}
        found[name] = float(values[0]) if len(values) else None
    return found


def _matrix(cluster: DeviceGraph, values: FloatArray) -> FloatArray:
    n = len(cluster.names)
    matrix = np.zeros((n, n))
    matrix[cluster.link_source, cluster.link_target] = values
    return matrix


# -- reading -------------------------------------------------------------------------------------


def _from_body(
    body: PlacementBody, name: str, provenance: Mapping[str, Any], where: str
) -> PlacementProblem:
    profiles, cluster = body.profiles, _from_cluster(body.cluster, f"{where}.cluster")
    n_profiles, n_layers, n_ranks = len(profiles.name), len(body.layers.id), len(cluster.names)
    first = profiles.counts[0][0] if profiles.counts and profiles.counts[0] else []
    check_length(profiles.weight, n_profiles, f"{where}.profiles.weight")
    check_length(profiles.scale, n_profiles, f"{where}.profiles.scale")
    by_profile, n_experts = (n_profiles, n_layers), len(first)
    pairs = (n_profiles, max(n_layers - 1, 0), n_experts, n_experts)
    lives = (*by_profile, None, n_experts)
    table = (n_layers, n_ranks, body.slots)
    return PlacementProblem(
        name=name,
        counts=_block(profiles.counts, (*by_profile, n_experts), f"{where}.profiles.counts"),
        profiles=tuple(profiles.name),
        weight=_floats(profiles.weight),
        scale=_floats(profiles.scale),
        cluster=cluster,
        slots=body.slots,
        cost=StepTime(**{key: getattr(body.cost, key) for key in body.cost.__struct_fields__}),
        traffic=body.traffic,
        dispatch=body.dispatch,
        transitions=_optional(body.transitions, pairs, f"{where}.transitions"),
        sources=_optional(body.sources, lives, f"{where}.sources"),
        top_k=body.top_k,
        layer_ids=int64(body.layers.id),
        model_layers=body.layers.of,
        groups=body.groups,
        expert_bytes=body.expert_bytes,
        current=_optional(body.current, table, f"{where}.current"),
        max_moves=body.max_moves,
        pinned=_triples(body.pinned),
        forbidden=_triples(body.forbidden),
        dead=mask(body.cluster.dead, n_ranks, f"{where}.cluster.dead"),
        max_imbalance=body.max_imbalance,
        provenance=provenance,
    )


def _from_cluster(columns: ClusterColumns, where: str) -> DeviceGraph:
    n = len(columns.name)
    node = int64(columns.node)
    for name in ("node", "speed", "memory"):
        check_length(getattr(columns, name), n, f"{where}.{name}")
    matrix = _bandwidth(columns, node, where)
    source, target = np.nonzero(matrix)
    latency = np.zeros((n, n))
    if columns.latency is not None:
        latency = _square(columns.latency, n, f"{where}.latency")
    return DeviceGraph(
        names=tuple(columns.name),
        memory=int64(columns.memory),
        node=node,
        speed=_floats(columns.speed),
        link_source=source,
        link_target=target,
        bandwidth=matrix[source, target],
        latency=latency[source, target],
    )


def _bandwidth(columns: ClusterColumns, node: IntArray, where: str) -> FloatArray:
    n = len(node)
    two = [value for value in (columns.intra, columns.inter) if value is not None]
    if columns.bandwidth is not None:
        if two:
            raise InstanceError("beside intra or inter", f"{where}.bandwidth", "one or the other")
        return _square(columns.bandwidth, n, f"{where}.bandwidth")
    apart = ~np.eye(n, dtype=np.bool_)
    same = node[:, None] == node
    matrix = np.zeros((n, n))
    for value, pairs in ((columns.intra, same & apart), (columns.inter, ~same)):
        if value is not None:
            matrix[pairs] = value
    return matrix


def _square(rows: list[list[float]], n: int, where: str) -> FloatArray:
    check_length(rows, n, where)
    for i, row in enumerate(rows):
        check_length(row, n, f"{where}[{i}]")
    matrix = np.array(rows, dtype=np.float64).reshape(n, n)
    if np.diagonal(matrix).any():
        at = int(np.diagonal(matrix).nonzero()[0][0])
        raise InstanceError(f"{matrix[at, at]}", f"{where}[{at}][{at}]", "0 on the diagonal")
    return matrix


def _optional(rows: Any, shape: tuple[int | None, ...], where: str) -> IntArray | None:
    return None if rows is None else _block(rows, shape, where)


def _block(rows: Any, shape: tuple[int | None, ...], where: str) -> IntArray:
    """Return nested lists as int64; a length of None is that of the first list there."""
    found: list[int] = []
    waiting, places = [rows], [""]
    for depth, length in enumerate(shape):
        expected = length if length is not None else len(waiting[0]) if waiting else 0
        for place, row in zip(places, waiting, strict=True):
            check_length(row, expected, f"{where}{place}")
        found.append(expected)
        if depth + 1 < len(shape):
            places = [f"{place}[{i}]" for place in places for i in range(expected)]
            waiting = [inner for row in waiting for inner in row]
    return np.array(rows, dtype=np.int64).reshape(found)


def _triples(rows: Sequence[Triple]) -> IntArray:
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _floats(column: Sequence[float]) -> FloatArray:
    return np.asarray(column, dtype=np.float64)


def _to_columns(plan: PlacementPlan) -> PlacementPlanColumns:
    return PlacementPlanColumns(slots=plan.slots.tolist(), split=_nested(plan.split))


def _from_columns(
    columns: PlacementPlanColumns, problem: PlacementProblem, where: str
) -> PlacementPlan:
    table = (problem.n_layers, problem.n_ranks, problem.slots)
    by_source = (problem.n_profiles, problem.n_layers, None, *table[1:])
    return PlacementPlan(
        _block(columns.slots, table, f"{where}.slots"),
        _optional(columns.split, by_source, f"{where}.split"),
    )


CODEC = Codec(
    kind="placement",
    problem_type=PlacementProblem,
    plan_type=PlacementPlan,
    body_type=PlacementBody,
    columns_type=PlacementPlanColumns,
    to_body=_to_body,
    from_body=_from_body,
    to_columns=_to_columns,
    from_columns=_from_columns,
    units=PlacementUnits(),
)
