"""Order, residency and addresses of tensors in a scratchpad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mapc.errors import InfeasibleError, UsageError
from mapc.models.memory import peak
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.capacities import bracket_peak, order_peak, with_capacity
from mapc.models.memory.formulations import FORMULATIONS
from mapc.models.memory.kept_order import chained, with_given_order
from mapc.models.memory.methods import METHODS
from mapc.models.memory.options.bank_sets import unsplittable
from mapc.models.memory.options.methods import with_options
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers.base import Number
from mapc.units import format_bytes


class MemoryFamily:
    """The memory family, as the verbs and the portfolio see it.

    Its objective is the extra cost within a capacity; `goals` has others.
    """

    kind = "memory"
    problem_type = MemoryProblem
    methods = with_given_order(with_options(METHODS))
    formulations = FORMULATIONS
    verify = staticmethod(verify)

    def precheck(self, problem: MemoryProblem) -> None:
        """Refuse a capacity below the largest working set, naming the operator."""
        if problem.room < problem.smallest_capacity:
            worst = int(problem.working_set.argmax())
            beside = ", what is pinned included" if problem.options.pinned else ""
            where = "the banks together have" if problem.options.banks else "the scratchpad has"
            raise InfeasibleError(
                f"operator {problem.graph.operator_names[worst]!r}: needs "
                f"{problem.smallest_capacity} bytes for its inputs, outputs and workspace{beside}; "
                f"{where} {problem.room}; give at least "
                f"{problem.smallest_capacity} (M_R)"
            )
        stuck = unsplittable(problem) if problem.options.banks else None
        if stuck is not None:
            sizes = ", ".join(f"{name} {size}" for name, size in problem.options.banks)
            raise InfeasibleError(
                f"operator {problem.graph.operator_names[stuck]!r}: its inputs, outputs and "
                f"workspace, with what is pinned, cannot be split among the banks ({sizes} bytes), "
                f"though they are {problem.working_set[stuck]} bytes of {problem.room}"
            )

    def facts(self, problem: MemoryProblem) -> dict[str, Any]:
        """Capacity, its references and the size of the graph; bytes."""
        return {
            "name": problem.graph.name,
            "operators": problem.graph.n_operators,
            "tensors": problem.graph.n_tensors,
            "capacity_bytes": problem.capacity,
            "capacity_note": problem.capacity_note,
            "m_r_bytes": problem.smallest_capacity,
            "compulsory_bytes": problem.compulsory,
        }

    def details(self, problem: MemoryProblem) -> dict[str, Any]:
        """Slower figures, for ``show``: peaks and the bound at the capacity."""
        reference = bracket_peak(problem)
        details: dict[str, Any] = {
            "given_order_peak_bytes": order_peak(problem, problem.graph.given_order),
            "m_p_lower_bytes": reference.lower,
            "m_p_upper_bytes": reference.upper,
        }
        if problem.capacity is not None and problem.room >= problem.smallest_capacity:
            details["bound_bytes"] = ForcedSpans(chained(problem)).single_operator_bound()
        return details

    def with_capacity(self, problem: MemoryProblem, text: str | int) -> MemoryProblem:
        """Return the problem with ``text`` (bytes, a size, M_R, M_H or M_P) as its capacity."""
        return with_capacity(problem, text)

    def goals(self) -> Mapping[str, Callable[[MemoryProblem], tuple[Any, MemoryProblem]]]:
        """Return what else can be minimised: ``peak``, over all capacities."""
        return {"peak": _for_peak}

    def phrase(self, value: Number) -> str:
        """Return e.g. ``392 KiB extra off-chip traffic``."""
        return f"{format_bytes(value)} extra off-chip traffic"

    def phrase_of(self, problem: MemoryProblem) -> Callable[[Number], str]:
        """Return `phrase`, or where bytes have other costs e.g. ``163,000 units of extra cost``."""
        options = problem.options
        costs = {options.read_cost, options.write_cost}
        if options.streamable:
            costs.add(options.streaming_cost)
        return self.phrase if costs == {1} and not options.recompute else _in_units


def _in_units(value: Number) -> str:
    return f"{value:,} units of extra cost"


class PeakFamily(MemoryFamily):
    """The same problems, asked for the smallest capacity without extra cost."""

    methods = with_given_order(peak.METHODS)
    verify = staticmethod(peak.verify_peak)

    def precheck(self, problem: MemoryProblem) -> None:
        """Accept all: some capacity is large enough for every graph."""

    def facts(self, problem: MemoryProblem) -> dict[str, Any]:
        """Figures of the problem, and that its objective is a peak; files keep that."""
        return {**super().facts(problem), "minimize": "peak"}

    def phrase(self, value: Number) -> str:
        """Return e.g. ``a peak of 1,764 KiB``."""
        return f"a peak of {format_bytes(value)}"

    def phrase_of(self, problem: MemoryProblem) -> Callable[[Number], str]:
        """Return `phrase`: peaks are bytes, whatever transfers cost."""
        return self.phrase


def _for_peak(problem: MemoryProblem) -> tuple[Any, MemoryProblem]:
    if problem.options.banks:
        raise UsageError("--minimize peak asks for one capacity; this problem has several banks")
    return PeakFamily(), replace(problem, capacity=None)


FAMILY = MemoryFamily()
