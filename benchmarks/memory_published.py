"""The published ILP on HiGHS beside mapc, on graphs small enough for it to finish.

``python benchmarks/memory.py --published [--ilp-seconds 60] [--minutes 20] [--json FILE]`` runs it.
Both get the same graph and capacity, one thread, ``--ilp-seconds``. Times are CPU seconds, those of
solver processes included, the building of models as well; kernels have to be compiled (``mapc
warmup``), and solvers are loaded before. The optima have to agree.

Graphs are seeded or made here: chains with long skips, diamonds, stacks of inverted bottlenecks,
randomly wired stages of few nodes, small U-Nets, layered graphs, one
attention block, and the first operators of recorded networks. Each is asked at `M_R` and, where
the ILP has to move something there, halfway to `M_P`.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import mapc
import memory_peers as peers
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models import family_of
from mapc.models.memory.problem import MemoryProblem

T = TypeVar("T")
KIB = 1024
LARGEST = 48
"""Operators above which the ILP is not asked."""


# -- graphs ---------------------------------------------------------------------------------------


def built(name: str, sizes: dict[str, int], ops: Sequence[tuple[str, str]]) -> MemoryProblem:
    """Return a graph from sizes in KiB and ``("in in", "out")``; what nobody reads is an output."""
    index = {tensor: i for i, tensor in enumerate(sizes)}
    read = {tensor for ins, _ in ops for tensor in ins.split()}
    return MemoryProblem(
        OperatorGraph(
            name=name,
            operator_names=tuple(f"o{i}" for i in range(len(ops))),
            operator_kinds=("any",) * len(ops),
            workspace=np.zeros(len(ops), dtype=np.int64),
            inputs=Ragged.of([index[t] for t in ins.split()] for ins, _ in ops),
            outputs=Ragged.of([index[t] for t in outs.split()] for _, outs in ops),
            tensor_names=tuple(sizes),
            tensor_bytes=np.array(list(sizes.values()), dtype=np.int64) * KIB,
            is_output=np.array([t not in read for t in sizes]),
            is_constant=np.zeros(len(sizes), dtype=np.bool_),
        )
    )


def chain(n: int, skips: int) -> MemoryProblem:
    """``n`` operators in a row; the first ``skips`` outputs are read again by the last ones."""
    sizes = {"t0": 16}
    ops = []
    for i in range(n):
        sizes[f"t{i + 1}"] = 16 + 8 * (i * i % 7)
        again = n - 1 - i
        other = f" t{again + 1}" if i >= n - skips and again + 1 < i else ""
        ops.append((f"t{i}{other}", f"t{i + 1}"))
    return built(f"chain {n}, {skips} skips", sizes, ops)


def diamonds(count: int, width: int) -> MemoryProblem:
    """Forks into ``width`` branches of two operators, joined again, in a row."""
    sizes, ops, last = {"x": 32}, [], "x"
    for d in range(count):
        ends = []
        for b in range(width):
            wide, end = f"w{d}{b}", f"e{d}{b}"
            sizes |= {wide: 48 + 16 * (b % 3), end: 16 + 8 * b}
            ops += [(last, wide), (wide, end)]
            ends.append(end)
        sizes[f"j{d}"] = 32
        ops.append((" ".join(ends), f"j{d}"))
        last = f"j{d}"
    return built(f"{count} diamonds of {width}", sizes, ops)


def bottlenecks(count: int) -> MemoryProblem:
    """Inverted bottlenecks with skip connections."""
    sizes, ops, last = {"x": 48, "s0": 64}, [("x", "s0")], "s0"
    for k in range(count):
        sizes |= {f"a{k}": 256, f"b{k}": 256, f"c{k}": 64, f"s{k + 1}": 64}
        ops += [(last, f"a{k}"), (f"a{k}", f"b{k}"), (f"b{k}", f"c{k}")]
        ops.append((f"{last} c{k}", f"s{k + 1}"))
        last = f"s{k + 1}"
    return built(f"{count} inverted bottlenecks", sizes, ops)


def first_operators(problem: MemoryProblem, n: int) -> MemoryProblem:
    """Return the graph of the first operators; what later ones read is an output."""
    graph = problem.graph
    ops = graph.given_order[:n].tolist()
    rows = [(graph.inputs[o].tolist(), graph.outputs[o].tolist()) for o in ops]
    tensors = sorted({t for ins, outs in rows for t in (*ins, *outs)})
    index = {t: i for i, t in enumerate(tensors)}
    inside = set(ops)
    leaves = [
        bool(graph.is_output[t]) or any(o not in inside for o in graph.consumers[t].tolist())
        for t in tensors
    ]
    return MemoryProblem(
        OperatorGraph(
            name=f"{graph.name}, first {len(ops)}",
            operator_names=tuple(graph.operator_names[o] for o in ops),
            operator_kinds=tuple(graph.operator_kinds[o] for o in ops),
            workspace=graph.workspace[ops].copy(),
            inputs=Ragged.of([index[t] for t in ins] for ins, _ in rows),
            outputs=Ragged.of([index[t] for t in outs] for _, outs in rows),
            tensor_names=tuple(graph.tensor_names[t] for t in tensors),
            tensor_bytes=graph.tensor_bytes[tensors].copy(),
            is_output=np.array(leaves) & ~graph.is_source[tensors],
            is_constant=graph.is_constant[tensors].copy(),
        )
    )


def light(name: str) -> Path | None:
    """Return the file of a light model of the ``onnx`` package."""
    spec = find_spec("onnx")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"


def graphs(folder: Path) -> Iterator[MemoryProblem]:
    """Yield all graphs, without a capacity."""
    yield from (chain(n, skips) for n, skips in ((8, 2), (12, 3), (16, 4), (24, 5)))
    yield from (diamonds(count, width) for count, width in ((1, 3), (2, 2), (2, 3), (1, 5)))
    yield from (bottlenecks(count) for count in (1, 2, 4))
    makers: list[dict[str, Any]] = [
        *({"network": "randwire", "nodes": 4, "neighbours": 2, "seed": seed} for seed in range(2)),
        {"network": "unet", "depth": 2},
        {"network": "gpt", "layers": 1},
        *({"network": "layered", "operators": 8, "width": 2, "seed": seed} for seed in range(3)),
    ]
    for options in makers:
        fuse = {} if options["network"] == "layered" else {"fuse": True}
        yield mapc.generate("memory", **options, **fuse)
    squeezenet = light("squeezenet")
    if squeezenet is not None and squeezenet.exists():
        whole = mapc.read(squeezenet, dtype="int8", fuse=True)
        yield from (first_operators(whole, n) for n in (8, 14))
    for name in ("tv_densenet121", "timm_nasnetalarge", "hf_bert"):
        if (folder / f"{name}.json").exists():
            yield first_operators(mapc.read(folder / f"{name}.json"), 10)


# -- measuring ------------------------------------------------------------------------------------


def light_up() -> None:
    """Load solvers and kernels, which neither side should pay for."""
    small = diamonds(2, 3)
    for name in ("M_R", "M_H"):
        peers.ours(family_of(small).with_capacity(small, name), 60.0, 0)
    tiny = chain(4, 1)
    measure(family_of(tiny).with_capacity(tiny, "M_R"), 10.0)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work returns, and CPU seconds of this process and all below it."""
    others, begin = _children(), time.process_time()
    result = work()
    end = time.process_time()
    return result, end - begin + _children() - others


