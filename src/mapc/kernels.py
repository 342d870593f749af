"""Compiled kernels: Python source that numba compiles once and keeps.

A kernel module is one whose functions carry `kernel`; it is imported inside functions only, by
`load`, for importing compiles. All kernel modules stand in `MODULES`, and ``mapc warmup`` compiles
them. Under ``NUMBA_DISABLE_JIT=1`` kernels run as plain Python.

Compiling takes seconds to a minute, loading what was compiled a fraction of a second. A *stamp*
beside numba's own cache tells which of the two an import would be. It is a hash of all that the
compiled code depends on: the sources of the module and of the kernel modules it calls (numba itself
looks at the module's own file only, and would keep code with old callees inside), numba, Python and
the processor.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

MODULES: tuple[str, ...] = (
    "mapc.random",
    "mapc.models.placement.work.packing_kernels",
    "mapc.models.placement.work.balance_kernels",
    "mapc.models.placement.work.cooling_kernels",
    "mapc.models.placement.profiles.moves_kernels",
    "mapc.models.placement.profiles.annealing_kernels",
    "mapc.models.placement.profiles.splitting_kernels",
    "mapc.models.placement.profiles.flows_kernels",
    "mapc.models.placement.moves.migration_kernels",
    "mapc.models.placement.moves.capped_kernels",
    "mapc.models.placement.moves.pricing_kernels",
    "mapc.models.placement.topology.nodes_kernels",
    "mapc.models.placement.chains.assignment_kernels",
    "mapc.models.placement.chains.coordinate_kernels",
    "mapc.models.placement.chains.pair_bounds_kernels",
    "mapc.models.placement.chains.chain_kernels",
    "mapc.models.allocation.exact.state_kernels",
    "mapc.models.allocation.exact.propagation_kernels",
    "mapc.models.allocation.exact.floors_kernels",
    "mapc.models.allocation.exact.regions_kernels",
    "mapc.models.allocation.exact.table_kernels",
    "mapc.models.allocation.exact.search_kernels",
    "mapc.models.allocation.local.chains_kernels",
    "mapc.models.allocation.local.places_kernels",
    "mapc.models.allocation.local.rounds_kernels",
    "mapc.models.sequence.packing.state_kernels",
    "mapc.models.sequence.packing.search_kernels",
    "mapc.models.sequence.bounds.columns_groups_kernels",
    "mapc.models.sequence.bounds.columns_batch_kernels",
    "mapc.models.sequence.bounds.columns_program_kernels",
    "mapc.models.sequence.bounds.columns_kernels",
    "mapc.models.memory.exact.state_kernels",
    "mapc.models.memory.exact.closure_kernels",
    "mapc.models.memory.exact.parts_kernels",
    "mapc.models.memory.exact.queue_kernels",
    "mapc.models.memory.exact.table_kernels",
    "mapc.models.memory.exact.search_kernels",
    "mapc.models.memory.exact.beam_kernels",
    "mapc.models.memory.exact.peak_kernels",
    "mapc.models.memory.exact.floor_kernels",
)
"""Every kernel module, in the order in which they are compiled."""

POLL = 0.02
"""Seconds between two questions whether to give up waiting."""
_STARTED, _DONE = "started", "done"
_children: dict[str, subprocess.Popen[bytes]] = {}
_threads: dict[str, Thread] = {}


def kernel(*signatures: str) -> Callable[[F], F]:
    """Compile a function for the given signatures when its module is imported, and keep it.

    >>> kernel("float64(float64[::1], int64)")  # doctest: +SKIP
    """
    if not signatures or not all(isinstance(one, str) for one in signatures):
        raise TypeError("a kernel needs its signatures: without them it compiles when it is called")
    import numba

    def compiled(function: F) -> F:
        try:
            made = numba.njit(list(signatures), cache=True, nogil=True)(function)
        except RuntimeError:  # no folder to keep it in
            made = numba.njit(list(signatures), nogil=True)(function)
        return cast("F", made)

    return compiled


def stream(seed: int, *path: int) -> NDArray[np.uint64]:
    """uint64[1]: a state for `mapc.random`, of its own for a seed and numbers such as a layer's."""
    state = np.random.SeedSequence([seed, *path]).generate_state(1, np.uint64).astype(np.uint64)
    state[0] |= np.uint64(1)  # zero stays zero for ever
    return state


