"""The library of instances under ``instances/``: what is in it, and how it is built from nothing.

    python benchmarks/library.py [FOLDER] [--kind bits]... [--only NAME]... [--renew] [--check]
        [--networks FOLDER] [--data FOLDER] [--seconds 100] [--search 0]

Every instance goes through `mapc.quality.recording.record`, each in a process of its own, and is
left alone if it is there already; ``--renew`` records all of them again, which sets new limits
for the gate and keeps the best values known. An interrupted build goes on where it stopped.

Generated instances need nothing. Files that are in the library are read from there; to make them
anew, graphs of networks are taken from the ``onnx`` package and from the folder that
``benchmarks/export_networks.py`` filled (``--networks``), the figures of HAWQ-V3 from ``--data``.
``--search`` looks for better plans for so many seconds more per instance.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import mapc
from mapc.errors import MapcError
from mapc.models import KINDS
from mapc.quality.index import FILES, NAME, Entry, Source, read_index
from mapc.quality.recording import forget, record
from mapc.quality.suite import Suite, check_suite

OWN = "generator of mapc, Apache-2.0"
TABLE = "benchmarks/library.py of mapc, Apache-2.0"
ONNX = "light model of the onnx package, Apache-2.0; sizes and edges only, int8, fused"
VISION = "exported from torchvision, BSD-3-Clause; sizes and edges only, int8, fused"
TIMM = "exported from timm, Apache-2.0; sizes and edges only, int8, fused"
LANGUAGE = "exported from transformers, Apache-2.0; sizes and edges only, int8, fused"
UNGATED = 20.0
"""Seconds for instances that the gate leaves out, which no run without a clock has solved."""
HAWQ = "figures of HAWQ-V3 (Yao et al. 2021), github.com/Zhen-Dong/HAWQ, MIT"


@dataclass(frozen=True)
class Item:
    """One instance: where it comes from, and how the gate runs it."""

    kind: str
    name: str
    source: Source
    origin: str
    tier: int
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """Where files of the library are made from."""

    networks: Path | None
    data: Path | None


def made(
    kind: str, name: str, tier: int, *, options: dict[str, Any] | None = None, **given: Any
) -> Item:
    """Return an item of a generator; scratchpad, budgets and rules go on top."""
    # a generator may have an option "budgets" as well, a number
    on_top = {
        key: given.pop(key)
        for key in ("scratchpad", "budgets", "rules")
        if key in given and (key != "budgets" or isinstance(given[key], tuple))
    }
    return Item(kind, name, Source(generate=given, **on_top), OWN, tier, options or {})


def filed(kind: str, name: str, tier: int, file: str, origin: str, **given: Any) -> Item:
    """Return an item of a file; scratchpad, budgets and rules go on top."""
    options = given.pop("options", {})
    return Item(kind, name, Source(file=f"{FILES}/{file}.json", **given), origin, tier, options)


# -- memory ----------------------------------------------------------------------------------------


def memory() -> Iterator[Item]:
    """Graphs from one operator after the other to those of architecture search."""
    # in all of these some tensor has to leave and come back
    for n, width, seed in (
        (5, 2, 16),
        (5, 2, 17),
        (6, 3, 7),
        (6, 3, 9),
        (7, 3, 4),
        (8, 3, 9),
        (8, 4, 17),
        (8, 4, 24),
    ):
        options = {"network": "layered", "operators": n, "width": width, "seed": seed}
        yield made("memory", f"layered-{n}-{seed}-mr", 1, scratchpad="M_R", **options)
    tiny = {"network": "layered", "operators": 7, "width": 3, "seed": 4}
    yield made("memory", "layered-7-4-mp", 1, scratchpad="M_P", **tiny)
    yield made("memory", "layered-7-4-small", 1, scratchpad=1, **tiny)
    yield made("memory", "layered-30-0-mr", 2, network="layered", operators=30, scratchpad="M_R")
    yield made("memory", "layered-100-0-mr", 3, network="layered", operators=100, scratchpad="M_R")
    yield made("memory", "randwire-8-mr", 2, network="randwire", nodes=8, scratchpad="M_R")
    yield made("memory", "randwire-32-mr", 3, network="randwire", nodes=32, scratchpad="M_R")
    yield made("memory", "darts-3-mr", 2, network="darts", cells=3, scratchpad="M_R")
    yield made("memory", "darts-20-mr", 3, network="darts", cells=20, scratchpad="M_R")
    yield made("memory", "nasnet-1-mr", 2, network="nasnet", cells=1, scratchpad="M_R")
    yield made("memory", "amoebanet-1-mr", 2, network="amoebanet", cells=1, scratchpad="M_R")
    yield made("memory", "unet-4-mr", 2, network="unet", depth=4, scratchpad="M_R")
    yield made("memory", "gpt-4-mr", 2, network="gpt", layers=4, scratchpad="M_R")
    for net in ("squeezenet", "inception_v1", "inception_v2", "shufflenet", "densenet121"):
        yield filed("memory", f"onnx-{net}-mr", 2, f"onnx-{net}", ONNX, scratchpad="M_R")
    yield filed("memory", "densenet121-mh", 2, "densenet121", VISION, scratchpad="M_H")
    nets = {
        VISION: (
            "densenet201",
            "inception_v3",
            "efficientnet_b4",
            "regnet_y_400mf",
            "convnext_tiny",
        ),
        TIMM: ("hrnet_w18", "ghostnet_100", "levit_128"),
        LANGUAGE: ("gpt2", "bert_base", "whisper_tiny_encoder"),
    }
    for origin, names in nets.items():
        for net in names:
            yield filed("memory", f"{net}-mr", 2, net, origin, scratchpad="M_R")
    for net in ("nasnetalarge", "pnasnet5large"):
        yield filed("memory", f"{net}-mr", 3, net, TIMM, scratchpad="M_R")
    for net in ("resnet50_weights", "mobilenet_v2_weights"):
        rules = ("weights=streamed",)
        yield filed("memory", f"{net}-mr", 2, net, VISION, scratchpad="M_R", rules=rules)


# -- allocation ------------------------------------------------------------------------------------


def allocation() -> Iterator[Item]:
    """Random buffers, packings without waste, what has no plan, lifetimes of networks."""
    for n in (4, 6, 8, 9, 10):
        yield filed("allocation", f"random-{n}", 1, f"random-{n}", TABLE)
    yield filed("allocation", "random-8-aligned", 1, "random-8-aligned", TABLE)
    yield made("allocation", "packing-8", 1, buffers=8, capacity=16, steps=16, seed=1)
    yield made("allocation", "packing-10", 1, buffers=10, capacity=24, steps=24, seed=2)
    yield made("allocation", "pinwheel-9", 1, buffers=9, pinwheels=1.0, capacity=32, steps=32)
    yield made("allocation", "packing-10-short", 1, buffers=10, scratchpad=1023)
    # loads fit in all of these; the first two have a packing, the others are proven to have none
    for n, seed in ((14, 1), (20, 10), (12, 6), (14, 0), (14, 3), (20, 4)):
        yield filed("allocation", f"full-{n}-{seed}", 1, f"full-{n}-{seed}", TABLE)
    for n in (40, 200):
        yield made("allocation", f"packing-{n}", 2, buffers=n, steps=4096, capacity=2**16)
    yield made("allocation", "packing-200-slack", 2, buffers=200, slack=0.1, steps=4096)
    for n in (50, 100, 400):
        options = {"buffers": n, "pinwheels": 0.5, "steps": 4096, "capacity": 2**20}
        yield made("allocation", f"pinwheels-{n}", 2, **options)
    yield made(
        "allocation", "pinwheels-50-slack", 2, buffers=50, pinwheels=0.5, slack=0.05, steps=4096
    )
    for n in (20, 50, 150, 400):
        yield filed("allocation", f"random-{n}", 2, f"random-{n}", TABLE)
    for net, origin in (
        ("squeezenet1_1", VISION),
        ("densenet121", VISION),
        ("inception_v3", VISION),
        ("hrnet_w18", TIMM),
        ("nasnetalarge", TIMM),
        ("gpt2", LANGUAGE),
    ):
        yield filed("allocation", f"{net}-lifetimes", 2, f"{net}-lifetimes", origin)
    yield made("allocation", "packing-1000-slack", 3, buffers=1000, slack=0.1, steps=4096)
    options = {"buffers": 400, "pinwheels": 0.5, "slack": 0.05, "steps": 4096, "capacity": 2**20}
    yield made("allocation", "pinwheels-400-slack", 3, **options)


# -- bits ------------------------------------------------------------------------------------------


def bits() -> Iterator[Item]:
    """Published figures under published budgets, and groups up to those of a language model."""
    for n, formats, budgets, seed in ((3, 3, 1, 0), (6, 5, 1, 3), (7, 3, 2, 1), (8, 4, 3, 2)):
        options = {"groups": n, "formats": formats, "budgets": budgets, "seed": seed}
        yield made("bits", f"llm-{n}x{formats}x{budgets}", 1, **options)
    yield made("bits", "llm-5-impossible", 1, groups=5, budgets=("size=1bpw",))
    levels = {"resnet18": ("0.75", "0.5", "0.25"), "resnet50": ("0.75", "0.5", "0.25")}
    for model, several in levels.items():
        for level in several:
            for what in (("size",), ("bops",), ("latency",), ("size", "bops", "latency")):
                name = f"hawq-{model}-{what[0] if len(what) == 1 else 'all'}-{level}"
                budgets = tuple(f"{one}={level}" for one in what)
                tier = 1 if model == "resnet18" and len(what) == 1 else 2
                yield filed("bits", name, tier, f"hawq-{model}", HAWQ, budgets=budgets)
    for n, formats, budgets, sizes in (
        (200, 5, 2, "llm"),
        (500, 5, 1, "continuous"),
        (100, 4, 2, "continuous"),
        (2000, 5, 3, "llm"),
        (44_000, 5, 1, "llm"),
        (44_000, 5, 1, "continuous"),
    ):
        options = {"groups": n, "formats": formats, "budgets": budgets, "sizes": sizes}
        yield made("bits", f"{sizes}-{n}x{formats}x{budgets}", 2, **options)
    options = {"formats": 4, "budgets": 2, "sizes": "continuous"}
    yield made("bits", "continuous-1000x4x2", 3, groups=1000, **options)
    yield made("bits", "llm-44000x5x2", 3, groups=44_000, budgets=2)


# -- placement -------------------------------------------------------------------------------------


def placement() -> Iterator[Item]:
    """From six experts on two ranks to the layers of a model that serves millions."""
    for n, ranks, seed in ((4, 2, 0), (6, 2, 1), (6, 3, 2), (8, 2, 3), (8, 4, 4)):
        options = {"layers": 1, "experts": n, "ranks": ranks, "seed": seed}
        yield made("placement", f"balance-{n}-{ranks}", 1, **options)
    yield made("placement", "replicas-4-2", 2, layers=1, experts=4, ranks=2, slots=3, seed=5)
    yield made("placement", "replicas-6-3", 2, layers=1, experts=6, ranks=3, slots=3, seed=6)
    chain = {"layers": 2, "experts": 4, "ranks": 2, "nodes": 2, "transitions": 0.5}
    yield made("placement", "chain-2x4-2", 1, **chain)
    yield made("placement", "chain-3x4-2", 1, **{**chain, "layers": 3, "seed": 1})
    yield made("placement", "profiles-4-2", 1, layers=1, experts=4, ranks=2, profiles=2)
    for layers, n, ranks, nodes in (
        (4, 16, 4, 1),
        (8, 64, 8, 1),
        (16, 64, 16, 2),
        (58, 256, 32, 4),
    ):
        options = {"layers": layers, "experts": n, "ranks": ranks, "nodes": nodes}
        tier = 2 if n < 256 else 3
        yield made("placement", f"balance-{layers}x{n}-{ranks}", tier, **options)
        slots = n // ranks + 1
        yield made("placement", f"replicas-{layers}x{n}-{ranks}", tier, slots=slots, **options)
    for layers, n, ranks, nodes in ((4, 8, 4, 2), (8, 16, 4, 2), (8, 32, 8, 2), (32, 8, 8, 2)):
        options = {"layers": layers, "experts": n, "ranks": ranks, "nodes": nodes}
        yield made("placement", f"chain-{layers}x{n}-{ranks}", 2, transitions=0.3, **options)
    for layers, n, ranks, profiles in ((4, 32, 8, 2), (8, 64, 16, 4), (8, 64, 8, 6)):
        options = {"layers": layers, "experts": n, "ranks": ranks, "profiles": profiles}
        slots = n // ranks + 1
        yield made("placement", f"profiles-{layers}x{n}-{ranks}", 2, slots=slots, **options)
    options = {"layers": 58, "experts": 256, "ranks": 32, "nodes": 4, "slots": 9, "profiles": 6}
    yield made("placement", "profiles-58x256-32", 3, **options)


# -- sequence --------------------------------------------------------------------------------------


def sequence() -> Iterator[Item]:
    """From one sequence on eight ranks to the batches of published clusters."""
    quick = {"methods": ("area", "homogeneous", "megatron", "packing", "columns")}
    for n, ranks, length, seed in (
        (1, 8, "8K", 0),
        (2, 8, "4K", 0),
        (2, 16, "16K", 2),
        (3, 16, "16K", 1),
        (3, 16, "16K", 2),
        (4, 16, "16K", 0),
        (6, 8, "4K", 2),
        (6, 16, "16K", 2),
    ):
        options = {"sequences": n, "ranks": ranks, "max_length": length, "seed": seed}
        # HiGHS 1.13.1 says that 8891588 is the optimum of the first one's published model; it is
        # 5768274. In the other its search does not end.
        own = {**quick, "agree": False} if (n, ranks) in ((4, 16), (6, 16)) else quick
        yield made("sequence", f"lognormal-{n}-{ranks}-{seed}", 1, options=own, **options)
    for n, ranks, seed in ((2, 8, 1), (3, 8, 0), (6, 8, 1)):
        options = {"sequences": n, "ranks": ranks, "max_length": "16K", "seed": seed}
        yield made("sequence", f"lognormal-{n}-{ranks}-{seed}", 2, options=quick, **options)
    for n, ranks in (
        (8, 8),
        (16, 8),
        (32, 16),
        (64, 16),
        (128, 16),
        (128, 32),
        (256, 32),
        (512, 64),
    ):
        # the step program takes long where there is little to split
        own = quick if n in (16, 64, 128) else {}
        options = {"sequences": n, "ranks": ranks, "max_length": "192K"}
        yield made("sequence", f"lognormal-{n}-{ranks}", 2, options=own, **options)
    for n, ranks in ((32, 16), (128, 16), (512, 64)):
        options = {"sequences": n, "ranks": ranks, "max_length": "64K"}
        name = f"pareto-{n}-{ranks}"
        yield made("sequence", name, 2, options=quick, distribution="pareto", **options)
    for model in ("gpt-13b", "gpt-30b"):
        options = {"sequences": 128, "ranks": 64, "model": model, "max_length": "64K"}
        yield made("sequence", f"{model}-128-64", 2, options=quick, **options)
    for name in ("equal-64", "halves-96", "two-peaks-128", "one-giant-65", "tokens-256"):
        yield filed("sequence", name, 2, name, TABLE, options=quick)
    yield made("sequence", "lognormal-512-64-384k", 3, sequences=512, ranks=64)
    yield made("sequence", "lognormal-2048-256", 3, sequences=2048, ranks=256)


# -- files -----------------------------------------------------------------------------------------


def make_file(item: Item, inputs: Inputs) -> Any:
    """Return the problem of a file that the library has not got yet."""
    assert item.source.file is not None
    name = item.source.file.removeprefix(f"{FILES}/").removesuffix(".json")
    if item.kind == "memory" and name.startswith("onnx-"):
        return mapc.read(_onnx_model(name.removeprefix("onnx-")), dtype="int8", fuse=True)
    if item.kind == "memory":
        return _network(name, inputs)
    if name.endswith("-lifetimes"):
        return lifetimes(_network(name.removesuffix("-lifetimes"), inputs), name)
    if item.kind == "bits":
        if inputs.data is None:
            raise MapcError(f"{name}: has to be made anew; --data names the figures")
        file = inputs.data / "bits" / "hawqv3_inputs.json"
        return mapc.read(file, importer="hawq", model=name.removeprefix("hawq-"))
    if name.startswith("full-"):
        return full_buffers(name)
    return {"allocation": random_buffers, "sequence": length_table}[item.kind](name)


def _network(name: str, inputs: Inputs) -> Any:
    if inputs.networks is None:
        raise MapcError(f"{name}: has to be made anew; --networks names the exported graphs")
    return mapc.read(inputs.networks / f"{name}.json")


def _onnx_model(name: str) -> Path:
    import onnx

    return Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"


def lifetimes(network: Any, name: str) -> Any:
    """Return the tensors of a network as buffers, alive from writer to last reader, as listed."""
    from mapc.models.allocation.problem import AllocationProblem

    graph = network.graph
    first = np.zeros(len(graph.tensor_names), dtype=np.int64)
    last = np.zeros(len(graph.tensor_names), dtype=np.int64)
    for step, operator in enumerate(graph.given_order.tolist()):
        written, read = graph.outputs[operator], graph.inputs[operator]
        first[written] = last[written] = step
        last[read] = step
    return AllocationProblem(
        name=name,
        names=graph.tensor_names,
        lower=first,
        upper=last + 1,
        size=graph.tensor_bytes,
        provenance=network.provenance,
    )


def random_buffers(name: str) -> Any:
    """Return the buffers that a name stands for, e.g. ``random-8``; no capacity."""
    from mapc.models.allocation.problem import AllocationProblem

    numbers = [int(part) for part in name.split("-") if part.isdigit()]
    n, seed = numbers[0], numbers[-1]
    rng = np.random.default_rng([n, seed])
    lower = rng.integers(0, 2 * n, n)
    length = 1 + rng.integers(0, max(2, n // 2), n)
    size = rng.integers(1, 9, n) if n <= 10 else rng.integers(1, 2**12, n) * 16
    return AllocationProblem(
        name=name,
        names=tuple(f"b{i}" for i in range(n)),
        lower=lower,
        upper=lower + length,
        size=size,
        alignment=4 if name.endswith("aligned") else 1,
        provenance={"made by": "benchmarks/library.py"},
    )


def full_buffers(name: str) -> Any:
    """Return buffers that fill 16 bytes at all times, e.g. ``full-9-3``: few such can be packed.

    Again and again two of those alive end, wherever they are, and others of the same bytes begin.
    """
    from mapc.models.allocation.problem import AllocationProblem

    n, seed = (int(part) for part in name.split("-")[1:])
    rng = np.random.default_rng([n, seed])
    rows = [[0, 0, size] for size in (3, 4, 4, 5)]
    alive, step = [0, 1, 2, 3], 0
    while len(rows) < n:
        step += 1
        ended = [alive.pop(int(rng.integers(len(alive)))) for _ in range(2)]
        total = sum(rows[i][2] for i in ended)
        for i in ended:
            rows[i][1] = step
        cut = int(rng.integers(1, total))
        alive += [len(rows), len(rows) + 1]
        rows += [[step, 0, cut], [step, 0, total - cut]]
    for i in alive:
        rows[i][1] = step + 1
    lower, upper, size = np.array(rows, dtype=np.int64).T
    return AllocationProblem(
        name=name,
        names=tuple(f"b{i}" for i in range(len(rows))),
        lower=lower,
        upper=upper,
        size=size,
        capacity=16,
        provenance={"made by": "benchmarks/library.py"},
    )


def length_table(name: str) -> Any:
    """Return the batch of lengths that a name stands for, on 16 ranks, in tokens."""
    from dataclasses import replace

    base = mapc.generate("sequence", sequences=16, ranks=16, max_length="192K")
    n = int(name.rpartition("-")[2])
    rng = np.random.default_rng(n)
    lengths = {
        "equal": lambda: np.full(n, 8192),
        "halves": lambda: 2 ** rng.integers(9, 16, n),
        "two-peaks": lambda: np.where(
            rng.random(n) < 0.9, rng.integers(500, 1500, n), rng.integers(48_000, 64_000, n)
        ),
        "one-giant": lambda: np.append(rng.integers(1_000, 3_000, n - 1), 80_000),
        "tokens": lambda: rng.integers(1, 32_768, n),
    }[name.rpartition("-")[0]]()
    provenance = {"made by": "benchmarks/library.py"}
    return replace(base, name=name, lengths=lengths.astype(np.int64), provenance=provenance)


# -- building --------------------------------------------------------------------------------------

FAMILIES: dict[str, Callable[[], Iterator[Item]]] = {
    "memory": memory,
    "allocation": allocation,
    "bits": bits,
    "placement": placement,
    "sequence": sequence,
}


def items(kinds: Sequence[str] = (), names: Sequence[str] = ()) -> list[Item]:
    """Return the instances of the library, or some of them."""
    every = [item for kind in kinds or KINDS for item in FAMILIES[kind]()]
    return [item for item in every if not names or item.name in names]


def put(item: Item, folder: Path, inputs: Inputs, search: float, replace: bool) -> str:
    """Record one instance; return what to say of it."""
    began, cpu = time.monotonic(), time.process_time()
    place = folder / item.kind
    if item.source.file is not None and not (place / item.source.file).is_file():
        (place / FILES).mkdir(parents=True, exist_ok=True)
        mapc.write(make_file(item, inputs), place / item.source.file)
    found = record(
        place,
        item.name,
        source=item.source,
        kind=item.kind,
        origin=item.origin,
        tier=item.tier,
        time_limit=search or (UNGATED if item.tier == 3 else None),
        replace=replace,
        **item.options,
    )
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    best = found.entry.best
    values = "nothing" if best is None else f"{best.objective} {best.bound} proven {best.proven}"
    return f"{values}  {cpu:.1f} s CPU without solvers, {wall:.1f} s"


def build(item: Item, seconds: float, *arguments: Any) -> str:
    """Record one instance in a child, which gets so many seconds of wall time."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, item, *arguments))
    child.start()
    theirs.close()
    try:
        said: str = ours.recv() if ours.poll(seconds) else f"FAILED: stopped after {seconds:g} s"
    except EOFError:
        said = "FAILED: the process died"
    if child.is_alive() and said.startswith("FAILED"):
        child.terminate()
    child.join()
    return said


