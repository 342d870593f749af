"""The placement problem: which logical expert sits in which slot of which rank, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.graph.devices import DeviceGraph
from mapc.graph.operators import BoolArray, IntArray

FloatArray = NDArray[np.float64]

NONE, CHAIN, HOME = "none", "chain", "home"
"""Traffic models: none is paid for; tokens stay with their expert; tokens return to their rank."""
EQUAL, LOCAL, ADAPTIVE = "equal", "local", "adaptive"
"""Dispatch rules: each replica its equal part; the nearest replicas; as the plan's split says."""
SUM, BUSIEST = "sum", "busiest"
"""Transfers of a layer add up, or the busiest rank's incoming or outgoing side counts."""
EXPECTED, WORST = "expected", "worst"
"""Over profiles: the weighted mean step, or the slowest profile's step."""


@dataclass(frozen=True)
class StepTime:
    """What a step is made of: costs in one unit of time, for a rank of speed 1.

    A layer of one profile costs ``layer`` plus the work of its busiest rank, plus its transfers
    (the larger of the two with ``overlap``). A rank's work is the larger of its tokens times
    ``token`` (compute-bound: prefill) and its expected activated experts times ``expert``
    (memory-bound: decode). A transfer of one token from rank g to rank h costs ``transfer``
    divided by the bandwidth of that link.

    Attributes
    ----------
    token : float
        Per (token, expert) pair, e.g. ``6 * hidden * ffn / FLOPS``; >= 0.
    expert : float
        Per activated expert, e.g. expert bytes / memory bandwidth; >= 0.
    layer : float
        Per layer: attention and latencies; >= 0. It changes no decision.
    transfer : float
        Bytes per token, dispatch and combine together; 0: transfers cost nothing.
    links : str
        ``SUM`` or ``BUSIEST``.
    overlap : bool
        Whether transfers run beside the work (two micro-batches).
    profiles : str
        ``EXPECTED`` or ``WORST``.
    unit : str
        For people: ``"s"``, ``"tokens"``, ``"balanced layers"``.
    """

    token: float = 1.0
    expert: float = 0.0
    layer: float = 0.0
    transfer: float = 0.0
    links: str = SUM
    overlap: bool = False
    profiles: str = EXPECTED
    unit: str = "tokens"


