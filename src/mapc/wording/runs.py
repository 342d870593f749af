"""Runs in words: the options one was asked with, and how to ask for the same again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapc.markup import clean
from mapc.shell import is_text, shell_line
from mapc.units import format_bytes
from mapc.wording.common import Rows, label, percent, plain

_LABELS = {"gap": "gap to stop at", "memory_limit": "memory limit of each solver"}
_KEYWORDS = (
    *("time_limit", "gap", "seed", "workers", "methods", "memory_limit", "minimize", "backends"),
)
"""Options of `mapc.solve`, in the order in which they are said."""
_DEFAULTS = {"gap": 0, "workers": 1}
"""What goes without saying in Python."""
_LONG = 4_000
"""Characters of a path or a name that a command holds."""


def asked_rows(asked: Mapping[str, Any]) -> Rows:
    """Return the rows of the options of a run; a file may say anything in their place."""
    rows = [(_LABELS.get(key, label(key)), _option(key, value)) for key, value in asked.items()]
    if asked and "methods" not in asked:
        rows.append(("methods", "all that run by default"))
    return rows


def _option(key: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key == "time_limit":
        return "none" if value is None else f"{plain(value)} s" if number else plain(value)
    if key == "gap" and number:
        return percent(value)
    if key == "memory_limit" and number:
        return format_bytes(value)
    if value is None or value in ([], ()):
        return "none"
    return plain(value)


def solve_command(file: str, asked: Mapping[str, Any]) -> str:
    """Return the command that solves the problem in a file with the options of a run.

    Parameters
    ----------
    file : str
        Carries its problem, e.g. a plan file.
    asked : mapping
        As in `mapc.solvers.result.Result`; values of other types are left out.
    """
    # a name that starts with a dash is not to be taken for an option
    name = f"./{file}" if file.startswith("-") else file
    # what is no text is escaped, and harmless then
    parts = ["mapc", "solve", clean(name, _LONG) if is_text(name) else name]
    if "time_limit" in asked:
        limit = asked["time_limit"]
        parts += ["--time-limit", "none" if limit is None else _word(limit)]
    for option in ("gap", "seed", "workers", "memory_limit", "minimize"):
        value = asked.get(option)
        if value is not None and not (option == "gap" and value == 0):
            parts += [f"--{option.replace('_', '-')}", _word(value)]
    methods = asked.get("methods")
    for method in methods if isinstance(methods, list | tuple) else ():
        parts += ["--method", _word(method)]
    return shell_line(parts)


def solve_call(file: str, asked: Mapping[str, Any]) -> str:
    """Return the call in Python that solves a problem with the options of a run.

    The problem is read from a file that carries it, or called ``problem`` where there is none.

    >>> solve_call("", {"time_limit": None, "gap": 0.0, "seed": 3, "methods": ["gap"]})
    "mapc.solve(problem, time_limit=None, seed=3, methods=['gap'])"
    """
    parts = [f"mapc.read({file!r})" if file else "problem"]
    for name in _KEYWORDS:
        if name in asked and asked[name] != _DEFAULTS.get(name, ...):
            parts.append(f"{name}={_literal(asked[name])}")
    return f"mapc.solve({', '.join(parts)})"


def _literal(value: Any) -> str:
    """Return a value as Python writes it; whole numbers without a point."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return repr(_whole(value))


def _word(value: Any) -> str:
    return clean(_whole(value), _LONG)


def _whole(value: Any) -> Any:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return int(value) if whole else value