def _child(pipe: Any, item: Item, *arguments: Any) -> None:
    try:
        pipe.send(put(item, *arguments))
    except Exception as error:
        pipe.send(f"FAILED: {type(error).__name__}: {error}")


def known(folder: Path, kind: str) -> dict[str, Entry]:
    """Return what an index holds, by name."""
    if not (folder / kind / NAME).is_file():
        return {}
    return {one.name: one for one in read_index(folder / kind).instances}


def told(item: Item, entry: Entry) -> bool:
    """Whether an entry is what the item says; a named capacity is in bytes by now."""
    ours, theirs = item.source, entry.source
    return (
        (ours.file, ours.generate, ours.budgets, ours.rules)
        == (theirs.file, theirs.generate, theirs.budgets, theirs.rules)
        and (isinstance(ours.scratchpad, str) or ours.scratchpad == theirs.scratchpad)
        and item.tier == entry.tier
        and item.options.get("methods") == entry.run.methods
    )


def prune(folder: Path, kinds: Sequence[str]) -> None:
    """Drop instances that are no longer part of the library, and those that are said otherwise."""
    for kind in kinds or KINDS:
        said = {item.name: item for item in items([kind])}
        for name, entry in known(folder, kind).items():
            if name not in said or not told(said[name], entry):
                forget(folder / kind, name)
                print(f"{kind}/{name}: dropped", flush=True)


def main() -> int:
    """Build the library, or what is asked for of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("instances"))
    parser.add_argument("--kind", action="append", choices=KINDS, default=[])
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--replace", action="store_true", help="drop what is known of them")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=100.0, help="most for one instance")
    parser.add_argument("--search", type=float, default=0.0)
    given = parser.parse_args()
    failed = 0
    inputs = Inputs(given.networks, given.data)
    prune(given.folder, given.kind)
    for item in items(given.kind, given.only):
        if item.name in known(given.folder, item.kind) and not (given.renew or given.replace):
            continue
        said = build(item, given.seconds, given.folder, inputs, given.search, given.replace)
        failed += said.startswith("FAILED")
        print(f"{item.kind}/{item.name}: {said}", flush=True)
    if given.check:
        audit = check_suite(Suite.read(given.folder, kinds=given.kind or None))
        print("\n".join([*audit.faults, *(f"missing: {one}" for one in audit.missing)]), end="")
        print(f"{audit.checked} instances, {audit.plans} plans, {audit.bytes} bytes")
        failed += not audit.sound
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
