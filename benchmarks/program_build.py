"""Building a rematerialisation model and handing it to HiGHS: raw arrays against ``Program``.

    python benchmarks/program_build.py [--size 224] [--runs 5] [--peers]

For a chain of N operators with skip connections over N steps: when is a value computed, when is
it kept. At the default size some 100k binaries, 200k rows and 1M nonzeros. Prints CPU seconds
(least of the runs) of building with numpy and calling ``passModel``, of doing both through
``Program``, and their ratio, which is to stay below 3; with ``--peers`` also of Pyomo and linopy
where they are installed. Exits with 1 above the limit.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable

import numpy as np

from mapc.program import Program
from mapc.solvers.highs import load

WINDOW = 5
LIMIT = 3.0
Built = tuple[int, int, int]


def edges(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return producer and consumer of a chain with skips over three operators."""
    chain, skip = np.arange(n - 1), np.arange(n - 3)
    return np.concatenate([chain, skip]), np.concatenate([chain + 1, skip + 3])


def sizes(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 1000, n).astype(np.float64)


def with_numpy(n: int) -> Built:
    """Write the CSR arrays by hand, row block by row block."""
    import highspy

    total = 2 * n * n
    make = np.arange(n * n).reshape(n, n)
    keep = make + n * n
    size = sizes(n)
    before, after = edges(n)
    steps = np.arange(WINDOW - 1, n)
    back = steps[:, None] - np.arange(WINDOW)
    window = make[back[:, None, :], before[None, :, None]]
    needed = np.concatenate([make[steps[:, None], after[None, :]][:, :, None], window], axis=2)
    blocks = [
        (make.T, np.ones((n, n)), 1.0, 1.0),
        (
            np.stack([keep[1:].ravel(), keep[:-1].ravel(), make[:-1].ravel()], axis=1),
            np.broadcast_to([1.0, -1.0, -1.0], ((n - 1) * n, 3)),
            -np.inf,
            0.0,
        ),
        (
            np.stack([make.ravel(), keep.ravel()], axis=1),
            np.ones((n * n, 2)),
            -np.inf,
            1.0,
        ),
        (
            needed.reshape(-1, WINDOW + 1),
            np.broadcast_to([1.0] + [-1.0] * WINDOW, (len(steps) * len(before), WINDOW + 1)),
            -np.inf,
            0.0,
        ),
        (
            np.concatenate([make, keep], axis=1),
            np.broadcast_to(np.tile(size, 2), (n, 2 * n)),
            -np.inf,
            float(size.sum() / 4),
        ),
    ]
    counts = [len(columns) for columns, *_ in blocks]
    lengths = np.repeat([columns.shape[1] for columns, *_ in blocks], counts)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    indices = np.concatenate([columns.ravel() for columns, *_ in blocks]).astype(np.int32)
    values = np.concatenate([np.ravel(v) for _, v, *_ in blocks])
    low = np.repeat([b[2] for b in blocks], counts)
    up = np.repeat([b[3] for b in blocks], counts)
    cost = np.concatenate([np.tile(size, n), np.zeros(n * n)])

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.passModel(
        total,
        len(low),
        len(values),
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        cost,
        np.zeros(total),
        np.ones(total),
        low,
        up,
        indptr[:-1],
        indices,
        values,
        np.ones(total, dtype=np.int32),
    )
    return highs.getNumCol(), highs.getNumRow(), highs.getNumNz()


def with_program(n: int) -> Built:
    """Do the same through ``Program``, checks included."""
    program = Program("build")
    size = sizes(n)
    make = program.variables((n, n), cost=size, name="make")
    keep = program.variables((n, n), name="keep")
    before, after = edges(n)
    steps = np.arange(WINDOW - 1, n)
    made, kept = make.columns, keep.columns
    program.rows(made.T, 1.0, 1, 1, name="once")
    retained = np.stack([kept[1:].ravel(), kept[:-1].ravel(), made[:-1].ravel()], axis=1)
    program.rows(retained, [1, -1, -1], upper=0, name="retain")
    program.rows(np.stack([made.ravel(), kept.ravel()], axis=1), upper=1, name="apart")
    back = steps[:, None] - np.arange(WINDOW)
    window = made[back[:, None, :], before[None, :, None]]
    needed = np.concatenate([made[steps[:, None], after[None, :]][:, :, None], window], axis=2)
    program.rows(
        needed.reshape(-1, WINDOW + 1), [1] + [-1] * WINDOW, upper=0, name="inputs are recent"
    )
    both = np.concatenate([made, kept], axis=1)
    program.rows(both, np.tile(size, 2), upper=size.sum() / 4, name="memory")
    highs = load(program.matrix)
    return highs.getNumCol(), highs.getNumRow(), highs.getNumNz()


