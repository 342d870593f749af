"""Unique names for things whose files leave them without one."""

from __future__ import annotations

from collections.abc import Iterable


def unique_names(wanted: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names asked for, the second of its kind as ``name_2`` and so on.

    Parameters
    ----------
    wanted : iterable of str
        In the order in which they are to be kept.
    taken : iterable of str
        Names given away already.
    """
    used = set(taken)
    times: dict[str, int] = {}
    names = []
    for name in wanted:
        candidate = name
        while candidate in used:
            times[name] = times.get(name, 1) + 1
            candidate = f"{name}_{times[name]}"
        used.add(candidate)
        names.append(candidate)
    return tuple(names)
