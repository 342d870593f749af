"""Expert popularity as Fiddler publishes it: JSON with ``expert_popularity``, tokens by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.instances import schema
from mapc.instances.importers.counts import table_of
from mapc.instances.importers.placement_building import Building, build
from mapc.instances.importers.recording import Profile, Recording
from mapc.models.placement.problem import PlacementProblem

_KEY = "expert_popularity"


def import_popularity(path: str | Path, **building: Unpack[Building]) -> PlacementProblem:
    """Read one table of expert loads.

    Parameters
    ----------
    path : path
    **building
        See `mapc.instances.importers.placement_building.OPTIONS`.

    Raises
    ------
    InstanceError
        For a file of another shape.
    UsageError
        For options that contradict each other or the file.
    """
    where = display_name(path)
    document = schema.decode(read_bytes(path, MAX_TEXT_BYTES), dict[str, Any], where)
    if not isinstance(document.get(_KEY), list):
        raise InstanceError("no table", f"{where}: {_KEY}", "counts by layer and expert")
    table = table_of(document[_KEY], "popularity", where)
    recording = Recording(
        name=Path(path).stem,
        profiles=(Profile("popularity", table),),
        provenance={"source": Path(path).name, "format": "popularity"},
    )
    return build(recording, where, **building)
