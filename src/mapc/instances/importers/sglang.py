"""What SGLang's expert distribution recorder dumps.

``stat``: ``logical_count``, int[steps][layers][experts], as a ``.pt`` file or as the JSON that
``--init-expert-location`` takes. ``per_pass`` and ``per_token``: ``records``, one for each forward
pass of one rank, with ``global_physical_count`` int[layers][slots] or ``topk_ids_of_layer``
int[layers][tokens][k] (-1: none), and ``last_physical_to_logical_map`` int[layers][slots], by which
slots are turned back into experts. Passes are profiles: ``prefill``, ``decode``, by their
``forward_mode``. Rows of dense layers are empty.

Format: ``sglang.srt.eplb.expert_distribution``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.graph.operators import IntArray
from mapc.instances import schema
from mapc.instances.importers.arrays import whole_numbers
from mapc.instances.importers.placement_building import Building, build
from mapc.instances.importers.recording import (
    Profile,
    Recording,
    routed_counts,
    to_logical,
    transitions_of,
)
from mapc.instances.importers.torch_file import load_torch
from mapc.models.placement.problem import PlacementProblem

_MODES = {1: "prefill", 2: "decode", 3: "mixed"}
"""Values of SGLang's ``ForwardMode`` that stand for workloads."""
_ZIP = b"PK\x03\x04"
_MAX_DUMPS = 4096
_EXPECTED = "logical_count, or records with their last_physical_to_logical_map"


def import_sglang(path: str | Path, **building: Unpack[Building]) -> PlacementProblem:
    """Read a dump of the recorder.

    Parameters
    ----------
    path : path
        A ``.pt`` or ``.json`` file, or a folder with the dumps of all ranks.
    **building
        See `mapc.instances.importers.placement_building.OPTIONS`.

    Raises
    ------
    InstanceError
        For files of another shape, and whatever else than plain data a dump may hold.
    UsageError
        For options that contradict each other or the file.
    """
    where = display_name(path)
    files = sorted(Path(path).glob("*.pt")) if Path(path).is_dir() else [path]
    if not files or len(files) > _MAX_DUMPS:
        raise InstanceError(f"{len(files)} .pt files", where, f"1 to {_MAX_DUMPS}")
    dumps = [_load(file) for file in files]
    source = {"source": Path(path).name, "format": "sglang"}
    try:
        recording = _recording(Path(path).stem, dumps, source)
    except InstanceError as error:
        raise error.inside(where) from None
    return build(recording, where, **building)


def _load(path: str | Path) -> Mapping[str, Any]:
    where = display_name(path)
    data = read_bytes(path)
    if not data.startswith(_ZIP):
        if data[:4096].lstrip()[:1] != b"{" or len(data) > MAX_TEXT_BYTES:
            raise InstanceError("neither of torch.save nor JSON", where, "a dump of the recorder")
        return schema.decode(data, dict[str, Any], where)
    dump = load_torch(data, where)
    if not isinstance(dump, dict):
        raise InstanceError(f"a {type(dump).__name__}", where, _EXPECTED)
    return dump


def _recording(
    name: str, dumps: Sequence[Mapping[str, Any]], source: Mapping[str, Any]
) -> Recording:
    if all("logical_count" in dump for dump in dumps):
        tables = [_logical_count(dump["logical_count"]) for dump in dumps]
        counts = _added(tables, "logical_count")
        return Recording(name, (Profile("recorded", counts),), provenance=source)
    if not all("records" in dump and "last_physical_to_logical_map" in dump for dump in dumps):
        raise InstanceError("no recorded loads", "", _EXPECTED)
    slots = _slots(dumps)
    records = [record for dump in dumps for record in _records(dump["records"])]
    profiles, width = _by_mode(records, slots)
    return Recording(name, profiles, top_k=width, current=slots, provenance=source)


def _logical_count(values: Any) -> IntArray:
    counts = whole_numbers(values, "logical_count")
    if counts.ndim == 3:
        counts = counts.sum(axis=0)
    if counts.ndim != 2 or not counts.size:
        raise InstanceError(f"shape {counts.shape}", "logical_count", "[steps, layers, experts]")
    return counts


def _added(tables: Sequence[IntArray], where: str) -> IntArray:
    for table in tables:
        if table.shape != tables[0].shape:
            raise InstanceError(f"shape {table.shape}", where, f"{tables[0].shape}, as before")
    return np.asarray(np.sum(tables, axis=0))


