"""What a placement has to respect, from how people write it: pairs, ranks, layers, moves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.graph.operators import BoolArray, IntArray
from mapc.instances import documents, schema
from mapc.instances.importers.arrays import whole_numbers
from mapc.units import parse_bytes

_MAP = "physical_to_logical_map"
_MOVES = re.compile(r"(\d+(?:\.\d+)?)(%?)\Z", re.ASCII)


def layers_of(
    counts: Mapping[str, IntArray],
    ids: IntArray | None,
    first: int | None,
    model_layers: int | None,
) -> tuple[IntArray, IntArray, int]:
    """Return the rows with tokens, their layers, and the layers of the whole model.

    Parameters
    ----------
    counts : mapping of str to int64[R, E]
        By profile. A row without tokens in any of them is a dense layer.
    ids : int64[R] or None
        Layers of the rows, where the file says so.
    first : int or None
        The layer of the first row that has tokens. Rows before it are layers as well.
    model_layers : int or None

    Returns
    -------
    rows : int64[L]
    layer_ids : int64[L]
    model_layers : int

    Raises
    ------
    InstanceError
        Where there are no tokens at all, or a profile lacks a layer that another has.
    UsageError
        For layers that contradict the file.
    """
    seen = np.stack([table.sum(axis=1) > 0 for table in counts.values()])  # [P, R]
    rows = np.flatnonzero(seen.any(axis=0)).astype(np.int64)
    if not len(rows):
        raise InstanceError("no tokens in any layer", "counts", "a recording of some traffic")
    for name, tokens in zip(counts, seen[:, rows], strict=True):
        if not tokens.all():
            place = f"profile {name[:60]!r}, row {rows[int(np.argmin(tokens))]}"
            raise InstanceError("no tokens", place, "some in every layer that another profile has")
    if ids is None:
        start = 0 if rows[0] or first is None else first
        ids = np.arange(seen.shape[1], dtype=np.int64) + start
    layers = ids[rows]
    if first is not None and layers[0] != first:
        raise UsageError(
            f"--layers-from {first}: by the rows of the file, the first layer with experts is "
            f"{layers[0]}"
        )
    total = int(ids[-1]) + 1 if model_layers is None else model_layers
    if total <= layers[-1]:
        raise UsageError(
            f"--model-layers {total}: the last layer with experts is {layers[-1]}; expected at "
            f"least {layers[-1] + 1}"
        )
    return rows, layers, total


def triples(texts: Sequence[str], layer_ids: IntArray, shape: tuple[int, int], flag: str) -> Any:
    """Return int64[k, 3] (row, expert, rank) of texts such as ``"12:7:3"``.

    Parameters
    ----------
    texts : sequence of str
        ``layer:expert:rank``, the layer as the model counts it or ``*`` for all.
    layer_ids : int64[L]
    shape : tuple of int
        Experts and ranks.
    flag : str
        Whose value it is, for messages.

    Raises
    ------
    UsageError
        For what is no such triple, or none of the problem.
    """
    found = []
    for text in texts:
        parts = text.split(":")
        numbers = [part.isascii() and part.isdigit() and len(part) < 10 for part in parts]
        if len(parts) != 3 or not all(numbers[1:]) or not (numbers[0] or parts[0] == "*"):
            raise UsageError(f"{flag} {text[:60]!r}: expected layer:expert:rank, e.g. 12:7:3")
        expert, rank = int(parts[1]), int(parts[2])
        rows = np.arange(len(layer_ids))
        if parts[0] != "*":
            rows = np.flatnonzero(layer_ids == int(parts[0]))
        if not len(rows):
            right = f"{layer_ids[0]} to {layer_ids[-1]}"
            raise UsageError(f"{flag} {text!r}: no layer {parts[0]} with experts; expected {right}")
        for name, value, limit in (("expert", expert, shape[0]), ("rank", rank, shape[1])):
            if value >= limit:
                raise UsageError(f"{flag} {text!r}: no {name} {value}; expected 0 to {limit - 1}")
        found += [(int(row), expert, rank) for row in rows]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def dead_ranks(ranks: Sequence[int], n_ranks: int) -> BoolArray:
    """Return bool[G].

    Raises
    ------
    UsageError
        For a rank that does not exist, or if none is left.
    """
    dead = np.zeros(n_ranks, dtype=np.bool_)
    for rank in ranks:
        if not 0 <= rank < n_ranks:
            raise UsageError(f"--dead {rank}: no such rank; expected 0 to {n_ranks - 1}")
        dead[rank] = True
    if dead.all():
        raise UsageError("--dead: no rank is left; expected one at least")
    return dead


def slots_for(n_experts: int, n_live: int, slots: int | None, current: IntArray | None) -> int:
    """Return slots per rank: as given, as in force, or as many as hold every expert once.

    Raises
    ------
    UsageError
        For too few, too many, or experts that do not divide evenly.
    """
    least = -(-n_experts // n_live)
    if slots is None and current is not None:
        slots = min(current.shape[2], n_experts)
    if slots is None:
        if n_experts % n_live:
            spare = least * n_live - n_experts
            raise UsageError(
                f"{n_experts} experts do not fill {n_live} ranks evenly; expected --slots {least} "
                f"({spare} replicas) or more, or ranks that divide {n_experts}"
            )
        return least
    if not least <= slots <= n_experts:
        raise UsageError(
            f"--slots {slots}: {n_experts} experts on {n_live} ranks; expected {least} to "
            f"{n_experts}"
        )
    return slots


def max_moves_of(text: str | None, total: int, expert_bytes: int, known: bool) -> int | None:
    """Return how many experts may move, of ``"12"``, ``"1%"`` of all slots or ``"40GiB"``.

    Parameters
    ----------
    text : str or None
    total : int
        Slots of all layers and live ranks.
    expert_bytes : int
    known : bool
        Whether there is a placement in force.

    Raises
    ------
    UsageError
        For what is none of these, sizes without the size of an expert, and where nothing is in
        force.
    """
    if text is None:
        return None
    if not known:
        raise UsageError(f"--max-moves {text}: moves from what? expected --current FILE as well")
    match = _MOVES.match(text.strip()) if len(text) < 30 else None
    if match is not None and (match[2] or "." not in match[1]):
        amount = Fraction(match[1])
        return int(amount * total / 100) if match[2] else int(amount)
    try:
        size = parse_bytes(text)
    except UsageError:
        raise UsageError(
            f"--max-moves {text[:40]!r}: expected a number, a percentage such as 1%, or a size "
            "such as 40GiB"
        ) from None
    if not expert_bytes:
        raise UsageError(f"--max-moves {text}: a size needs --expert-bytes")
    return size // expert_bytes


# -- the placement in force ------------------------------------------------------------------------


def read_current(path: str | Path) -> IntArray:
    """Return the placement a file holds: int64[R, S], or [L, G, C] of a plan of mapc.

    Parameters
    ----------
    path : path
        A plan file of mapc, or JSON with a ``physical_to_logical_map``.

    Raises
    ------
    InstanceError
        For another kind of file.
    """
    where = display_name(path)
    data = read_bytes(path, MAX_TEXT_BYTES)
    members = schema.decode(data, dict[str, msgspec.Raw], where)
    if "schema" in members:
        _, plan, _ = documents.parse_plan(data, where)
        slots = getattr(plan, "slots", None)
        if slots is None:
            raise InstanceError("a plan of another family", where, "a placement")
        return np.asarray(slots)
    if _MAP not in members:
        raise InstanceError(f"no {_MAP}", where, "a plan of mapc, or a map of SGLang")
    rows = schema.decode(bytes(members[_MAP]), list[list[int]], f"{where}: {_MAP}")
    return whole_numbers(rows, f"{where}: {_MAP}", least=-1)


def in_force(
    table: IntArray, rows: IntArray, n_rows: int, layer_ids: IntArray, n_ranks: int, where: str
) -> IntArray:
    """Return a placement as int64[L, G, C].

    Parameters
    ----------
    table : int64[R, S] or int64[L, G, C]
        Of all rows of the file, of all layers of the model, or of the layers with experts.
    rows : int64[L]
        Rows of the file that have experts.
    n_rows : int
        R.
    layer_ids : int64[L]
    n_ranks : int
    where : str

    Raises
    ------
    InstanceError
        For another number of layers, and slots that are not equally many on every rank.
    """
    n_layers = len(rows)
    if len(table) == n_layers:
        chosen = table
    elif len(table) == n_rows:
        chosen = table[rows]
    elif len(table) > layer_ids[-1]:
        chosen = table[layer_ids]
    else:
        raise InstanceError(f"{len(table)} layers", where, f"{n_layers}")
    if chosen.ndim == 2 and chosen.shape[1] % n_ranks == 0:
        chosen = chosen.reshape(n_layers, n_ranks, -1)
    if chosen.ndim != 3 or chosen.shape[1] != n_ranks or not chosen.shape[2]:
        what = f"{chosen.shape[1]} slots" if chosen.ndim == 2 else f"{chosen.shape[1]} ranks"
        right = f"{n_ranks} ranks" if chosen.ndim == 3 else f"a multiple of {n_ranks} ranks"
        raise InstanceError(what, where, right)
    return _without_copies(chosen)


def _without_copies(slots: IntArray) -> IntArray:
    """Empty the slots of second copies on a rank, which EPLB makes and no plan may have."""
    order = np.argsort(slots, axis=2, kind="stable")
    ordered = np.take_along_axis(slots, order, axis=2)
    again = np.zeros(slots.shape, dtype=np.bool_)
    again[:, :, 1:] = ordered[:, :, 1:] == ordered[:, :, :-1]
    once = np.empty_like(slots)
    np.put_along_axis(once, order, np.where(again, -1, ordered), axis=2)
    return once
