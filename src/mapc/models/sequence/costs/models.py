"""What groups of ranks cost: FlexSP's model with its published figures, and Megatron's.

FlexSP (Wang et al., ASPLOS 2025, arXiv 2412.01523) profiles a model once and predicts the time of
a group of d ranks with sequences of lengths s, in milliseconds, as::

    sum((a1 s^2 + a2 s) / d + V(s) / (d v_d)) + b1,      V(s) = 4 * 2 * L * h * 2 bytes * s

V counts four all-to-alls of every layer, forward and backward, in two bytes a number; it is in MiB
and v_d in GB/s, so that their quotient is in milliseconds as published. A group of one rank sends
nothing. A rank holds ``activation`` MB for each of its tokens beside its share of the model states,
16 bytes for each parameter, spread over all ranks (ZeRO stage 3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.models.sequence.costs.bandwidths import NODE_RANKS, bandwidths, hop_bandwidths, is_number
from mapc.models.sequence.problem import RING, ULYSSES, FloatArray, GroupCost

__all__ = ["FLEXSP_MODELS", "NODE_RANKS", "FlexspModel", "flexsp_cost", "megatron_cost"]

_STATE_BYTES = 16
_NUMBER_BYTES = 2
_MIB = 2**20
_POSITIONS = 192_000
_ALL_TO_ALLS = 4 * 2
_RING_BLOCKS = 2 + 4
"""Tensors that pass every hop of a ring: K and V forward; K, V and their gradients backward."""
_MOST_MEMORY, _MOST_RANKS = 8192.0, 2**20
"""GB of a rank: more are MB or bytes; and ranks."""


@dataclass(frozen=True)
class FlexspModel:
    """Profiled figures of one model.

    Attributes
    ----------
    layers, hidden : int
        Transformer layers, and numbers of a token between them.
    quadratic, linear, fixed : float
        a1 in ms per token squared, a2 in ms per token, b1 in ms per group.
    activation : float
        MB per token.
    parameters : float
        Units of 2**30, with positions for 192,000 tokens.
    """

    layers: int
    hidden: int
    quadratic: float
    linear: float
    fixed: float
    activation: float
    parameters: float

    def states_mb(self, n_ranks: int, max_length: int) -> float:
        """Return MB of model states on each of ``n_ranks`` ranks.

        Positions are learned, so the model grows by ``hidden`` parameters with each token that it
        can take; the published sizes for 192,000 and 384,000 tokens lie on that line.
        """
        parameters = self.parameters + self.hidden * (max_length - _POSITIONS) / 2**30
        return parameters * _STATE_BYTES * 1024 / n_ranks


FLEXSP_MODELS: Mapping[str, FlexspModel] = {
    "gpt-7b": FlexspModel(
        32, 4096, 5.128e-6, 0.1839576, 629.3563, 4.480441895, 7.1174468994140625
    ),
    "gpt-13b": FlexspModel(
        40, 5120, 9.2852e-6, 0.3060189, 1132.5632, 4.220439453, 13.11605453491211
    ),
    "gpt-30b": FlexspModel(
        60, 6656, 1.54262e-5, 0.8035742, 2789.3644, 3.417381836, 31.52513885498047
    ),
}  # fmt: skip
"""Of Hetu-Galvatron, branch flexsp (Apache-2.0), ``flexsp_solver/solver.py``: 64 GPUs.