def load(name: str, done: Callable[[], bool] | None = None) -> ModuleType | None:
    """Return a kernel module, compiled; None when ``done`` says so before it is.

    What is not compiled yet is compiled by a child process, so that waiting for it can end. A
    child goes on when nobody waits any more, until this process ends; what it has finished by then
    is kept. If it fails, or could keep nothing, a thread of this process compiles.

    Parameters
    ----------
    name : str
        Full name of the module, one of `MODULES`.
    done : callable, optional
        Whether to give up waiting, asked a few times a second.
    """
    for importing in list(_threads.values()):  # they hold the locks of what they import
        if not _joined(importing, done):
            return None
    cold = not (name in sys.modules or plain() or warm(name))
    if not cold and (name in sys.modules or done is None):
        return import_module(name)
    while cold and _lasting(name) and (compiling := _compiling(name)).poll() is None:
        if done is not None and done():
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            compiling.wait(POLL)
    _children.pop(name, None)
    if done is not None or not warm(name):  # even what is compiled takes long to import
        _threads[name] = Thread(target=_import, args=(name,), daemon=True)
        _threads[name].start()
        if not _joined(_threads[name], done):
            return None
        _threads.pop(name, None)
    return import_module(name)  # once more where the thread failed: to say why


def _joined(thread: Thread, done: Callable[[], bool] | None) -> bool:
    """Wait for a thread; false when ``done`` says so before it ends."""
    while thread.is_alive():
        if done is not None and done():
            return False
        thread.join(POLL)
    return True


def _import(name: str) -> None:
    with contextlib.suppress(Exception):
        import_module(name)


def plain() -> bool:
    """Whether kernels run as plain Python."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def warm(name: str) -> bool:
    """Whether a kernel module has been compiled for what is here now."""
    return _read(name) == [_key(name), _DONE]


def compile_module(name: str) -> None:
    """Compile a kernel module, and those it calls, in this process; leave stamps."""
    for part in (*callees(name), name):
        key = _key(part)
        if _read(part) == [key, _DONE]:
            continue
        if _read(part) != [key, _STARTED]:  # unless it is ours, half done
            for kept in _source(part).parent.glob(f"__pycache__/{_source(part).stem}.*.nb[ci]"):
                kept.unlink(missing_ok=True)
        _write(part, key, _STARTED)
        import_module(part)
        if _key(part) == key:  # not edited meanwhile
            _write(part, key, _DONE)


def callees(name: str) -> tuple[str, ...]:
    """Return the kernel modules that a kernel module calls, the called before the callers."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(_source(name).read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.update(dict.fromkeys((*callees(node.module), node.module)))
    return tuple(found)


def child(name: str, errors: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a process that compiles a module."""
    return subprocess.Popen(
        [sys.executable, "-m", "mapc.kernels", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is for us; we end it
    )


def _compiling(name: str) -> subprocess.Popen[bytes]:
    """Return the child that compiles a module, started if there is none."""
    if name not in _children:
        if not _children:
            atexit.register(_end)
        _children[name] = child(name)
    return _children[name]


def _end() -> None:
    for compiling in _children.values():
        compiling.terminate()
        compiling.wait()
    _children.clear()


def _source(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no kernel module {name}", name=name)
    return Path(spec.origin)


def _key(name: str) -> str:
    """Return a hash of all that decides what compiling a module gives."""
    digest = hashlib.sha256(repr(_host()).encode())
    for part in (*callees(name), name):
        digest.update(hashlib.sha256(_source(part).read_bytes()).digest())
    return digest.hexdigest()


@cache
def _host() -> tuple[str, ...]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = [platform.processor()]
    wanted = ("model name", "flags", "Features", "CPU part")
    cpu = sorted({line for line in lines if line.startswith(wanted)})
    return (metadata.version("numba"), sys.version, platform.machine(), *cpu)


def _stamp(name: str) -> Path:
    """Return the file that says that a module is compiled: beside numba's files if it can be."""
    source = _source(name)
    beside = source.parent / "__pycache__"
    file = f"{source.stem}.{sys.implementation.cache_tag}.warm"
    if "NUMBA_CACHE_DIR" not in os.environ and os.access(
        beside if beside.exists() else source.parent, os.W_OK
    ):
        return beside / file
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(home) / "mapc")
    return folder / f"{hashlib.sha256(bytes(source)).hexdigest()[:16]}.{file}"


def _lasting(name: str) -> bool:
    """Whether there is a folder to keep what is compiled."""
    folder = _stamp(name).parent
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return os.access(folder, os.W_OK)


def _read(name: str) -> list[str]:
    try:
        return _stamp(name).read_text(encoding="utf-8").split()
    except OSError:
        return []


def _write(name: str, key: str, state: str) -> None:
    stamp = _stamp(name)
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        passing = stamp.with_name(f"{stamp.name}.{os.getpid()}")
        passing.write_text(f"{key} {state}\n", encoding="utf-8")
        passing.replace(stamp)
    except OSError:
        return  # nowhere to write: every process compiles for itself


if __name__ == "__main__":
    compile_module(sys.argv[1])
