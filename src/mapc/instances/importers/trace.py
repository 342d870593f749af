"""Traces of routed tokens: which experts every token was sent to in every layer.

A ``.npz`` file with ``topk``, int[tokens, layers, k], -1 where a token has fewer experts; or with
what follows from that: ``counts``, int[layers, experts], and ``transitions``,
int[layers - 1, experts, experts]. Where it holds both, they have to agree. Transitions count all
k x k pairs of a token's experts in one layer and the next, the convention of MoETuner.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.files import display_name
from mapc.graph.operators import IntArray
from mapc.instances.importers.arrays import read_arrays, whole_numbers
from mapc.instances.importers.counts import table_of
from mapc.instances.importers.placement_building import Building, build
from mapc.instances.importers.recording import (
    Profile,
    Recording,
    routed_counts,
    transitions_of,
)
from mapc.models.placement.problem import PlacementProblem

MAX_EXPERTS = 2**14
"""Most experts of a layer believed."""
_KNOWN = ("topk", "counts", "transitions")


def import_trace(
    path: str | Path, *, experts: int | None = None, **building: Unpack[Building]
) -> PlacementProblem:
    """Read a trace.

    Tokens are counted one by one: 4 for the work of each on the busiest rank and 1 for each move
    between ranks, 4 between nodes, unless something else is asked for. A token stays with its
    expert (``traffic="chain"``) by default.

    Parameters
    ----------
    path : path
    experts : int, optional
        Experts of a layer, where the last ones may have had no tokens.
    **building
        See `mapc.instances.importers.placement_building.OPTIONS`.

    Raises
    ------
    InstanceError
        For arrays that are missing, of another shape, or contradict each other.
    UsageError
        For options that contradict each other or the file.
    """
    where = display_name(path)
    arrays = read_arrays(path)
    top_k, counts, transitions = _parts(arrays, experts, where)
    recording = Recording(
        name=Path(path).stem,
        profiles=(Profile("trace", counts, transitions),),
        top_k=top_k,
        raw=True,
        provenance={"source": Path(path).name, "format": "trace"},
    )
    return build(recording, where, **building)


Counter = Callable[[IntArray], IntArray]


def _parts(
    arrays: dict[str, NDArray[Any]], experts: int | None, where: str
) -> tuple[int | None, IntArray, Counter | None]:
    if not {"topk", "counts"} & arrays.keys():
        raise InstanceError("no topk and no counts", where, "one of them at least")
    given = None
    if "counts" in arrays:
        given = table_of(arrays["counts"], "counts", where)
        experts = given.shape[1] if experts is None else experts
        if experts != given.shape[1]:
            raise InstanceError(f"{given.shape[1]} experts", f"{where}: counts", f"{experts}")
    ready = _ready_transitions(arrays, given, where)
    if "topk" not in arrays:
        assert given is not None
        return None, given, ready
    ids = _ids(arrays["topk"], experts, where)
    n_experts = int(ids.max(initial=0)) + 1 if experts is None else experts
    counts = routed_counts(ids, n_experts)
    if given is not None and not np.array_equal(given, counts):
        raise InstanceError("not those of topk", f"{where}: counts", "one of them, or both alike")
    counted = partial(_transitions, ids, n_experts)
    if ready is not None:
        rows = np.arange(ids.shape[1])
        if not np.array_equal(ready(rows), counted(rows)):
            raise InstanceError(
                "not those of topk", f"{where}: transitions", "one of them, or both alike"
            )
    return ids.shape[2], counts, counted


def _ids(topk: NDArray[Any], experts: int | None, where: str) -> IntArray:
    place = f"{where}: topk"
    if topk.ndim != 3 or not topk.size:
        raise InstanceError(f"shape {topk.shape}", place, "[tokens, layers, k]")
    if topk.dtype.kind == "f":
        return whole_numbers(topk, place, least=-1, most=(experts or MAX_EXPERTS) - 1)
    low, high = int(topk.min()), int(topk.max())
    if low < -1 or high >= (experts or MAX_EXPERTS):
        right = f"-1 to {(experts or MAX_EXPERTS) - 1}"
        raise InstanceError(f"expert {low if low < -1 else high}", place, right)
    return topk  # as narrow as it came: traces may be long


def _transitions(ids: IntArray, n_experts: int, rows: IntArray) -> IntArray:
    return transitions_of(ids, rows, n_experts)


def _ready_transitions(
    arrays: dict[str, NDArray[Any]], counts: IntArray | None, where: str
) -> Counter | None:
    if "transitions" not in arrays or counts is None:
        return None
    place = f"{where}: transitions"
    n_rows, n_experts = counts.shape
    shape = (n_rows - 1, n_experts, n_experts)
    if arrays["transitions"].shape != shape:
        raise InstanceError(f"shape {arrays['transitions'].shape}", place, f"{shape}")
    table = whole_numbers(arrays["transitions"], place)

    def between(rows: IntArray) -> IntArray:
        if (np.diff(rows) != 1).any():
            raise InstanceError("a layer without tokens between others", place, "tokens in each")
        return table[rows[:-1]]

    return between