There the 7B model has other activations on 16 GPUs, where more of it is recomputed: 2.668764648 MB.
"""


def flexsp_cost(
    model: str | FlexspModel,
    n_ranks: int,
    node_ranks: int,
    max_length: int,
    memory_limit_gb: float = 30.0,
    degrees: Sequence[int] | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    bandwidth: Mapping[int, float] | None = None,
    kinds: Sequence[str] = (ULYSSES,),
    overlap: float = 0.0,
) -> GroupCost:
    """Return the costs of FlexSP's model.

    A ring passes keys and values instead: each rank sends, for a layer, six blocks of ``s / d``
    tokens to its neighbour ``d - 1`` times, K and V forward, both and their gradients backward. Its
    linear term is ``a2 / d + (1 - overlap) * 6 (d - 1) / d * L * h_kv * 2 bytes / w_d``, with h_kv
    the numbers of a token in K, and w_d of
    `mapc.models.sequence.costs.bandwidths.hop_bandwidths`. That is derived, not measured.

    Parameters
    ----------
    model : str or FlexspModel
        A name in `FLEXSP_MODELS`, or figures of one's own.
    n_ranks, node_ranks : int
        Ranks, and how many of them share a node.
    max_length : int
        Tokens of the longest sequence the model takes: it has a position for each.
    memory_limit_gb : float
        Of a rank, for states and activations; 1 GB is 1024 MB, as published.
    degrees : sequence of int, optional
        Powers of two up to ``n_ranks``; by default all of them that the heads allow. (FlexSP
        itself leaves out 1.)
    heads, kv_heads : int, optional
        All-to-all groups share heads, so that their degree divides both; rings do not. Left out,
        nothing is capped.
    bandwidth : mapping, optional
        GB/s of the all-to-all by degree. By default FlexSP's, see
        `mapc.models.sequence.costs.bandwidths.bandwidths`, which also says what holds beyond the
        degrees that were measured.
    kinds : sequence of str
        ``"ulysses"``, ``"ring"`` or both; a group of one rank stands once.
    overlap : float
        Part of a ring's transfers that attention hides, 0 to 1.

    Returns
    -------
    GroupCost
        Degrees increasing, all-to-all before ring.

    Raises
    ------
    InstanceError
        For an argument out of range, a degree the heads do not allow, a bandwidth that is missing,
        and memory that the model states alone fill.
    """
    figures = _model(model)
    _whole("ranks", n_ranks, _MOST_RANKS)
    _whole("ranks per node", node_ranks, _MOST_RANKS)
    if node_ranks < n_ranks and node_ranks & (node_ranks - 1):
        right = f"a power of two, or all {n_ranks} ranks"
        raise InstanceError(f"{node_ranks}", "ranks per node", right)
    _whole("max length", max_length, 2**40)
    if not (is_number(overlap) and 0 <= overlap <= 1):
        raise InstanceError(f"{overlap!r}"[:60], "overlap", "0 to 1")
    tokens = _tokens_per_rank(figures, n_ranks, max_length, memory_limit_gb)
    modes = _modes(_degrees(n_ranks, degrees), degrees is not None, heads, kv_heads, kinds)
    d = np.array([degree for degree, _ in modes], dtype=np.int64)
    ring = np.array([kind == RING for _, kind in modes])
    v = bandwidths(d.tolist(), node_ranks, bandwidth)
    w = hop_bandwidths(d, node_ranks, v, bandwidth)
    mib = figures.layers * figures.hidden * _NUMBER_BYTES / _MIB  # one tensor of one token
    shared = kv_heads / heads if heads and kv_heads else 1.0
    ring_mib = (1 - overlap) * _RING_BLOCKS * mib * shared * (d - 1)
    transfer = np.where(ring, ring_mib / w, _ALL_TO_ALLS * mib / v)
    return GroupCost(
        degree=d,
        kind=tuple(kind for _, kind in modes),
        quadratic=figures.quadratic / d,
        linear=(figures.linear + transfer) / d,
        fixed=np.full(len(d), figures.fixed),
        tokens=d * tokens,
    )


def megatron_cost(
    n_ranks: int,
    tokens_per_rank: int,
    degrees: Sequence[int] | None = None,
    kind: str = RING,
) -> GroupCost:
    """Return the costs by which Megatron's dynamic context parallelism balances: s^2 / d.

    They are in the unit of an attention score rather than in milliseconds, with neither a linear
    term nor communication (``BalancedCPScheduler`` of Megatron-LM). Good for comparison with its
    greedy, not for predicting time.

    Parameters
    ----------
    n_ranks : int
    tokens_per_rank : int
        Megatron's ``max_seqlen_per_dp_cp_rank``.
    degrees : sequence of int, optional
        Powers of two up to ``n_ranks``, by default all.
    kind : str
        ``"ring"``, Megatron's default, or ``"ulysses"``.

    Raises
    ------
    InstanceError
        For an argument out of range.
    """
    _whole("ranks", n_ranks, _MOST_RANKS)
    _whole("tokens per rank", tokens_per_rank, 2**40)
    _check_kinds((kind,))
    d = np.array(_degrees(n_ranks, degrees), dtype=np.int64)
    nothing: FloatArray = np.zeros(len(d))
    return GroupCost(d, (kind,) * len(d), 1.0 / d, nothing, nothing.copy(), d * tokens_per_rank)


# -- what the arguments have to be ---------------------------------------------------------------


def _model(model: str | FlexspModel) -> FlexspModel:
    if isinstance(model, str):
        if model not in FLEXSP_MODELS:
            raise InstanceError(f"{model!r}"[:60], "model", ", ".join(FLEXSP_MODELS))
        return FLEXSP_MODELS[model]
    if not isinstance(model, FlexspModel):
        names = ", ".join(FLEXSP_MODELS)
        raise InstanceError(f"{model!r}"[:60], "model", f"{names}, or a FlexspModel")
    for name, unit, most in (
        ("quadratic", "ms per token squared", 1.0),
        ("linear", "ms per token", 1e4),
        ("fixed", "ms", 1e9),
        ("activation", "MB per token", 1e4),
        ("parameters", "units of 2**30", 1e5),
    ):
        value = getattr(model, name)
        positive = name in ("activation", "parameters")
        if not is_number(value) or not (value > 0 if positive else value >= 0) or value > most:
            right = f"{unit}, {'above ' if positive else ''}0 to {most:g}"
            raise InstanceError(f"{value!r}", f"model: {name}", right)
    _whole("model: layers", model.layers, 10**6)
    _whole("model: hidden", model.hidden, 10**8)
    return model


def _tokens_per_rank(model: FlexspModel, n_ranks: int, max_length: int, limit_gb: float) -> int:
    if not (is_number(limit_gb) and 0 < limit_gb <= _MOST_MEMORY):
        raise InstanceError(
            f"{limit_gb!r}"[:60], "memory limit", f"GB of 1024 MB, above 0 to {_MOST_MEMORY:g}"
        )
    states = model.states_mb(n_ranks, max_length)
    tokens = math.floor((limit_gb * 1024 - states) / model.activation)
    if tokens < 1:
        raise InstanceError(
            f"{limit_gb:g} GB",
            "memory limit",
            f"{math.ceil((states + model.activation) / 1024 * 100) / 100} GB or more, what model "
            f"states on {n_ranks} {'rank' if n_ranks == 1 else 'ranks'} and one token take",
        )
    return tokens


def _modes(
    degrees: list[int],
    wanted: bool,
    heads: int | None,
    kv_heads: int | None,
    kinds: Sequence[str],
) -> list[tuple[int, str]]:
    """Return (degree, kind); ``wanted`` degrees that no kind allows are refused."""
    _check_kinds(kinds)
    counts = {"heads": heads, "kv heads": kv_heads}
    for name, count in counts.items():
        if count is not None:
            _whole(name, count, 10**6)
    if heads and kv_heads and heads % kv_heads:
        raise InstanceError(f"{kv_heads}", "kv heads", f"a divisor of the {heads} heads")
    given = [count for count in counts.values() if count is not None]
    modes = []
    for degree in degrees:
        allowed = [
            kind
            for kind in (ULYSSES, RING)
            if kind in kinds and (kind == RING or all(count % degree == 0 for count in given))
        ]
        if wanted and not allowed:
            said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            raise InstanceError(f"{degree}", "degrees", f"a power of two that divides {said}")
        # alone, a rank sends nothing either way
        modes += [(degree, kind) for kind in (allowed[:1] if degree == 1 else allowed)]
    return modes


def _check_kinds(kinds: Sequence[str]) -> None:
    for kind in _items("kinds", kinds) or ("",):
        if kind not in (ULYSSES, RING):
            raise InstanceError(f"{kind!r}"[:60], "kind", f"{ULYSSES} or {RING}")


def _degrees(n_ranks: int, degrees: Sequence[int] | None) -> list[int]:
    """Return powers of two up to ``n_ranks``, increasing."""
    powers = [1 << i for i in range(n_ranks.bit_length())]
    if degrees is None:
        return powers
    given = _items("degrees", degrees)
    if not given:
        raise InstanceError("none", "degrees", f"powers of two, 1 to {powers[-1]}")
    for degree in given:
        if not isinstance(degree, Integral) or degree not in powers:
            right = f"powers of two, 1 to {powers[-1]}"
            raise InstanceError(f"{degree!r}"[:60], "degrees", right)
    return sorted({int(degree) for degree in given})


def _items(name: str, values: Any) -> list[Any]:
    """Return values as a list; a text, though it has letters, is none."""
    if isinstance(values, str):
        raise InstanceError(f"{values!r}"[:60], name, "a list")
    try:
        return list(values)
    except TypeError:
        raise InstanceError(f"{values!r}"[:60], name, "a list") from None


def _whole(name: str, value: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InstanceError(f"{value!r}"[:60], name, f"a whole number 1 to {most}")
