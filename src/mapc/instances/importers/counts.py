"""Expert loads as plain tables: how many tokens each expert of each layer got.

``.npz``: an array [layers, experts] for each profile, by name; ``.npy``: one such array. ``.json``:
an object with a table for each profile, or one table. ``.csv``: rows with the columns ``layer``,
``expert``, ``count`` and optionally ``profile``, in any order, or a table without a header. A row
of zeros is a layer without experts.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, decode_text, display_name, read_bytes
from mapc.graph.operators import IntArray
from mapc.instances import schema
from mapc.instances.importers.arrays import MAX_COUNT, read_arrays, whole_numbers
from mapc.instances.importers.placement_building import Building, build
from mapc.instances.importers.recording import Profile, Recording
from mapc.models.placement.problem import PlacementProblem

MAX_CELLS = 2**26
"""Most counts in a file of rows: an index there is believed without the bytes behind it."""
_COLUMNS = ("layer", "expert", "count")
_SUFFIXES = (".npz", ".npy", ".json", ".csv")


def import_counts(path: str | Path, **building: Unpack[Building]) -> PlacementProblem:
    """Read tables of expert loads.

    Parameters
    ----------
    path : path
    **building
        See `mapc.instances.importers.placement_building.OPTIONS`.

    Raises
    ------
    InstanceError
        For a file of another shape, NaN, fractions and negative counts.
    UsageError
        For options that contradict each other or the file.
    """
    where, suffix = display_name(path), Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InstanceError("unknown kind of file", where, ", ".join(_SUFFIXES))
    layer_ids = None
    if suffix == ".csv":
        tables, layer_ids = _from_csv(path, where)
    elif suffix == ".json":
        tables = _from_json(path, where)
    else:
        tables = {name or Path(path).stem: array for name, array in read_arrays(path).items()}
    profiles = tuple(Profile(name, table_of(t, name, where)) for name, t in tables.items())
    recording = Recording(
        name=Path(path).stem,
        profiles=profiles,
        layer_ids=layer_ids,
        provenance={"source": Path(path).name, "format": "counts"},
    )
    return build(recording, where, **building)


def table_of(values: Any, name: str, where: str) -> IntArray:
    """Return int64[layers, experts].

    Raises
    ------
    InstanceError
        For anything but a table of whole numbers >= 0.
    """
    place = f"{where}: profile {name[:60]!r}"
    shape = np.shape(values) if isinstance(values, np.ndarray) else None
    if shape is not None and len(shape) != 2:
        raise InstanceError(f"shape {shape}", place, "[layers, experts]")
    table = whole_numbers(values, place)
    if table.ndim != 2 or not table.size:
        raise InstanceError(f"shape {table.shape}", place, "[layers, experts]")
    return table


def _from_json(path: str | Path, where: str) -> dict[str, Any]:
    shape: Any = dict[str, list[Any]] | list[list[Any]]
    document = schema.decode(read_bytes(path, MAX_TEXT_BYTES), shape, where)
    if isinstance(document, list):
        return {Path(path).stem: document}
    if not document:
        raise InstanceError("no profiles", where, "a table for each profile")
    return dict(document)


def _from_csv(path: str | Path, where: str) -> tuple[dict[str, Any], IntArray | None]:
    text = decode_text(read_bytes(path, MAX_TEXT_BYTES), where)
    try:
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except csv.Error as error:
        raise InstanceError(f"malformed CSV: {error}", where, "a table") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not rows or not all(header):
        raise InstanceError("empty", where, "rows of counts")
    if header[0][0].isdigit() or header[0][0] in "+-.":
        return {
            Path(path).stem: [[_number(x, where, i) for x in r] for i, r in enumerate(rows)]
        }, None
    for name in _COLUMNS:
        if header.count(name) != 1:
            raise InstanceError(f"no column {name!r}", where, f"the columns {', '.join(_COLUMNS)}")
    return _tables(rows[1:], header, where)


def _number(cell: str, where: str, line: int) -> float | int:
    text = cell.strip()
    try:
        return int(text) if len(text) < 18 else float(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise InstanceError(f"{text!r}"[:60], f"{where}: row {line + 1}", "a number") from None


def _tables(
    rows: Sequence[Sequence[str]], header: Sequence[str], where: str
) -> tuple[dict[str, Any], IntArray]:
    """Return tables from (layer, expert, count) rows, and the layers of their rows."""
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InstanceError(f"{len(row)} cells", f"{where}: row {line}", f"{len(header)}")
    if not rows:
        raise InstanceError("no rows", where, "rows of counts")
    columns = {name: [row[at] for row in rows] for at, name in enumerate(header)}
    numbers = {
        name: whole_numbers(
            [_number(cell, where, i + 1) for i, cell in enumerate(columns[name])],
            f"{where}: column {name!r}",
            most=MAX_COUNT if name == "count" else MAX_CELLS,
        )
        for name in _COLUMNS
    }
    names = [name.strip() for name in columns.get("profile", [Path(where).stem] * len(rows))]
    known = {name: at for at, name in enumerate(dict.fromkeys(names))}
    profile = np.array([known[name] for name in names])
    layers, layer = np.unique(numbers["layer"], return_inverse=True)
    shape = (len(known), len(layers), int(numbers["expert"].max()) + 1)
    if int(np.prod(shape, dtype=object)) > MAX_CELLS:
        raise InstanceError(f"experts up to {shape[2] - 1}", where, f"{MAX_CELLS} counts at most")
    at = np.ravel_multi_index((profile, layer, numbers["expert"]), shape)
    first = np.unique(at, return_index=True)[1]
    if len(first) < len(at):
        again = int(np.setdiff1d(np.arange(len(at)), first)[0])
        raise InstanceError("said before", f"{where}: row {again + 2}", "one row for each expert")
    table = np.zeros(shape, dtype=np.int64)
    table.flat[at] = numbers["count"]
    return dict(zip(known, table, strict=True)), layers.astype(np.int64)
