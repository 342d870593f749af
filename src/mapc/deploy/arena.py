"""Where everything lies in one block of memory, as JSON and as a C header.

A *buffer* is a tensor during one stay in the scratchpad, the workspace of an operator, or a buffer
of an allocation problem. It has its place from its first to its last step, both included; a tensor
that leaves and comes back is several buffers of one name. The arena is as large as the highest end
of a buffer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from mapc.deploy.text import to_json
from mapc.errors import InstanceError, UsageError
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

VERSION = 1
TENSOR, WORKSPACE, BUFFER = "tensor", "workspace", "buffer"

Problem = MemoryProblem | AllocationProblem
Plan = MemoryPlan | AllocationPlan

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Buffer:
    """Something with a place in the arena.

    Attributes
    ----------
    name : str
        Of the tensor, of the operator whose workspace it is, or of the buffer.
    kind : str
        ``"tensor"``, ``"workspace"`` or ``"buffer"``.
    offset : int
        Bytes from the start of the arena, a multiple of the alignment.
    bytes : int
        Without rounding.
    size : int
        Bytes reserved: rounded up to the alignment.
    first_step, last_step : int
        Both included.
    """

    name: str
    kind: str
    offset: int
    bytes: int
    size: int
    first_step: int
    last_step: int


def buffers_of(problem: Problem, plan: Plan) -> list[Buffer]:
    """Return all buffers of a plan, by first step, then offset.

    Raises
    ------
    InstanceError
        For a plan that does not belong to the problem.
    UsageError
        For a problem with banks: an arena is one block of memory.
    """
    if problem.options.banks if isinstance(problem, MemoryProblem) else problem.banks:
        raise UsageError("an arena is one block of memory; this problem has several banks")
    if isinstance(problem, MemoryProblem) and isinstance(plan, MemoryPlan):
        found = _of_memory(problem, plan)
    elif isinstance(problem, AllocationProblem) and isinstance(plan, AllocationPlan):
        found = _of_allocation(problem, plan)
    else:
        raise _foreign()
    return sorted(found, key=lambda one: (one.first_step, one.offset, one.kind, one.name))


def arena_bytes(buffers: list[Buffer]) -> int:
    """Return the bytes of the arena: the highest end of a buffer."""
    return max((one.offset + one.size for one in buffers), default=0)


def export_json(problem: Problem, plan: Plan) -> str:
    """Return the arena map as JSON.

    Top-level keys: ``format`` (``"arena"``), ``version``, ``name``, ``alignment``,
    ``capacity_bytes`` (null without one), ``arena_bytes``, ``operators`` (names by step, of
    memory plans only: one that runs again stands there again) and ``buffers``, each with the
    attributes of `Buffer`.

    Raises
    ------
    InstanceError
        For a plan that does not belong to the problem.
    """
    buffers = buffers_of(problem, plan)
    document = {
        "format": "arena",
        "version": VERSION,
        "name": name_of(problem),
        "alignment": problem.alignment,
        "capacity_bytes": problem.capacity,
        "arena_bytes": arena_bytes(buffers),
    }
    if isinstance(plan, MemoryPlan) and isinstance(problem, MemoryProblem):
        document["operators"] = operators_by_step(problem, plan)
    return to_json({**document, "buffers": [vars(one) for one in buffers]})


def export_c(problem: Problem, plan: Plan, *, prefix: str = "arena") -> str:
    """Return the arena map as a header for C99 and later, and for C++.

    It defines, with the prefix in upper case, ``ARENA_NAME``, ``ARENA_SIZE``, ``ARENA_ALIGNMENT``
    and ``ARENA_BUFFERS`` (how many), the type ``arena_buffer`` and the table ``arena_buffers``,
    by first step, then offset. After the last buffer follows one without a name.

    Parameters
    ----------
    problem, plan
    prefix : str
        What all names begin with: a letter, then letters, digits and underscores.

    Raises
    ------
    UsageError
        For a prefix that is no name in C.
    InstanceError
        For a plan that does not belong to the problem.
    """
    if not _IDENTIFIER.match(prefix):
        raise UsageError(f"prefix {prefix!r}: expected a letter, then letters, digits or _")
    buffers = buffers_of(problem, plan)
    upper = prefix.upper()
    rows = [
        f"    {{{_text(one.name)}, UINT64_C({one.offset}), UINT64_C({one.size}), "
        f"INT64_C({one.first_step}), INT64_C({one.last_step})}},"
        for one in buffers
    ]
    lines = [
        "/* Places in one block of memory: steps count from 0, first and last are included. */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define {upper}_NAME {_text(name_of(problem))}",
        f"#define {upper}_SIZE UINT64_C({arena_bytes(buffers)})",
        f"#define {upper}_ALIGNMENT UINT64_C({problem.alignment})",
        f"#define {upper}_BUFFERS {len(buffers)}",
        "",
        "typedef struct {",
        "    const char *name;",
        "    uint64_t offset;",
        "    uint64_t size;",
        "    int64_t first_step;",
        "    int64_t last_step;",
        f"}} {prefix}_buffer;",
        "",
        f"static const {prefix}_buffer {prefix}_buffers[{upper}_BUFFERS + 1] = {{",
        *rows,
        "    {0, UINT64_C(0), UINT64_C(0), INT64_C(0), INT64_C(0)},",
        "};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def name_of(problem: Problem) -> str:
    """Return what the problem is called."""
    return problem.graph.name if isinstance(problem, MemoryProblem) else problem.name


def operators_by_step(problem: MemoryProblem, plan: MemoryPlan) -> list[str]:
    """Return the names of the operators in the order in which they run."""
    return [problem.graph.operator_names[o] for o in plan.order.tolist()]


def check_memory_plan(problem: MemoryProblem, plan: MemoryPlan) -> None:
    """Raise `InstanceError` for a plan whose indices are none of the problem."""
    graph = problem.graph
    fits = (
        len(plan.workspace_address) == len(plan.order)
        and len(np.unique(plan.order)) == graph.n_operators
        and _within(plan.order, graph.n_operators)
        and _within(plan.tensor, graph.n_tensors)
    )
    if not fits:
        raise _foreign()


def _of_memory(problem: MemoryProblem, plan: MemoryPlan) -> list[Buffer]:
    check_memory_plan(problem, plan)
    graph = problem.graph
    residencies = zip(plan.residency.tolist(), problem.sizes[plan.tensor].tolist(), strict=True)
    found = [
        Buffer(
            name=graph.tensor_names[tensor],
            kind=TENSOR,
            offset=address,
            bytes=int(graph.tensor_bytes[tensor]),
            size=size,
            first_step=start,
            last_step=stop - 1,
        )
        for (tensor, start, stop, address), size in residencies
    ]
    for step, (o, run) in enumerate(zip(plan.order.tolist(), plan.runs.tolist(), strict=True)):
        if problem.workspaces[o]:
            offset, size = int(plan.workspace_address[run]), int(problem.workspaces[o])
            own = int(graph.workspace[o])
            name = graph.operator_names[o]
            found.append(Buffer(name, WORKSPACE, offset, own, size, step, step))
    return found


def _of_allocation(problem: AllocationProblem, plan: AllocationPlan) -> list[Buffer]:
    if len(plan.offset) != problem.n_buffers:
        raise _foreign()
    columns = (plan.offset, problem.size, problem.padded, problem.lower, problem.upper - 1)
    rows = np.stack(columns, axis=1).tolist()
    return [Buffer(name, BUFFER, *row) for name, row in zip(problem.names, rows, strict=True)]


def _within(indices: np.ndarray, n: int) -> bool:
    return not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < n)


def _foreign() -> InstanceError:
    return InstanceError("does not belong to the problem", "plan", "a plan of this problem")


def _text(text: str) -> str:
    """Return a string literal of C, UTF-8 by octal escapes; no trigraph can come about."""
    plain = [
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    ]
    return f'"{"".join(plain)}"'
