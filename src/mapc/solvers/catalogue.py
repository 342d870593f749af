"""Which backends there are, and what can be known about them without importing a solver.

A name is one of the built-in ``highs`` and ``cpsat``, ``pyomo:<solver>`` for any solver Pyomo
knows, or ``module:function`` for a backend of one's own: a function with the signature of
`mapc.solvers.backend.Backend` in a module that can be imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from dataclasses import dataclass

from mapc.errors import UsageError

DISABLE = "MAPC_DISABLE"
"""Environment variable: names, separated by commas, to be treated as not installed.

``pyomo`` stands for all of ``pyomo:<solver>``.
"""


@dataclass(frozen=True)
class Entry:
    """What is known about a backend before it runs.

    Attributes
    ----------
    name : str
    target : str
        ``module:function`` to call in the child.
    imports : tuple of str
        Modules the child loads before it says it is ready.
    distributions : tuple of str
        Installed packages whose versions are the backend's version.
    supports : tuple of str
        ``continuous``, ``records`` (natively; otherwise by linearisation), ``start``,
        ``stream`` (incumbents while it runs), ``cancel``, ``nodes``, ``deterministic``.
    """

    name: str
    target: str
    imports: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    supports: tuple[str, ...] = ()


_PYOMO_NEEDS = {
    "highs": ("highspy", "highspy"),
    "appsi_highs": ("highspy", "highspy"),
    "scip": ("pyscipopt", "pyscipopt"),
    "scip_direct": ("pyscipopt", "pyscipopt"),
    "scip_persistent": ("pyscipopt", "pyscipopt"),
    "gurobi_direct": ("gurobipy", "gurobipy"),
    "gurobi_persistent": ("gurobipy", "gurobipy"),
}
"""Module and distribution behind Pyomo solvers that are Python packages."""

_BUILT_IN = {
    "highs": Entry(
        "highs",
        "mapc.solvers.highs:solve",
        ("highspy", "mapc.solvers.highs"),
        ("highspy",),
        ("continuous", "start", "stream", "cancel", "nodes"),
    ),
    "cpsat": Entry(
        "cpsat",
        "mapc.solvers.cpsat:solve",
        ("ortools.sat.python.cp_model", "mapc.solvers.cpsat"),
        ("ortools",),
        ("records", "start", "stream", "cancel", "deterministic"),
    ),
}

NAMES = ("highs", "cpsat", "pyomo:highs", "pyomo:scip")
"""The backends that listings show; others are reached by name."""


def entry(name: str) -> Entry:
    """Return what is known about a backend.

    Raises
    ------
    UsageError
        When the name is neither known nor of the form ``module:function``.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    family, colon, rest = name.partition(":")
    if not (family and colon and rest):
        raise UsageError(
            f"unknown solver {name!r}; expected one of {', '.join(NAMES)}, "
            "pyomo:<solver> or module:function"
        )
    if family != "pyomo":
        return Entry(name, name, (family,))
    needs = _PYOMO_NEEDS.get(rest)
    modules = ("pyomo.environ", "mapc.solvers.pyomo") + (() if needs is None else (needs[0],))
    packages = ("pyomo",) + (() if needs is None else (needs[1],))
    supports: tuple[str, ...] = ("continuous",)
    if rest in ("scip", "scip_direct", "appsi_highs"):
        supports += ("start",)
    if rest in ("highs", "scip", "scip_direct"):
        supports += ("nodes",)
    return Entry(name, f"mapc.solvers.pyomo:{rest}", modules, packages, supports)


def missing(name: str) -> str:
    """Say why a backend is not installed, or return an empty string. Imports no solver."""
    known = entry(name)
    disabled = [word.strip() for word in os.environ.get(DISABLE, "").split(",")]
    if name in disabled or name.partition(":")[0] in disabled:
        return f"not installed ({DISABLE} names it)"
    for module in known.imports:
        root = module.partition(".")[0]
        if root != "mapc" and importlib.util.find_spec(root) is None:
            return f"not installed: no module named {root!r}"
    return ""


def version(name: str) -> str:
    """Return the versions of the packages behind a backend, e.g. ``"pyomo 6.10.1, ..."``.

    A backend of a single package gives the bare version.
    """
    packages = entry(name).distributions
    found = {}
    for package in packages:
        from importlib import metadata  # slow to load, and a plug-in has no use for it

        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if len(packages) == 1:
        return found.get(packages[0], "")
    return ", ".join(f"{package} {number}" for package, number in found.items())
