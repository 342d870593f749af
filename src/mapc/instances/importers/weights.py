"""Importers that measure: from the weights of a model to a bits problem."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.graph.formats import matrix_shape
from mapc.instances import schema
from mapc.instances.importers.gguf import MAGIC, GgufFile
from mapc.instances.importers.number_formats import chosen_formats
from mapc.instances.importers.onnx_weights import onnx_weights
from mapc.instances.importers.safetensors import float_tensors, selected
from mapc.instances.importers.ties import ties_by_rule
from mapc.instances.sensitivity.tensors import (
    RELATIVE,
    SQUARED,
    WeightTensor,
    problem_from_weights,
)
from mapc.models.bits.problem import BitsProblem

FORMATS = ("int4", "int8", "bf16")
GGUF_FORMATS = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0")


def import_onnx_weights(
    path: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    loss: str = RELATIVE,
    hessian: str | Path | None = None,
    ties: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    min_weights: int = 0,
    own_formats: str | Path | None = None,
) -> BitsProblem:
    """Measure the weights of an ONNX model.

    Every convolution, matrix product, recurrent layer and embedding with constant weights is a
    group; see `mapc.instances.importers.onnx_weights.onnx_weights`.

    Parameters
    ----------
    path : path
    formats : sequence of str
        Names as in `mapc.graph.formats.format_named`.
    loss : str
        ``relative``, ``squared`` or ``mean``; see `problem_from_weights`.
    hessian : path, optional
        JSON object with the average Hessian trace of every group.
    ties : sequence of str
        Rules; see `ties_by_rule`.
    only, skip : sequence of str
        Globs over group names; weights left out are not part of the problem.
    min_weights : int
        Smaller tensors are left out.
    own_formats : path, optional
        TOML or JSON with formats of one's own.

    Raises
    ------
    InstanceError, UsageError, UnavailableError
        For a file that is no model, and choices that cannot be.
    """
    tensors = [
        tensor
        for tensor in onnx_weights(path)
        if _wanted(tensor.name, tensor.shape, only, skip, min_weights)
    ]
    return _measured(path, "onnx-weights", tensors, formats, loss, hessian, ties, own_formats)


def import_safetensors(
    path: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    loss: str = RELATIVE,
    hessian: str | Path | None = None,
    ties: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    min_weights: int = 0,
    own_formats: str | Path | None = None,
) -> BitsProblem:
    """Measure the weights of a safetensors file, or of the files an index names.

    Every floating-point tensor of two or more dimensions is a group, its first dimension counting
    channels, as torch has it; in a stack of experts the first two do. Parameters and errors as for
    `import_onnx_weights`.
    """
    tensors = [
        WeightTensor(t.name, t.shape, _torch_axis(t.name, t.shape), t.load)
        for t in float_tensors(path)
        if len(t.shape) > 1 and _wanted(t.name, t.shape, only, skip, min_weights)
    ]
    return _measured(path, "safetensors", tensors, formats, loss, hessian, ties, own_formats)


def import_imatrix(
    path: str | Path,
    *,
    weights: str | Path,
    formats: Sequence[str] = GGUF_FORMATS,
    loss: str = SQUARED,
    ties: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    own_formats: str | Path | None = None,
) -> BitsProblem:
    """Measure weights by the importance matrix that llama.cpp collects.

    The loss of a tensor is ``sum(h[c] * (Q(w) - w)**2)`` with ``h[c]`` the mean squared activation
    of input column ``c`` (``in_sum2 / counts``): the expected squared error of the output. Experts
    that saw no token take the mean of those that did.

    Parameters
    ----------
    path : path
        The importance matrix, GGUF.
    weights : path
        GGUF or safetensors with the unquantized weights (F32, F16, BF16) under the same names.
        Tensors without importance are no groups; the provenance lists them.
    formats, loss, ties, only, skip, own_formats
        As for `import_onnx_weights`.

    Raises
    ------
    InstanceError, UsageError
        For files of another kind, importance that does not fit, and choices that cannot be.
    """
    matrix = _ImportanceMatrix(path)
    tensors, without = [], []
    for tensor in _model_tensors(weights):
        if not _wanted(tensor.name, tensor.shape, only, skip, 0):
            continue
        if tensor.name not in matrix.names:
            without.append(tensor.name)
            continue
        columns = matrix_shape(tensor.shape, tensor.axis)[1]
        h = matrix.importance(tensor.name, columns)
        tensors.append(
            WeightTensor(tensor.name, tensor.shape, tensor.axis, tensor.load, importance=h)
        )
    if not tensors:
        right = f"names such as {next(iter(matrix.names), '')!r}"
        raise InstanceError("no tensor has importance", display_name(weights), right)
    more = {"importance": Path(path).name, "without_importance": without}
    return _measured(weights, "imatrix", tensors, formats, loss, None, ties, own_formats, more)


def _measured(
    path: str | Path,
    form: str,
    tensors: Sequence[WeightTensor],
    formats: Sequence[str],
    loss: str,
    hessian: str | Path | None,
    ties: Sequence[str],
    own_formats: str | Path | None,
    more: dict[str, Any] | None = None,
) -> BitsProblem:
    chosen = chosen_formats(formats, own_formats)
    traces = None if hessian is None else _traces(hessian)
    try:
        return problem_from_weights(
            Path(path).stem,
            tensors,
            chosen,
            loss=loss,
            hessian=traces,
            ties=partial(ties_by_rule, rules=ties),
            provenance={"source": Path(path).name, "format": form, **(more or {})},
        )
    except InstanceError as error:
        raise error.inside(display_name(path)) from None


def _traces(path: str | Path) -> dict[str, float]:
    data = read_bytes(path, MAX_TEXT_BYTES)
    return schema.decode(data, dict[str, float], display_name(path))


def _wanted(
    name: str, shape: Sequence[int], only: Sequence[str], skip: Sequence[str], least: int
) -> bool:
    return selected(name, only, skip) and int(np.prod(shape, dtype=object)) >= max(least, 1)


def _torch_axis(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    return (0, 1) if len(shape) == 3 and "experts" in name else (0,)


def _model_tensors(path: str | Path) -> list[WeightTensor]:
    """Return the unquantized matrices of a GGUF or safetensors file."""
    if Path(path).suffix.lower() in (".safetensors", ".json"):
        return [
            WeightTensor(t.name, t.shape, _torch_axis(t.name, t.shape), t.load)
            for t in float_tensors(path)
            if len(t.shape) > 1
        ]
    file = GgufFile(path)
    return [
        # the last dimension is summed over; a third one counts experts
        WeightTensor(t.name, t.shape, tuple(range(len(t.shape) - 1)), partial(file.array, t.name))
        for t in file.tensors.values()
        if len(t.shape) > 1 and t.is_float
    ]


class _ImportanceMatrix:
    """Sums of squared activations by tensor, as llama.cpp writes them to GGUF."""

    def __init__(self, path: str | Path) -> None:
        self.where = display_name(path)
        with_magic = read_magic(path) == MAGIC
        if not with_magic:
            raise InstanceError(
                "no GGUF", self.where, "an importance matrix in GGUF (the older .dat: convert it)"
            )
        self._file = GgufFile(path)
        kind = self._file.metadata.get("general.type")
        if kind != "imatrix":
            raise InstanceError(f"general.type {kind!r}"[:60], self.where, "'imatrix'")
        ending = ".in_sum2"
        self.names = {n.removesuffix(ending) for n in self._file.tensors if n.endswith(ending)}

    def importance(self, name: str, columns: int) -> NDArray[np.float64]:
        """Return float64[experts, columns]: mean squared activations.

        Raises
        ------
        InstanceError
            For sums of another length, counts that are missing, or numbers that make no sense.
        """
        where = f"{self.where}: {name!r}"
        if f"{name}.counts" not in self._file.tensors:
            raise InstanceError("no counts", where, "in_sum2 and counts")
        with np.errstate(invalid="ignore"):  # refused below
            sums = np.atleast_2d(self._file.array(f"{name}.in_sum2").astype(np.float64))
            counts = self._file.array(f"{name}.counts").astype(np.float64).reshape(-1, 1)
        if sums.ndim != 2 or sums.shape != (len(counts), columns):
            right = f"[{len(counts)}, {columns}]"
            raise InstanceError(f"in_sum2 of shape {sums.shape}", where, right)
        finite = np.isfinite(sums).all() and np.isfinite(counts).all()
        if not finite or min(sums.min(), counts.min()) < 0:
            raise InstanceError("a number that is negative or not finite", where, ">= 0")
        seen = counts[:, 0] > 0
        if not seen.any():
            return np.ones_like(sums)
        with np.errstate(over="ignore"):  # and what overflows, where the weights are measured
            mean = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        mean[~seen] = mean[seen].mean(axis=0)
        return mean


def read_magic(path: str | Path) -> bytes:
    """Return the first four bytes of a file.

    Raises
    ------
    InstanceError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InstanceError(f"cannot be read: {reason}", display_name(path)) from None
