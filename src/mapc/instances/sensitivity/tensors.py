"""From weight tensors to a bits problem: measured losses, exact sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError, UsageError
from mapc.graph.formats import Format, matrix_shape, storage_bits
from mapc.graph.operators import Ragged
from mapc.graph.rounding import can_round
from mapc.instances.sensitivity.building import Choice, Group, build_problem
from mapc.instances.sensitivity.errors import Errors, weight_errors
from mapc.models.bits.problem import BitsProblem

RELATIVE, SQUARED, MEAN = "relative", "squared", "mean"
LOSSES = (RELATIVE, SQUARED, MEAN)
"""Relative squared error, sum of squared errors, mean squared error."""


@dataclass(frozen=True, eq=False)
class WeightTensor:
    """The weights of one group, loaded when they are needed.

    Attributes
    ----------
    name : str
        Of the group.
    shape : tuple of int
    axis : int, tuple of int or None
        Dimensions that count channels.
    load : callable
        Returns the float array.
    importance : float64[k, row] or None
        See `weight_errors`.
    facts : mapping
        Where the tensor comes from, kept in the provenance of the problem.
    """

    name: str
    shape: tuple[int, ...]
    axis: int | tuple[int, ...] | None
    load: Callable[[], NDArray[Any]]
    importance: NDArray[np.float64] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def problem_from_weights(
    name: str,
    tensors: Iterable[WeightTensor],
    formats: Sequence[Format],
    *,
    loss: str = RELATIVE,
    hessian: Mapping[str, float] | None = None,
    ties: Callable[[Sequence[str]], Ragged] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> BitsProblem:
    """Return the problem of giving each tensor one of the formats.

    A tensor has the formats that its rows fit. The one resource is ``size`` in bits, exact.

    Parameters
    ----------
    name : str
    tensors : iterable of WeightTensor
        Each is loaded once and let go.
    formats : sequence of Format
    loss : str
        ``relative``: ``|Q(w) - w|**2 / |w|**2``; ``squared``: ``|Q(w) - w|**2``; ``mean``: the
        same over the number of weights.
    hessian : mapping, optional
        Average Hessian trace of every group; the loss is trace times squared error, as HAWQ has
        it, whatever ``loss`` says.
    ties : callable, optional
        ``ties(names) -> Ragged``; see `mapc.instances.importers.ties.ties_by_rule`.
    provenance : mapping, optional

    Raises
    ------
    InstanceError
        For no tensors, weights that are not finite, a tensor that no format fits, or a trace that
        is missing, negative or not finite.
    UsageError
        For an unknown loss, no formats, one twice, or one that cannot be measured.
    """
    _check_choice(formats, loss)
    groups, facts = [], {}
    for tensor in tensors:
        try:
            groups.append(_group(tensor, formats, loss, hessian))
        except InstanceError as error:
            raise error.inside(f"tensor {tensor.name!r}") from None
        facts[tensor.name] = {"shape": list(tensor.shape), **tensor.facts}
    if not groups:
        raise InstanceError("no weights to quantize in it", "", "floating-point weight matrices")
    names = [group.name for group in groups]
    measured = "hessian" if hessian is not None else loss
    return build_problem(
        name,
        groups,
        resources=("size",),
        units=("bits",),
        ties=None if ties is None else ties(names),
        provenance={**(provenance or {}), "loss": measured, "tensors": facts},
    )


def _check_choice(formats: Sequence[Format], loss: str) -> None:
    if loss not in LOSSES:
        raise UsageError(f"loss {loss!r}: no such loss; expected one of {', '.join(LOSSES)}")
    names = [f.name for f in formats]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"formats {', '.join(names) or 'none'}: expected one or more, each once")
    for format in formats:
        if not can_round(format):
            raise UsageError(
                f"format {format.name!r}: known by its size only, its errors cannot be measured; "
                "expected another, or losses from a table"
            )


def _group(
    tensor: WeightTensor,
    formats: Sequence[Format],
    loss: str,
    hessian: Mapping[str, float] | None,
) -> Group:
    channels, row = matrix_shape(tensor.shape, tensor.axis)
    fitting = [f for f in formats if f.fits(row)]
    if not fitting:
        raise InstanceError(
            f"rows of {row} weights fit none of {', '.join(f.name for f in formats)}",
            "",
            f"a format for any row, or blocks that divide {row}",
        )
    trace = None if hessian is None else _trace(hessian, tensor.name)
    errors = weight_errors(tensor.load(), fitting, tensor.axis, tensor.importance)
    losses = _losses(errors, loss) if trace is None else trace * errors.squared
    return Group(
        tensor.name,
        [
            Choice(format.name, float(value), (storage_bits(format, tensor.shape, tensor.axis),))
            for format, value in zip(fitting, losses, strict=True)
        ],
        weights=channels * row,
    )


def _losses(errors: Errors, loss: str) -> NDArray[np.float64]:
    return {RELATIVE: errors.relative, SQUARED: errors.squared, MEAN: errors.mean}[loss]


def _trace(hessian: Mapping[str, float], name: str) -> float:
    trace = hessian.get(name)
    if trace is None:
        raise InstanceError("no trace for it", "hessian", "one number for every group")
    if not (math.isfinite(trace) and trace >= 0):
        raise InstanceError(f"trace {trace}", "hessian", "a finite number >= 0")
    return trace
