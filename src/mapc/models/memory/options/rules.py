"""Options by rule: texts ``NAME=VALUE`` that name tensors by what they are.

Costs of an objective are whole numbers per byte:

========= ====== ======== =================================================================
objective cost   unit     figure
========= ====== ======== =================================================================
bytes     1      byte
energy    163    pJ       a DRAM access of 64 bits takes 1.3 to 2.6 nJ (M. Horowitz,
                          *Computing's energy problem*, ISSCC 2014); the lower end
time      39     ps       25.6 GB/s, a 64-bit channel at 3,200 MT/s
========= ====== ======== =================================================================

Reads, writes and streamed reads alike; ``read-cost`` and the others set them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from mapc.errors import InstanceError, UsageError
from mapc.models.memory.options.model import MAX_PAIRS, Options, Triple
from mapc.models.memory.problem import MemoryProblem
from mapc.units import parse_bytes

OBJECTIVES = {"bytes": 1, "energy": 163, "time": 39}
"""Cost of a byte in either direction."""
_KINDS = """
abs add and batchnorm batchnormalization cast ceil celu clamp clip cos div dropout elu erf exp
fastgelu floor gelu hardsigmoid hardswish hardtanh identity leakyrelu log logsigmoid mish mul
neg not or pow prelu reciprocal relu relu6 round rsqrt selu sigmoid sign silu sin softplus
softsign sqrt sub swish tanh thresholdedrelu
"""
ELEMENTWISE = frozenset(_KINDS.split())
"""Kinds of operators, in small letters without underscores, that write an element of their output
after they have read the one at the same place of their input, and no other one later."""


def apply_rules(problem: MemoryProblem, texts: Iterable[str]) -> MemoryProblem:
    """Return the problem with options as the texts say; a later one goes before an earlier one.

    ``objective=bytes|energy|time``; ``read-cost=N``, ``write-cost=N``, ``stream-cost=N``;
    ``weights=resident|pinned|streamed`` for all constants that are read; ``pinned=TENSOR``,
    ``streamed=TENSOR`` (by all its readers); ``in-place=elementwise|none``; ``prefetch=STEPS``;
    ``order=given|free``; ``banks=[NAME:]SIZE+[NAME:]SIZE+...|none`` instead of one scratchpad, and
    ``confined=TENSOR:BANK`` (repeated, it adds; applied behind the banks);
    ``recompute=elementwise|all|none|OPERATOR`` (repeated, it adds) and
    ``recompute-cost=N`` per byte that such an operator writes, for all of them. Wherever these two
    stand, they are applied last. Without a cost, running again costs what loading the outputs
    would: what it saves is the write, and no plan becomes worse than it says as long as operators
    write no slower than the off-chip memory reads.

    Raises
    ------
    UsageError
        For a text that is none of these.
    """
    options = problem.options
    for text in sorted(texts, key=lambda text: LAST.get(text.partition("=")[0].strip(), 0)):
        name, equals, value = (part.strip() for part in text.partition("="))
        if name not in RULES or not equals:
            raise UsageError(f"rule {text!r}: expected one of {', '.join(RULES)}, each with =VALUE")
        try:
            options = RULES[name](problem, options, value)
        except ValueError as error:
            raise UsageError(f"rule {text!r}: expected {error}") from None
    capacity, note = problem.capacity, problem.capacity_note
    if options.banks != problem.options.banks and options.banks:
        capacity, note = None, ""
    try:
        return replace(problem, options=options, capacity=capacity, capacity_note=note)
    except InstanceError as error:
        raise UsageError(str(error)) from None


def _objective(problem: MemoryProblem, options: Options, value: str) -> Options:
    if value not in OBJECTIVES:
        raise ValueError(" or ".join(OBJECTIVES))
    cost = OBJECTIVES[value]
    return replace(options, read_cost=cost, write_cost=cost, stream_cost=None)


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise ValueError("a whole number")
    return int(value)


def _number(field: str) -> Callable[[MemoryProblem, Options, str], Options]:
    def rule(problem: MemoryProblem, options: Options, value: str) -> Options:
        change: dict[str, Any] = {field: _whole(value)}
        return replace(options, **change)

    return rule


def _weights(problem: MemoryProblem, options: Options, value: str) -> Options:
    graph = problem.graph
    weights = {
        t for t in range(graph.n_tensors) if graph.is_constant[t] and graph.consumers[t].size
    }
    options = replace(
        options,
        pinned=tuple(t for t in options.pinned if t not in weights),
        streamable=tuple(pair for pair in options.streamable if pair[1] not in weights),
    )
    if value == "resident":
        return options
    if value not in ("pinned", "streamed"):
        raise ValueError("resident, pinned or streamed")
    for t in sorted(weights):
        options = _pin(options, t) if value == "pinned" else _stream(problem, options, t)
    return options


def _pin(options: Options, t: int) -> Options:
    return replace(
        options,
        pinned=tuple({*options.pinned, t}),
        streamable=tuple(pair for pair in options.streamable if pair[1] != t),
        in_place=tuple(pair for pair in options.in_place if pair[1] != t),
    )


def _stream(problem: MemoryProblem, options: Options, t: int) -> Options:
    readers = problem.graph.consumers[t].tolist()
    return replace(
        options,
        pinned=tuple(other for other in options.pinned if other != t),
        streamable=tuple({*options.streamable, *((o, t) for o in readers)}),
    )


def _tensor(problem: MemoryProblem, name: str) -> int:
    if name not in problem.graph.tensor_names:
        raise ValueError("the name of a tensor")
    return problem.graph.tensor_names.index(name)


def _in_place(problem: MemoryProblem, options: Options, value: str) -> Options:
    if value not in ("elementwise", "none"):
        raise ValueError("elementwise or none")
    pairs = _elementwise(problem, options) if value == "elementwise" else ()
    return replace(options, in_place=tuple(pairs))


def _elementwise(problem: MemoryProblem, options: Options) -> list[Triple]:
    """Inputs and outputs of equal size of elementwise operators; no constants, nothing pinned."""
    graph, pairs = problem.graph, []
    for o, kind in enumerate(graph.operator_kinds):
        if _is_elementwise(kind):
            pairs += [
                (o, a, b)
                for a in graph.inputs[o].tolist()
                for b in graph.outputs[o].tolist()
                if graph.tensor_bytes[a] == graph.tensor_bytes[b]
                and not graph.is_constant[a]
                and a not in options.pinned
            ][:MAX_PAIRS]
    return pairs


def _is_elementwise(kind: str) -> bool:
    return kind.rpartition("::")[2].replace("_", "").lower() in ELEMENTWISE


def _recompute(problem: MemoryProblem, options: Options, value: str) -> Options:
    graph = problem.graph
    of_use = [
        o for o in range(graph.n_operators) if graph.consumers.lengths[graph.outputs[o]].any()
    ]
    if value == "none":
        return replace(options, recompute=())
    if value == "elementwise":
        chosen = [o for o in of_use if _is_elementwise(graph.operator_kinds[o])]
    elif value == "all":
        chosen = of_use
    elif value in graph.operator_names:
        chosen = [graph.operator_names.index(value)]
    else:
        raise ValueError("elementwise, all, none or the name of an operator")
    operators = {*chosen, *(o for o, _ in options.recompute)}
    known = dict(options.recompute)
    priced = {o: options.read_cost * _written(problem, o) for o in operators}
    return replace(options, recompute=tuple((priced | known).items()))


def _recompute_cost(problem: MemoryProblem, options: Options, value: str) -> Options:
    each = _whole(value)
    if not options.recompute:
        raise ValueError("operators that may run again, by recompute=")
    priced = [(o, each * _written(problem, o)) for o, _ in options.recompute]
    return replace(options, recompute=tuple(priced))


def _written(problem: MemoryProblem, o: int) -> int:
    """Bytes of all outputs of an operator."""
    return int(problem.sizes[problem.graph.outputs[o]].sum())


def _order(problem: MemoryProblem, options: Options, value: str) -> Options:
    if value not in ("given", "free"):
        raise ValueError("given or free")
    return replace(options, keep_order=value == "given")


def _banks(problem: MemoryProblem, options: Options, value: str) -> Options:
    banks: list[tuple[str, int]] = []
    for k, one in enumerate(value.split("+") if value != "none" else ()):
        name, colon, size = one.rpartition(":")
        try:
            banks.append((name.strip() if colon else f"bank{k}", parse_bytes(size.strip())))
        except UsageError:
            raise ValueError("sizes as 512KiB+256KiB, each with NAME: if it has one") from None
    return replace(options, banks=tuple(banks), confined=())


def _confined(problem: MemoryProblem, options: Options, value: str) -> Options:
    tensor, _, bank = value.rpartition(":")
    names = [name for name, _ in options.banks]
    if bank not in names:
        known = f"one of the banks, {', '.join(names)}" if names else "a bank of the rule banks="
        raise ValueError(f"TENSOR:BANK with {known}")
    pair = (_tensor(problem, tensor), names.index(bank))
    return replace(options, confined=tuple({*options.confined, pair}))


RULES: dict[str, Callable[[MemoryProblem, Options, str], Options]] = {
    "objective": _objective,
    "read-cost": _number("read_cost"),
    "write-cost": _number("write_cost"),
    "stream-cost": _number("stream_cost"),
    "weights": _weights,
    "pinned": lambda problem, options, name: _pin(options, _tensor(problem, name)),
    "streamed": lambda problem, options, name: _stream(problem, options, _tensor(problem, name)),
    "in-place": _in_place,
    "prefetch": _number("prefetch"),
    "order": _order,
    "banks": _banks,
    "confined": _confined,
    "recompute": _recompute,
    "recompute-cost": _recompute_cost,
}
"""By name: ``rule(problem, options, value) -> options``; ValueError says what would be right."""
LAST = {"confined": 1, "recompute": 1, "recompute-cost": 2}
"""Rules that need to know what the others say, and their turn."""
