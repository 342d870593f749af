"""What makes banks and alignments malformed, or impossible before any search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray, IntArray
from mapc.units import MAX_BYTES, format_bytes

if TYPE_CHECKING:
    from mapc.models.allocation.problem import AllocationProblem

MAX_BANKS = 64
MAX_ALIGNMENT = 2**30


def alignments(given: IntArray | None, common: int, names: tuple[str, ...]) -> None:
    """Refuse alignments of single buffers that are no multiples of the common one, or too large."""
    if given is None:
        return
    if given.shape != (len(names),):
        raise InstanceError(f"{len(given)} entries", "alignments", f"{len(names)}")
    wrong = (given < 1) | (given > MAX_ALIGNMENT) | (given % common != 0)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InstanceError(
            f"alignment {given[at]}",
            f"buffer {names[at]!r}",
            f"a multiple of {common} up to 2**30 bytes",
        )
    step = 1
    for one in np.unique(given).tolist():
        step = int(np.lcm(step, one))
        if step > MAX_ALIGNMENT:
            raise InstanceError(
                f"alignments with {step} as a common multiple",
                "alignments",
                "a least common multiple up to 2**30 bytes",
            )


def banks(
    given: tuple[tuple[str, int], ...], allowed: BoolArray | None, names: tuple[str, ...]
) -> None:
    """Refuse banks without a name or size, and buffers that no bank takes."""
    check_banks(given, "banks")
    if allowed is None:
        return
    if allowed.shape != (len(names), len(given)):
        raise InstanceError(
            f"shape {allowed.shape}", "allowed", f"{len(names)} buffers, {len(given)} banks"
        )
    homeless = ~allowed.any(axis=1)
    if homeless.any():
        name = names[int(np.argmax(homeless))]
        raise InstanceError("no bank takes it", f"buffer {name!r}", "at least one bank")


def check_banks(given: tuple[tuple[str, int], ...], where: str) -> None:
    """Refuse banks that are too many, nameless, named twice, or of a size out of range."""
    if len(given) > MAX_BANKS:
        raise InstanceError(f"{len(given)} banks", where, f"at most {MAX_BANKS}")
    seen = set()
    for name, capacity in given:
        if not name or name in seen:
            raise InstanceError(f"bank {name!r}", where, "names, each once")
        if not 0 <= capacity <= MAX_BYTES:
            raise InstanceError(f"bank {name!r} of {capacity} bytes", where, f"0 to {MAX_BYTES}")
        seen.add(name)


def reserved_banks(of: IntArray | None, reserved: IntArray | None, n_banks: int) -> None:
    """Refuse reserved ranges in banks that are not there."""
    if of is None:
        return
    count = 0 if reserved is None else len(reserved)
    if of.shape != (count,):
        raise InstanceError(f"{len(of)} entries", "reserved_bank", f"{count}")
    wrong = (of < 0) | (of >= max(n_banks, 1))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InstanceError(f"bank {of[at]}", f"reserved_bank[{at}]", f"0 to {max(n_banks, 1) - 1}")


def one_bank_each(
    allowed: BoolArray | None, held: IntArray, n_banks: int, names: tuple[str, ...]
) -> None:
    """Refuse fixed addresses of buffers, int64[k], of which it is open in which bank they are."""
    if n_banks < 2 or not len(held):
        return
    count = np.full(len(held), n_banks) if allowed is None else allowed[held].sum(axis=1)
    if (count != 1).any():
        name = names[int(held[np.argmax(count != 1)])]
        raise InstanceError(
            "fixed address in one of several banks", f"buffer {name!r}", "one bank that takes it"
        )


def misfit(problem: AllocationProblem) -> str | None:
    """Return which buffer no bank that takes it has room for, or None; alone, and as it is fixed.

    That proves that there is no plan: the buffer has to lie in one of them.
    """
    if not problem.banks:
        return None
    usable = problem.line.end - problem.line.base
    least = np.zeros(problem.n_buffers, dtype=np.int64) if problem.fixed is None else problem.fixed
    fits = (np.maximum(least, 0) + problem.padded)[:, None] <= usable
    if problem.allowed is not None:
        fits &= problem.allowed
    stuck = ~fits.any(axis=1) & (problem.padded > 0)
    if not stuck.any():
        return None
    at = int(np.argmax(stuck))
    takes = usable if problem.allowed is None else usable[problem.allowed[at]]
    where = "" if least[at] <= 0 else f" at its fixed address {least[at]}"
    return (
        f"buffer {problem.names[at]!r} of {problem.size[at]} bytes{where} fits none of the banks "
        f"that take it; the largest has {format_bytes(int(takes.max()))}"
    )