def _children() -> float:
    """CPU seconds of the processes below this one, alive or not."""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    return gone.ru_utime + gone.ru_stime + sum(map(_cpu_of, _below()))


def _below() -> Iterator[int]:
    """Processes started by this one, and by those."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry))
    queue = [os.getpid()]
    while queue:
        for child in parents.get(queue.pop(), []):
            yield child
            queue.append(child)


def _stat(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` behind the name; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_of(pid: int) -> float:
    fields = _stat(pid)
    # own user and system time, and those of children it has waited for
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


@dataclass(frozen=True)
class Pair:
    """One graph at one capacity: what both find, and CPU seconds."""

    graph: str
    operators: int
    capacity: int
    rows: int
    ilp: int | None
    ilp_status: str
    ilp_cpu: float
    mapc: int | None
    mapc_status: str
    mapc_cpu: float

    @property
    def finished(self) -> bool:
        """Whether the ILP was solved to the end."""
        return self.ilp_status == "optimal"

    @property
    def ratio(self) -> float:
        """How many times as long the ILP took."""
        return self.ilp_cpu / max(self.mapc_cpu, 1e-3)


def measure(problem: MemoryProblem, seconds: float) -> Pair:
    """Run both on one problem."""
    ours, our_cpu = timed(lambda: peers.ours(problem, seconds, 0))
    rows = 0
    if problem.graph.n_operators <= LARGEST:
        rows = int(mapc.lower(problem, "cosma")[0].statistics()["rows"])
    ilp, cpu = timed(lambda: peers.published_ilp(problem, seconds, LARGEST))
    return Pair(
        problem.graph.name, problem.graph.n_operators, problem.room, rows, ilp.extra,
        ilp.status, cpu, ours.extra, ours.status, our_cpu,
    )  # fmt: skip


def cases(folder: Path) -> Iterator[MemoryProblem]:
    """Yield every graph at M_R and, unless nothing moves there, halfway to M_P."""
    for graph in graphs(folder):
        family = family_of(graph)
        tight, middle = (family.with_capacity(graph, name) for name in ("M_R", "M_H"))
        yield tight
        if middle.room > tight.room:
            yield middle


# -- tables ---------------------------------------------------------------------------------------


def summary(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield what there is to say below the table."""
    done = [pair for pair in pairs if pair.finished]
    yield f"the published ILP finished on {len(done)} of {len(pairs)} cases"
    if not done:
        return
    same = sum(pair.ilp == pair.mapc for pair in done)
    ratios = sorted(pair.ratio for pair in done)
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    yield f"same optimum on {same} of these, mapc's proven on {_proven(done)}"
    yield (
        f"time of the ILP over mapc's: geometric mean {mean:.0f}, from {ratios[0]:.1f} to "
        f"{ratios[-1]:.0f}"
    )
    yield f"where it did not finish, mapc proved {_proven(p for p in pairs if not p.finished)}"


