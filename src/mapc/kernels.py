"""Compiled kernels: Python source that numba compiles once and keeps.

A kernel module is one whose functions carry `kernel`; it is imported inside functions only, by
`load`, for importing compiles. All kernel modules stand in `MODULES`, and ``mapc warmup`` compiles
them. Under ``NUMBA_DISABLE_JIT=1`` kernels run as plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

MODULES: tuple[str, ...] = (
    "mapc.random",
    "mapc.models.placement.balance_kernels",
)
"""Every kernel module, in the order in which they are compiled."""


def kernel(*signatures: str) -> Callable[[F], F]:
    """Compile a function for the given signatures when its module is imported, and keep it.

    >>> kernel("float64(float64[::1], int64)")  # doctest: +SKIP
    """
    import numba

    return cast("Callable[[F], F]", numba.njit(list(signatures), cache=True, nogil=True))


def load(name: str, done: Callable[[], bool] | None = None) -> ModuleType | None:
    """Return a kernel module, compiled; None when ``done`` says so before it is.

    Parameters
    ----------
    name : str
        Full name of the module, one of `MODULES`.
    done : callable, optional
        Whether to give up waiting, asked a few times a second.
    """
    return import_module(name)
