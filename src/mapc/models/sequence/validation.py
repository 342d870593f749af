"""The rules a sequence problem must meet.

Every check looks at whole columns; only the first offender is turned into words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError

if TYPE_CHECKING:
    from mapc.models.sequence.problem import GroupCost, SequenceProblem

MAX_TOKENS = 1 << 52
"""Tokens of all sequences together, and of a group: floats and int64 count them exactly."""
MAX_RANKS = 1 << 20
"""Methods and files may hold a number for each rank."""
LONGEST, SHORTEST = 1e300, 1e-200
"""Milliseconds of the longest step of all, unless it takes none: ticks stay normal floats."""

LONGEST_SEQUENCE = 86_400_000.0
"""Milliseconds, a day: where a sequence alone takes longer, coefficients have the wrong unit."""

_KINDS = {"i": "int64", "f": "float64"}


def validate(problem: SequenceProblem) -> None:
    """Refuse a problem that breaks a rule of `SequenceProblem`.

    Raises
    ------
    InstanceError
        For the first broken rule, naming the field and the sequence or mode.
    """
    _check_lengths(problem)
    _check_cluster(problem)
    _check_modes(problem)
    _check_coefficients(problem.cost)
    _check_memory(problem)
    _check_micro_batches(problem)
    _check_fits(problem)
    _check_time(problem)
    _check_units(problem)


# -- what is given ---------------------------------------------------------------------------------


def _check_lengths(problem: SequenceProblem) -> None:
    lengths = problem.lengths
    if not isinstance(lengths, np.ndarray) or lengths.dtype != np.int64 or lengths.ndim != 1:
        raise InstanceError(_found(lengths), "lengths", "one row of int64")
    if not len(lengths):
        raise InstanceError("no sequences", problem.name, "at least one")
    _whole("padding", problem.padding, 1, MAX_TOKENS)
    wrong = (lengths < 1) | (lengths > MAX_TOKENS)
    if wrong.any():
        at = _first(wrong)
        more = "; leave empty sequences out" if lengths[at] == 0 else ""
        raise InstanceError(f"length {lengths[at]}", f"sequence {at}", f"1 to {MAX_TOKENS}{more}")
    # floats are near enough to refuse before int64 overflows
    if problem.padded.astype(np.float64).sum() > MAX_TOKENS:
        raise InstanceError(
            "padded tokens of all sequences add up to more than 2**52",
            "lengths",
            "shorter sequences or a smaller padding",
        )


def _check_cluster(problem: SequenceProblem) -> None:
    ranks, node = problem.n_ranks, problem.node_ranks
    _whole("n_ranks", ranks, 1, MAX_RANKS)
    _whole("node_ranks", node, 1, ranks)
    if ranks % node or not (node == ranks or _powers(np.array([node]))[0]):
        raise InstanceError(
            f"nodes of {node} ranks",
            "node_ranks",
            f"a power of two that divides {ranks}, or {ranks}",
        )


def _check_modes(problem: SequenceProblem) -> None:
    from mapc.models.sequence.problem import RING, ULYSSES

    cost = problem.cost
    degree = cost.degree
    if not isinstance(degree, np.ndarray) or degree.dtype != np.int64 or degree.ndim != 1:
        raise InstanceError(_found(degree), "degree", "one row of int64")
    modes = len(degree)
    if not modes:
        raise InstanceError("no degrees", "degree", "at least one")
    for name, kind in (("quadratic", "f"), ("linear", "f"), ("fixed", "f"), ("tokens", "i")):
        _column(name, getattr(cost, name), modes, kind)
    if len(cost.kind) != modes:
        raise InstanceError(f"{len(cost.kind)} entries", "kind", f"{modes}, as degree")
    for j, name in enumerate(cost.kind):
        if name not in (ULYSSES, RING):
            raise InstanceError(f"kind {name!r}", f"mode {j}", f"{ULYSSES!r} or {RING!r}")
    odd = ~_powers(degree)
    if odd.any():
        at = _first(odd)
        raise InstanceError(f"degree {degree[at]}", f"mode {at}", "a power of two")
    if (degree > problem.n_ranks).any():
        at = _first(degree > problem.n_ranks)
        raise InstanceError(
            f"degree {degree[at]} on a cluster of {problem.n_ranks} ranks",
            f"mode {at}",
            f"at most {problem.n_ranks}",
        )
    falling = np.diff(degree) < 0
    if falling.any():
        at = _first(falling) + 1
        raise InstanceError(
            f"degree {degree[at]} after {degree[at - 1]}", f"mode {at}", "increasing degrees"
        )
    seen: set[tuple[int, str]] = set()
    for j, mode in enumerate(zip(degree.tolist(), cost.kind, strict=True)):
        if mode in seen:
            raise InstanceError(f"degree {mode[0]} {mode[1]} twice", f"mode {j}", "every mode once")
        seen.add(mode)


def _check_coefficients(cost: GroupCost) -> None:
    for name, unit in (
        ("quadratic", "ms per token squared"),
        ("linear", "ms per token"),
        ("fixed", "ms"),
    ):
        values = getattr(cost, name)
        wrong = ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            at = _first(wrong)
            raise InstanceError(
                f"{name} {values[at]}", _mode(cost, at), f"a finite number of {unit}, >= 0"
            )


def _check_memory(problem: SequenceProblem) -> None:
    tokens = problem.cost.tokens
    wrong = (tokens < problem.padding) | (tokens > MAX_TOKENS)
    if wrong.any():
        at = _first(wrong)
        raise InstanceError(
            f"memory for {tokens[at]} tokens",
            _mode(problem.cost, at),
            f"{problem.padding} (the padding) to {MAX_TOKENS}; leave out a degree that holds none",
        )


def _check_micro_batches(problem: SequenceProblem) -> None:
    _whole("least", problem.least, 1, problem.n_sequences, "as many as there are sequences")
    if problem.most is not None:
        _whole("most", problem.most, problem.least, MAX_TOKENS, "and not below least; or none")


# -- what follows from it --------------------------------------------------------------------------


def _check_fits(problem: SequenceProblem) -> None:
    """Refuse a sequence that no group holds; of several the longest, whose cure cures all."""
    cost, padded = problem.cost, problem.padded
    largest = int(cost.tokens.argmax())
    most, degree = int(cost.tokens[largest]), int(cost.degree[largest])
    over = int((padded > most).sum())
    if not over:
        return
    at = int(padded.argmax())
    needed = degree
    while needed * most < int(padded[at]) * degree:
        needed *= 2
    beyond = f", more than the {problem.n_ranks} ranks here" if needed > problem.n_ranks else ""
    raise InstanceError(
        f"{padded[at]} padded tokens fit no group: the most is {most}, at degree {degree}"
        + (f" ({over} sequences are too long)" if over > 1 else ""),
        f"sequence {at}",
        f"at most {most} tokens, or at equal memory per rank degree {needed}{beyond}, or memory "
        f"for {-(-int(padded[at]) // degree)} tokens per rank",
    )


def _check_time(problem: SequenceProblem) -> None:
    """Refuse times that ticks cannot count; the sum is that of `SequenceProblem.tick`."""
    cost, s = problem.cost, problem.padded.astype(np.float64)
    with np.errstate(over="ignore"):
        slowest = (
            cost.quadratic.max() * (s * s).sum()
            + cost.linear.max() * s.sum()
            + cost.fixed.max() * len(s)
        )
    if slowest > LONGEST or 0 < slowest < SHORTEST:
        raise InstanceError(
            f"all sequences one by one take {slowest} ms",
            "quadratic, linear, fixed",
            f"0, or {SHORTEST} to {LONGEST} ms",
        )


def _check_units(problem: SequenceProblem) -> None:
    """Refuse times that no training step has, unless they are no milliseconds at all.

    Megatron's costs are in a unit of their own; they have neither linear nor fixed terms.
    """
    cost = problem.cost
    if not (cost.linear.any() or cost.fixed.any()):
        return
    at = int(problem.padded.argmax())
    s, fits = float(problem.padded[at]), problem.fits[:, at]
    parts = {"quadratic": cost.quadratic * s * s, "linear": cost.linear * s, "fixed": cost.fixed}
    time = np.where(fits, sum(parts.values()), np.inf)
    mode = int(time.argmin())
    if time[mode] > LONGEST_SEQUENCE:
        name = max(parts, key=lambda part: float(parts[part][mode]))
        raise InstanceError(
            f"{name} {getattr(cost, name)[mode]:g} has {problem.padded[at]} tokens take "
            f"{time[mode] / LONGEST_SEQUENCE:.3g} days",
            _mode(cost, mode),
            "quadratic in ms per token squared, of the order of 1e-6, linear in ms per token, "
            "of the order of 0.1, fixed in ms",
        )


# -- words -----------------------------------------------------------------------------------------


def _whole(name: str, value: Any, least: int, most: int, note: str = "") -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and least <= value <= most):
        right = f"an int, {least} to {most}" + (f", {note}" if note else "")
        raise InstanceError(f"{value!r}", name, right)


def _column(name: str, array: Any, size: int, kind: str) -> None:
    right = f"{size} of {_KINDS[kind]}, as degree"
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(_KINDS[kind]):
        raise InstanceError(_found(array), name, right)
    if array.shape != (size,):
        raise InstanceError(f"shape {array.shape}", name, right)


def _found(array: Any) -> str:
    if isinstance(array, np.ndarray):
        return f"{array.dtype} of shape {array.shape}"
    return type(array).__name__


def _powers(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    powers: NDArray[np.bool_] = (values > 0) & (values & (values - 1) == 0)
    return powers


def _mode(cost: GroupCost, at: int) -> str:
    return f"mode {at} (degree {cost.degree[at]} {cost.kind[at]})"


def _first(wrong: NDArray[np.bool_]) -> int:
    return int(wrong.argmax())
