"""Load statistics of vLLM: one JSON record a line, of the type ``eplb_load_stats``.

``expert_load`` and ``p2l_map``, int[layers][slots]: tokens of every slot since the record before,
and the expert in it. Loads are turned back into those of experts record by record, for the map may
change between them. Layers are those with experts only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import msgspec
import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, decode_text, display_name, read_bytes
from mapc.graph.operators import IntArray
from mapc.instances import schema
from mapc.instances.importers.arrays import whole_numbers
from mapc.instances.importers.placement_building import Building, build
from mapc.instances.importers.recording import Profile, Recording, to_logical
from mapc.models.placement.problem import PlacementProblem

_TYPE = "eplb_load_stats"
_MAX_EXPERTS = 2**14


class _Record(msgspec.Struct):
    record_type: str
    version: int = 1
    expert_load: list[list[float]] = []
    p2l_map: list[list[int]] = []


def import_vllm(path: str | Path, **building: Unpack[Building]) -> PlacementProblem:
    """Read load statistics and add them up.

    Parameters
    ----------
    path : path
    **building
        See `mapc.instances.importers.placement_building.OPTIONS`.

    Raises
    ------
    InstanceError
        For a file without such records, and tables that do not fit each other.
    UsageError
        For options that contradict each other or the file.
    """
    where = display_name(path)
    text = decode_text(read_bytes(path, MAX_TEXT_BYTES), where)
    loads: list[tuple[IntArray, IntArray]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            found = _tables(line, f"{where}: line {number}")
            loads += [found] if found else []
    if not loads:
        raise InstanceError(f"no {_TYPE} records", where, "load statistics of vLLM")
    n_experts = max(int(slots.max()) for _, slots in loads) + 1
    counts = [to_logical(load, slots, n_experts, f"{where}: loads") for load, slots in loads]
    if len({table.shape for table in counts}) > 1:
        raise InstanceError("records of different shape", where, "those of one model")
    recording = Recording(
        name=Path(path).stem,
        profiles=(Profile("recorded", np.asarray(np.sum(counts, axis=0))),),
        current=loads[-1][1],
        provenance={"source": Path(path).name, "format": "vllm"},
    )
    return build(recording, where, **building)


def _tables(line: str, where: str) -> tuple[IntArray, IntArray] | None:
    """Return loads and experts of the slots, or None for a record of another type."""
    record: Any = schema.decode(line.encode(), _Record, where)
    if record.record_type != _TYPE:
        return None
    if record.version != 1:
        raise InstanceError(f"version {record.version}", where, "1")
    load = whole_numbers(record.expert_load, f"{where}: expert_load")
    slots = whole_numbers(record.p2l_map, f"{where}: p2l_map", least=-1, most=_MAX_EXPERTS - 1)
    if slots.ndim != 2 or not slots.size or load.shape != slots.shape:
        raise InstanceError(
            f"shapes {load.shape} and {slots.shape}", where, "[layers, slots], the same for both"
        )
    return load, slots
