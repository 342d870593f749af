"""Synthetic placement problems: Dirichlet loads, planted transitions, nodes of equal ranks.

Loads of an expert over a layer are a symmetric Dirichlet draw. Fitted to the recorded loads of
DeepSeek-V3 its concentration is about 1.0 for prefill and 1.8 for decode.
"""

from __future__ import annotations

import numpy as np

from mapc.errors import UsageError
from mapc.graph.devices import DeviceGraph
from mapc.graph.operators import IntArray
from mapc.instances.generators.transitions import synthesise
from mapc.models.placement.problem import CHAIN, EQUAL, LOCAL, NONE, PlacementProblem, StepTime

PREFILL, DECODE = 1.0, 1.8
"""Concentrations of the Dirichlet draws."""
INTRA, INTER = 8.0, 1.0
"""Bandwidths inside a node and between nodes, in tokens per unit of time."""
_MEMORY = 2**62


def generate(
    layers: int,
    experts: int,
    ranks: int,
    slots: int | None = None,
    nodes: int = 1,
    profiles: int = 1,
    transitions: float | None = None,
    tokens: int = 2**20,
    top_k: int = 8,
    seed: int = 0,
) -> PlacementProblem:
    """Return a random problem; equal arguments give equal problems.

    Parameters
    ----------
    layers, experts, ranks : int
        At least 1.
    slots : int, optional
        Per rank and layer, at most ``experts``; by default as few as hold all experts.
    nodes : int
        Divides ``ranks``.
    profiles : int
        The first half (rounded up) are of prefill, the others of decode.
    transitions : float, optional
        ``eta`` of `synthesise`. Given, tokens stay where their expert is and pay for what they
        move, ``INTER`` and ``INTRA`` apart; dispatch is local where there are replicas. Left out,
        only balance counts.
    tokens : int
        (token, expert) pairs of every layer and profile, at least 1.
    top_k : int
        Experts per token, at most ``experts``.
    seed : int

    Raises
    ------
    UsageError
        For an argument out of range.
    """
    top_k = min(top_k, experts)
    slots = -(-experts // max(ranks, 1)) if slots is None else slots
    _check(layers, experts, ranks, slots, nodes, profiles, tokens, top_k)
    if transitions is not None and not 0 <= transitions <= 1:
        raise UsageError(f"transitions {transitions}: expected 0 to 1")
    rng = np.random.default_rng([seed, layers, experts])
    prefill = (profiles + 1) // 2
    counts = np.stack(
        [_loads(rng, PREFILL if p < prefill else DECODE, layers, experts, tokens)
         for p in range(profiles)]
    )  # fmt: skip
    chain = transitions is not None
    pairs = None
    if transitions is not None:
        # the same seed: profiles differ in loads, a model has its favourite successors
        pairs = np.stack(
            [synthesise(c, eta=transitions, successors=min(8, experts), seed=seed) for c in counts]
        )
    return PlacementProblem(
        name=f"placement-{layers}x{experts}-{ranks}x{slots}-{seed}",
        counts=counts,
        profiles=tuple(f"prefill{p}" for p in range(prefill))
        + tuple(f"decode{p}" for p in range(profiles - prefill)),
        weight=np.ones(profiles),
        scale=np.ones(profiles),
        cluster=DeviceGraph.cluster([ranks // nodes] * nodes, _MEMORY, INTRA, INTER),
        slots=slots,
        cost=StepTime(transfer=1.0 if chain else 0.0),
        traffic=CHAIN if chain else NONE,
        dispatch=LOCAL if chain and ranks * slots > experts else EQUAL,
        transitions=pairs,
        top_k=top_k,
        provenance={"generator": "placement", "seed": seed},
    )


def _check(
    layers: int,
    experts: int,
    ranks: int,
    slots: int,
    nodes: int,
    profiles: int,
    tokens: int,
    top_k: int,
) -> None:
    for name, value, top in (
        ("layers", layers, 10**4),
        ("experts", experts, 10**5),
        ("ranks", ranks, 10**5),
        ("slots", slots, experts),
        ("nodes", nodes, ranks),
        ("profiles", profiles, 10**3),
        ("tokens", tokens, 2**40),
        ("top-k", top_k, experts),
    ):
        if not 1 <= value <= top:
            raise UsageError(f"{name} {value}: expected 1 to {top}")
    if ranks % nodes:
        raise UsageError(f"{ranks} ranks on {nodes} nodes: expected as many ranks on every node")
    if ranks * slots < experts:
        raise UsageError(
            f"{slots} slots on {ranks} ranks: expected room for {experts} experts, "
            f"{-(-experts // ranks)} slots or more"
        )


def _loads(
    rng: np.random.Generator, concentration: float, layers: int, experts: int, tokens: int
) -> IntArray:
    """int64[layers, experts]: counts that sum to ``tokens`` in every layer."""
    part = rng.dirichlet(np.full(experts, concentration), layers)
    ends = np.rint(np.cumsum(part, axis=1) * tokens).astype(np.int64)
    ends[:, -1] = tokens
    return np.diff(ends, axis=1, prepend=0)
