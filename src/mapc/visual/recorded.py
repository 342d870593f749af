"""What a plan file says of its run, read with care: the section is free, its values may be any.

What is missing or of another type is left out, one value at a time; a report shows what is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from mapc.solvers.base import Event, Number
from mapc.visual.view import Record

_KINDS = ("incumbent", "bound")


def record_from(section: Mapping[str, Any]) -> Record:
    """Return the record in the section ``result`` of a plan file, as `Result.record` wrote it."""
    return Record(
        status=_text(section.get("status")),
        objective=number_of(section.get("objective")),
        bound=number_of(section.get("bound")),
        gap=number_of(section.get("gap")),
        method=_text(section.get("method")),
        bound_method=_text(section.get("bound_method")),
        seconds=number_of(section.get("seconds")),
        interrupted=section.get("interrupted") is True,
        reason=_text(section.get("reason")),
        notes=tuple(n for n in _list(section.get("notes")) if isinstance(n, str)),
        asked=_mapping(section.get("asked")),
        versions={k: v for k, v in _mapping(section.get("versions")).items() if isinstance(v, str)},
        command=_text(section.get("command")),
        trajectory=trajectory_from(_mapping(section.get("trajectory"))),
    )


def trajectory_from(columns: Mapping[str, Any]) -> tuple[Event, ...]:
    """Return the steps of a search from its columns; nothing where they do not fit together."""
    names = ("seconds", "kind", "objective", "bound", "source")
    lists = [_list(columns.get(name)) for name in names]
    if len({len(one) for one in lists}) != 1:
        return ()
    steps: list[Event] = []
    for seconds, kind, objective, bound, source in zip(*lists, strict=True):
        time = number_of(seconds)
        if time is None or time < 0 or kind not in _KINDS:
            continue
        if steps and time < steps[-1].time:
            continue
        steps.append(Event(time, kind, number_of(objective), number_of(bound), _text(source)))
    return tuple(steps)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def is_number(value: object) -> TypeGuard[Number]:
    """Return whether a value out of a file is a number that can be drawn: a finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def number_of(value: object) -> Number | None:
    """Return a value out of a file if it is a number, else None."""
    return value if is_number(value) else None