def _proven(pairs: Any) -> int:
    return sum(pair.mapc_status == "optimal" for pair in pairs)


def row(pair: Pair) -> str:
    """Return one row of the table in the documentation."""
    limit = pair.ilp_status if pair.ilp_status != "optimal" else ""
    ilp = f"{pair.ilp / KIB:,.2f}" if pair.finished and pair.ilp is not None else limit
    ratio = f"{pair.ratio:,.0f}" if pair.finished else "-"
    ours = "-" if pair.mapc is None else f"{pair.mapc / KIB:,.2f}"
    return (
        f"| {pair.graph} | {pair.operators} | {pair.capacity / KIB:,.1f} | {pair.rows:,} | {ilp} | "
        f"{pair.ilp_cpu:.2f} | {ours} | {pair.mapc_cpu:.3f} | {ratio} |"
    )


HEAD = (
    "| graph | operators | capacity | rows | ILP: extra | s | mapc: extra | s | ratio |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def run(folder: Path, seconds: float, ends: float, target: Path | None) -> list[Pair]:
    """Measure case by case until the time is up; cases that the file holds are not run again."""
    known: list[dict[str, Any]] = []
    if target is not None and target.exists():
        known = [json.loads(text) for text in target.read_text().splitlines()]
    found = {(entry["graph"], entry["capacity"]): Pair(**entry) for entry in known}
    light_up()
    pairs = []
    print(HEAD, flush=True)
    for problem in cases(folder):
        pair = found.get((problem.graph.name, problem.room))
        if pair is None:
            if time.monotonic() > ends:
                print("out of time: no further cases", flush=True)
                break
            pair = measure(problem, seconds)
            if target is not None:
                with target.open("a") as file:
                    file.write(json.dumps(asdict(pair)) + "\n")
        pairs.append(pair)
        print(row(pair), flush=True)
    print(*summary(pairs), sep="\n", flush=True)
    return pairs