@dataclass(frozen=True, eq=False)
class PlacementProblem:
    """Fill ``slots`` slots of every live rank, in every layer, with experts.

    P profiles, L layers, E experts, G ranks, N nodes. Rules: every expert somewhere in every layer;
    ``slots`` different experts on every live rank, none on a dead one; pins, forbidden pairs, the
    load limit and the migration budget hold.

    Attributes
    ----------
    name : str
    counts : int64[P, L, E]
        Tokens routed to each expert in the window a profile was recorded in; >= 0, every layer of
        every profile has some.
    profiles : tuple of str
    weight : float64[P]
        Importance of each profile, > 0; kept with sum 1.
    scale : float64[P]
        Tokens of a step per token of the window, > 0.
    cluster : DeviceGraph
        One device per rank; ``node``, ``speed``, ``memory`` in bytes, and links between every pair
        of ranks where transfers cost something.
    slots : int
        Per live rank and layer.
    cost : StepTime
    traffic : str
        ``NONE``, ``CHAIN`` (needs ``transitions``) or ``HOME``.
    dispatch : str
        ``EQUAL``, ``LOCAL`` or ``ADAPTIVE`` (not with ``CHAIN``; with ``HOME`` needs ``sources``).
    transitions : int64[P, L - 1, E, E] or None
        Token pairs from an expert of a layer to one of the next.
    sources : int64[P, L, Q, E] or None
        Tokens by where they live, summing to ``counts`` over Q: Q = G ranks, or Q = N nodes (then
        spread evenly over the ranks of the node). None: spread evenly over all live ranks.
    top_k : int
        Experts per token.
    layer_ids : int64[L]
        Index of each layer in the model, increasing; e.g. 3 to 60.
    model_layers : int
        Layers of the whole model, dense ones included.
    groups : int
        Expert groups, for EPLB's hierarchical rule; divides E.
    expert_bytes : int
        Weights of one expert of one layer; 0: unknown, memory is not checked.
    current : int64[L, G, slots] or None
        The placement in force; -1: empty or lost.
    max_moves : int or None
        Most new (layer, expert, rank) triples beside ``current``.
    pinned, forbidden : int64[k, 3]
        (layer, expert, rank) that must, and must not, hold.
    dead : bool[G]
        Ranks that hold nothing.
    max_imbalance : float or None
        Most load of a rank per profile and layer, as a multiple of the mean load; loads are divided
        by speed. >= 1.
    provenance : mapping

    Raises
    ------
    InstanceError
        For all of the above that does not hold: what, where, and what would be right.
    """

    name: str
    counts: IntArray
    profiles: tuple[str, ...]
    weight: FloatArray
    scale: FloatArray
    cluster: DeviceGraph
    slots: int
    cost: StepTime = field(default_factory=StepTime)
    traffic: str = NONE
    dispatch: str = EQUAL
    transitions: IntArray | None = None
    sources: IntArray | None = None
    top_k: int = 1
    layer_ids: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    model_layers: int = 0
    groups: int = 1
    expert_bytes: int = 0
    current: IntArray | None = None
    max_moves: int | None = None
    pinned: IntArray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    forbidden: IntArray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    dead: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    max_imbalance: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        from mapc.models.placement.checks.validation import check_range, check_types, validate

        check_types(self)
        # what may be left out, filled in; validation sees the whole
        if not len(self.layer_ids):
            object.__setattr__(self, "layer_ids", np.arange(self.n_layers, dtype=np.int64))
        if not self.model_layers and len(self.layer_ids):
            object.__setattr__(self, "model_layers", int(self.layer_ids[-1]) + 1)
        if not len(self.dead):
            object.__setattr__(self, "dead", np.zeros(self.n_ranks, dtype=np.bool_))
        validate(self)
        total = float(self.weight.sum())
        if abs(total - 1) > 1e-12:  # what has been divided once stays as it is, also from a file
            object.__setattr__(self, "weight", self.weight / total)
        check_range(self)
        for array in (self.counts, self.weight, self.scale, self.transitions, self.sources):
            if array is not None:
                array.setflags(write=False)

    def replace(self, **changes: Any) -> PlacementProblem:
        """Return the problem with other attributes, checked again."""
        return replace(self, **changes)

    # -- shape -------------------------------------------------------------------------------

    @property
    def n_profiles(self) -> int:
        """P."""
        return int(self.counts.shape[0])

    @property
    def n_layers(self) -> int:
        """L."""
        return int(self.counts.shape[1])

    @property
    def n_experts(self) -> int:
        """E."""
        return int(self.counts.shape[2])

    @property
    def n_ranks(self) -> int:
        """G, dead ones included."""
        return len(self.cluster.names)

    @cached_property
    def live(self) -> IntArray:
        """int64: the ranks that hold experts."""
        return np.flatnonzero(~self.dead).astype(np.int64)

    @property
    def n_slots(self) -> int:
        """S: slots per layer on all live ranks."""
        return len(self.live) * self.slots

    @cached_property
    def node(self) -> IntArray:
        """int64[G]: the node of every rank, numbered 0 to N - 1 in order of first appearance."""
        names, first, inverse = np.unique(self.cluster.node, return_index=True, return_inverse=True)
        order = np.empty(len(names), dtype=np.int64)
        order[np.argsort(first)] = np.arange(len(names))
        return order[inverse]

    @property
    def n_nodes(self) -> int:
        """N."""
        return int(self.node.max()) + 1

    @cached_property
    def pair(self) -> FloatArray:
        """float64[G, G]: cost of moving one token from rank to rank, in the unit of ``cost``."""
        cluster = self.cluster
        cost = np.zeros((self.n_ranks, self.n_ranks))
        if self.cost.transfer:
            cost[cluster.link_source, cluster.link_target] = self.cost.transfer / cluster.bandwidth
        return cost

    # -- what a rule or a cost needs -----------------------------------------------------------

    @property
    def balance_only(self) -> bool:
        """Whether transfers cost nothing: layers are independent but for the migration budget."""
        return self.traffic == NONE or not self.cost.transfer

    @cached_property
    def allowed(self) -> BoolArray:
        """bool[L, E, G]: false where forbidden or dead; pins are not said here."""
        allowed = np.ones((self.n_layers, self.n_experts, self.n_ranks), dtype=np.bool_)
        allowed[:, :, self.dead] = False
        layer, expert, rank = self.forbidden.T
        allowed[layer, expert, rank] = False
        return allowed

    @property
    def free(self) -> bool:
        """Whether any table of slots is allowed: no pins, forbidden pairs, dead ranks, budget."""
        bound = len(self.pinned) or len(self.forbidden) or self.dead.any()
        return not bound and not self.budgeted and self.max_imbalance is None

    @property
    def budgeted(self) -> bool:
        """Whether a budget of moves excludes any table."""
        return self.max_moves is not None and self.max_moves < self.n_layers * self.n_slots

    # -- exact arithmetic ----------------------------------------------------------------------

    @cached_property
    def factor(self) -> FloatArray:
        """float64[P]: what a profile's time of the window counts for in the objective.

        ``weight * scale``; under ``WORST`` the slowest profile counts whatever its weight.
        """
        return self.scale * (self.weight if self.cost.profiles == EXPECTED else 1.0)

    @cached_property
    def tick(self) -> float:
        """The power of two in whose multiples times are counted.

        No objective reaches 2**53 ticks, so that sums of ticks are exact in float64 and int64, and
        "optimal" means equal integers.
        """
        cost, total = self.cost, 0.0
        slowest = float(1 / self.cluster.speed.min())
        for p in range(self.n_profiles):
            tokens = float(self.counts[p].sum())
            time = tokens * cost.token * slowest * self.factor[p]
            weight = self.factor[p] / self.scale[p]  # activated experts are counted per step
            time += self.n_layers * self.n_experts * cost.expert * slowest * weight
            time += self.n_layers * cost.layer * weight
            moved = tokens if self.transitions is None else float(self.transitions[p].sum())
            total += time + max(moved, tokens) * float(self.pair.max()) * self.factor[p]
        return math.ldexp(1.0, math.frexp(total)[1] - 51) if total > 0 else 1.0

    @cached_property
    def token_ticks(self) -> FloatArray:
        """float64[P, G], whole numbers: ticks per token of the window on each rank."""
        per_rank = self.cost.token / self.cluster.speed
        return np.rint(np.multiply.outer(self.factor, per_rank) / self.tick)

    @cached_property
    def expert_ticks(self) -> FloatArray:
        """float64[P, G], whole numbers: ticks per activated expert on each rank."""
        per_rank = self.cost.expert / self.cluster.speed
        return np.rint(np.multiply.outer(self.factor / self.scale, per_rank) / self.tick)

    @cached_property
    def pair_ticks(self) -> FloatArray:
        """float64[P, G, G], whole numbers: ticks per token of the window moved rank to rank."""
        return np.rint(np.multiply.outer(self.factor, self.pair) / self.tick)

    @cached_property
    def layer_ticks(self) -> FloatArray:
        """float64[P], whole numbers: ticks of a layer without its experts."""
        return np.rint(self.factor / self.scale * self.cost.layer / self.tick)

    def activated(self, replicas: IntArray | int = 1) -> FloatArray:
        """float64[P, L, E]: expected activated copies per replica and step.

        A step has ``scale * total / top_k`` tokens, each of which picks a replica of an expert that
        has r of them with probability ``counts * top_k / total / r``, independently.

        Parameters
        ----------
        replicas : int or int64 broadcast to [P, L, E]
            Copies of every expert, >= 1.
        """
        total = self.counts.sum(axis=2, keepdims=True) / self.top_k
        tokens = total * self.scale[:, None, None]
        chance = np.minimum(self.counts / total / replicas, 1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(tokens * np.log1p(-chance)))