def _slots(dumps: Sequence[Mapping[str, Any]]) -> IntArray:
    """Return the map of all dumps, which is one: records of several would not say which is meant.

    SGLang keeps the last one only. It says itself that it may have changed during the recording.
    """
    where = "last_physical_to_logical_map"
    maps = [whole_numbers(dump[where], where, least=-1, most=2**20) for dump in dumps]
    if maps[0].ndim != 2 or not maps[0].size:
        raise InstanceError(f"shape {maps[0].shape}", where, "[layers, slots]")
    if any(not np.array_equal(table, maps[0]) for table in maps):
        raise InstanceError("differs between the dumps", where, "dumps of one run")
    return maps[0]


def _records(records: Any) -> list[Mapping[str, Any]]:
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise InstanceError("no list", "records", "one for each forward pass")
    return records


def _by_mode(
    records: Sequence[Mapping[str, Any]], slots: IntArray
) -> tuple[tuple[Profile, ...], int | None]:
    """Return a profile for each mode of forward passes, and the experts of a token."""
    n_experts = int(slots.max()) + 1
    if not records:
        raise InstanceError("none", "records", "one for each forward pass")
    by_token = all("topk_ids_of_layer" in record for record in records)
    modes: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        mode = record.get("forward_mode")
        name = _MODES.get(mode, f"mode {mode}") if isinstance(mode, int) else "recorded"
        modes.setdefault(name, []).append(record)
    if not by_token:
        made = [Profile(name, _passes(part, slots, n_experts)) for name, part in modes.items()]
        return tuple(made), None
    tokens = [(name, *_tokens(part, slots)) for name, part in modes.items()]
    tokens = [(name, ids, ranks) for name, ids, ranks in tokens if (ids >= 0).any()]
    if not tokens:
        raise InstanceError("no tokens", "records", "a recording of some traffic")
    width = max(int((ids >= 0).sum(axis=2).max()) for _, ids, _ in tokens)
    return tuple(_profile(name, ids, ranks, n_experts) for name, ids, ranks in tokens), width


def _profile(name: str, ids: IntArray, ranks: IntArray, n_experts: int) -> Profile:
    known = len(np.unique(ranks)) > 1  # of a single rank, nothing can be said about the others
    return Profile(
        name,
        routed_counts(ids, n_experts),
        partial(_transitions, ids, n_experts),
        partial(_sources, ids, ranks, n_experts) if known else None,
    )


def _passes(records: Sequence[Mapping[str, Any]], slots: IntArray, n_experts: int) -> IntArray:
    where = "global_physical_count"
    loads = []
    for at, record in enumerate(records):
        place = f"records[{at}].{where}"
        if where not in record:
            raise InstanceError("missing", place, "loads of all slots, or topk_ids_of_layer")
        loads.append(whole_numbers(record[where], place))
    return to_logical(_added(loads, where), slots, n_experts, where)


def _tokens(records: Sequence[Mapping[str, Any]], slots: IntArray) -> tuple[IntArray, IntArray]:
    """Return int32[tokens, layers, k], logical experts, and int64[tokens], where they live."""
    found: list[Any] = []
    ranks: list[IntArray] = []
    n_layers, n_slots = slots.shape
    row = np.arange(n_layers)[:, None, None]
    for at, record in enumerate(records):
        place = f"records[{at}].topk_ids_of_layer"
        ids = whole_numbers(record["topk_ids_of_layer"], place, least=-1, most=n_slots - 1)
        if ids.ndim != 3 or len(ids) != n_layers or (found and ids.shape[2] != found[0].shape[2]):
            right = f"[{n_layers} layers, tokens, k]"
            raise InstanceError(f"shape {ids.shape}", place, right)
        logical = np.where(ids >= 0, slots[row, np.maximum(ids, 0)], -1).astype(np.int32)
        found.append(logical.transpose(1, 0, 2))
        rank = record.get("rank", 0)
        if type(rank) is not int or not 0 <= rank < 2**20:
            raise InstanceError(f"{rank!r}"[:40], f"records[{at}].rank", "a number >= 0")
        ranks.append(np.full(ids.shape[1], rank, dtype=np.int64))
    return np.concatenate(found), np.concatenate(ranks)


def _transitions(ids: IntArray, n_experts: int, rows: IntArray) -> IntArray:
    return transitions_of(ids, rows, n_experts)


def _sources(
    ids: IntArray, ranks: IntArray, n_experts: int, rows: IntArray, n_ranks: int
) -> IntArray:
    if ranks.max() >= n_ranks:
        right = f"ranks 0 to {n_ranks - 1}, as in the cluster"
        raise InstanceError(f"tokens of rank {ranks.max()}", "records", right)
    per_rank = [routed_counts(ids[ranks == rank][:, rows], n_experts) for rank in range(n_ranks)]
    return np.stack(per_rank, axis=1)
