"""What a recording of expert loads says, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray


@dataclass(frozen=True, eq=False)
class Profile:
    """Loads recorded under one kind of traffic.

    Attributes
    ----------
    name : str
    counts : int64[R, E]
        Tokens routed to each expert, by row of the file; a row without tokens is a dense layer.
    transitions : callable, optional
        ``transitions(rows)``: int64[len(rows) - 1, E, E], token pairs between one of these rows
        and the next.
    sources : callable, optional
        ``sources(rows, n_ranks)``: int64[len(rows), n_ranks, E], tokens by the rank they live on.
    """

    name: str
    counts: IntArray
    transitions: Callable[[IntArray], IntArray] | None = None
    sources: Callable[[IntArray, int], IntArray] | None = None


@dataclass(frozen=True, eq=False)
class Recording:
    """Expert loads of a model.

    Attributes
    ----------
    name : str
    profiles : tuple of Profile
    top_k : int or None
        Experts per token, where the file says so.
    layer_ids : int64[R] or None
        Index of every row in the model, where the file says so.
    raw : bool
        Whether tokens are few enough to be counted one by one rather than in balanced layers.
    current : int64[R, S] or None
        Logical expert of every slot at the time; -1: empty.
    provenance : mapping
    """

    name: str
    profiles: tuple[Profile, ...]
    top_k: int | None = None
    layer_ids: IntArray | None = None
    raw: bool = False
    current: IntArray | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def to_logical(load: IntArray, slots: IntArray, n_experts: int, where: str) -> IntArray:
    """Return loads of slots as loads of the experts in them.

    Parameters
    ----------
    load : int64[R, S]
    slots : int64[R, S]
        Logical expert of every slot; -1: empty.
    n_experts : int
    where : str

    Returns
    -------
    int64[R, E]

    Raises
    ------
    InstanceError
        For tables of different shape.
    """
    if load.shape != slots.shape or load.ndim != 2:
        raise InstanceError(f"shape {load.shape}", where, f"{slots.shape}, as the map of its slots")
    experts = np.zeros((len(load), n_experts), dtype=np.int64)
    row, slot = np.nonzero(slots >= 0)
    np.add.at(experts, (row, slots[row, slot]), load[row, slot])
    return experts


def routed_counts(ids: IntArray, n_experts: int) -> IntArray:
    """Return int64[R, E]: how often each expert was chosen, from int[tokens, R, k], -1: none."""
    counts = np.zeros((ids.shape[1], n_experts), dtype=np.int64)
    for row in range(ids.shape[1]):  # one layer at a time: traces may be long
        chosen = ids[:, row]
        counts[row] = np.bincount(chosen[chosen >= 0], minlength=n_experts)
    return counts


def routed_pairs(first: IntArray, second: IntArray, n_experts: int) -> IntArray:
    """Return how often a token chose one expert in ``first`` and another in ``second``.

    Parameters
    ----------
    first, second : int[tokens, k]
        Experts of the same tokens; -1: none.
    n_experts : int

    Returns
    -------
    int64[E, E]
        All k x k pairs of every token, the convention of MoETuner.
    """
    pairs = first[:, :, None].astype(np.int64) * n_experts + second[:, None, :]
    both = (first[:, :, None] >= 0) & (second[:, None, :] >= 0)
    found = np.bincount(pairs[both], minlength=n_experts * n_experts)
    return found.reshape(n_experts, n_experts)


def transitions_of(ids: IntArray, rows: Sequence[int] | IntArray, n_experts: int) -> IntArray:
    """Return int64[len(rows) - 1, E, E]: pairs between each of these rows and the next."""
    pairs = [routed_pairs(ids[:, a], ids[:, b], n_experts) for a, b in pairwise(rows)]
    return np.stack(pairs) if pairs else np.zeros((0, n_experts, n_experts), dtype=np.int64)


def co_activation(ids: IntArray, n_experts: int) -> IntArray:
    """Return how often two experts of one layer were chosen by the same token.

    Parameters
    ----------
    ids : int[tokens, R, k]
        -1: none.
    n_experts : int

    Returns
    -------
    int64[R, E, E]
        Symmetric; the diagonal counts the tokens of each expert.
    """
    rows = range(ids.shape[1])
    return np.stack([routed_pairs(ids[:, row], ids[:, row], n_experts) for row in rows])