def with_pyomo(n: int) -> Built:
    """Do the same in Pyomo's own words, up to the hand-over to HiGHS."""
    import pyomo.environ as pyo
    from pyomo.contrib.appsi.solvers import Highs

    model, size = pyo.ConcreteModel(), sizes(n)
    span = range(n)
    model.make = pyo.Var(span, span, domain=pyo.Binary)
    model.keep = pyo.Var(span, span, domain=pyo.Binary)
    make, keep = model.make, model.keep
    pairs = list(zip(*(e.tolist() for e in edges(n)), strict=True))
    model.cost = pyo.Objective(expr=sum(size[v] * make[t, v] for t in span for v in span))
    model.once = pyo.Constraint(span, rule=lambda m, v: sum(m.make[t, v] for t in span) == 1)
    model.retain = pyo.Constraint(
        range(n - 1),
        span,
        rule=lambda m, t, v: m.keep[t + 1, v] - m.keep[t, v] - m.make[t, v] <= 0,
    )
    model.apart = pyo.Constraint(span, span, rule=lambda m, t, v: m.make[t, v] + m.keep[t, v] <= 1)
    model.recent = pyo.Constraint(
        range(WINDOW - 1, n),
        range(len(pairs)),
        rule=lambda m, t, e: (
            m.make[t, pairs[e][1]] <= sum(m.make[t - w, pairs[e][0]] for w in range(WINDOW))
        ),
    )
    model.memory = pyo.Constraint(
        span,
        rule=lambda m, t: sum(size[v] * (make[t, v] + keep[t, v]) for v in span) <= size.sum() / 4,
    )
    solver = Highs()
    solver.set_instance(model)
    highs = solver._solver_model
    return highs.getNumCol(), highs.getNumRow(), highs.getNumNz()


def with_linopy(n: int) -> Built:
    """Do the same in linopy, up to the hand-over to HiGHS."""
    import linopy
    import xarray as xr
    from linopy.io import to_highspy

    model, size = linopy.Model(), xr.DataArray(sizes(n), dims="v")
    steps, ops = np.arange(n), np.arange(n)
    make = model.add_variables(binary=True, coords=[("t", steps), ("v", ops)], name="make")
    keep = model.add_variables(binary=True, coords=[("t", steps), ("v", ops)], name="keep")
    before, after = edges(n)
    model.add_constraints(make.sum("t") == 1, name="once")
    previous = (keep + make).isel(t=slice(0, n - 1)).assign_coords(t=steps[1:])
    model.add_constraints(keep.isel(t=slice(1, n)) - previous <= 0, name="retain")
    model.add_constraints(make + keep <= 1, name="apart")
    late = steps[WINDOW - 1 :]
    recent = make.isel(t=late, v=after).assign_coords(v=np.arange(len(after))) * 1
    for w in range(WINDOW):
        early = make.isel(t=late - w, v=before)
        recent = recent - early.assign_coords(t=late, v=np.arange(len(after)))
    model.add_constraints(recent <= 0, name="recent")
    model.add_constraints(((make + keep) * size).sum("v") <= float(size.sum()) / 4, name="memory")
    model.add_objective((make * size).sum())
    highs = to_highspy(model)
    return highs.getNumCol(), highs.getNumRow(), highs.getNumNz()


def cpu(build: Callable[[int], Built], n: int) -> tuple[float, Built]:
    start = time.process_time()
    built = build(n)
    return time.process_time() - start, built


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="also Pyomo and linopy: 30 s and more")
    options = parser.parse_args()
    ways = (with_numpy, with_program)
    seconds: dict[str, list[float]] = {way.__name__: [] for way in ways}
    counts = set()
    for build in ways:  # imports and first-touch of memory are not what is compared
        counts.add(build(min(options.size, 32)))
    assert len(counts) == 1, f"the two routes build different models: {counts}"
    counts.clear()
    for _ in range(options.runs):
        for build in ways:
            spent, built = cpu(build, options.size)
            seconds[build.__name__].append(spent)
            counts.add(built)
    assert len(counts) == 1, f"the two routes build different models: {counts}"
    columns, rows, nonzeros = counts.pop()
    print(f"{columns} binaries, {rows} rows, {nonzeros} nonzeros; CPU seconds, build and hand-over")
    for name, spent_all in seconds.items():
        print(
            f"  {name:13} {min(spent_all):7.3f}   (of {len(spent_all)}: up to {max(spent_all):.3f})"
        )
    ratio = min(seconds["with_program"]) / min(seconds["with_numpy"])
    print(f"  ratio         {ratio:7.2f}   (limit {LIMIT:g})")
    if options.peers:
        for build, package in ((with_pyomo, "pyomo"), (with_linopy, "linopy")):
            if importlib.util.find_spec(package) is None:
                print(f"  {build.__name__:13} not installed")
                continue
            build(8)
            spent, built = cpu(build, options.size)
            assert built == (columns, rows, nonzeros), f"{package} builds another model: {built}"
            print(f"  {build.__name__:13} {spent:7.3f}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
