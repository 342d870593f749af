"""ResNet-50 in int4 and int8, where every change of format along a tensor costs something.

    python benchmarks/bits_switches.py [--budget size=0.5] [--weights 0 0.1 1] [--seconds 60]

The graph is that of ``light_resnet50.onnx`` of the onnx package: convolutions, the last matrix
product and the residual additions each choose a format; batch normalisation, activation and
pooling pass on what they get. An edge leads from each of them to the next ones, and costs in
proportion to the elements of the tensor if the formats differ.

The weights in that file are constants, so sensitivities are synthetic (seeded): log-normal over
layers, four times less for every bit. ``weight`` is what all edges together would cost if all
switched, as a multiple of the loss of int4 everywhere. One row for each weight: switches, loss of
the formats alone, what the switches cost, whether it is proven, seconds; and beside it the plan
that ignores switches while choosing, charged for those it has.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import mapc
from mapc.graph.operators import OperatorGraph
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

MODEL = "light_resnet50.onnx"
LAYERS, JOINS = ("Conv", "Gemm"), ("Sum",)
BITS = (4, 8)
SIGMA = 1.5
"""Standard deviation of the logarithm of sensitivity per weight."""


def graph() -> OperatorGraph:
    found = find_spec("onnx")
    if found is None or found.origin is None:
        raise SystemExit("the onnx package, whose model is read, is not installed")
    path = Path(found.origin).parent / "backend" / "test" / "data" / "light" / MODEL
    # one byte per element: bytes are elements
    problem = mapc.read(path, dtype="int8", weights=True)
    operators: OperatorGraph = problem.graph
    return operators


def neighbours(operators: OperatorGraph, chosen: list[int]) -> dict[tuple[int, int], int]:
    """Return the elements of the tensor between operators that choose, by their places."""
    place = {operator: at for at, operator in enumerate(chosen)}
    producer = {int(t): o for o in range(operators.n_operators) for t in operators.outputs[o]}
    found: dict[tuple[int, int], int] = {}
    for reader in chosen:
        for tensor in operators.inputs[reader].tolist():
            elements, source = int(operators.tensor_bytes[tensor]), producer.get(tensor)
            while source is not None and source not in place:
                # what passes on has one input that is no constant
                (before,) = (
                    t for t in operators.inputs[source] if not operators.is_constant[int(t)]
                )
                source = producer.get(int(before))
            if source is not None:
                found[place[source], place[reader]] = elements
    return found


def resnet50(seed: int = 0) -> tuple[BitsProblem, np.ndarray]:
    """Return the problem without switch costs, and the elements of each of its edges."""
    operators = graph()
    kinds = operators.operator_kinds
    chosen = [o for o, kind in enumerate(kinds) if kind in (*LAYERS, *JOINS)]
    between = neighbours(operators, chosen)
    weights = np.array(
        [
            sum(
                int(operators.tensor_bytes[t])
                for t in operators.inputs[o]
                if constant(operators, t)
            )
            for o in chosen
        ],
        dtype=np.int64,
    )
    elements = np.array(
        [int(operators.tensor_bytes[operators.outputs[o]].sum()) for o in chosen], dtype=np.float64
    )
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(0.0, SIGMA, len(chosen)))
    scale = np.sqrt(np.where(weights > 0, weights, elements))
    loss = (spread * scale)[:, None] * 4.0 ** -np.array(BITS, dtype=np.float64)
    n = len(chosen)
    problem = BitsProblem(
        name="resnet50-switches",
        groups=tuple(f"{kinds[o].lower()}{at}" for at, o in enumerate(chosen)),
        formats=tuple(f"int{bits}" for bits in BITS),
        start=np.arange(0, 2 * n + 1, 2, dtype=np.int64),
        format_of=np.tile(np.arange(2, dtype=np.int64), n),
        loss=(loss / loss[:, 0].sum()).ravel(),
        resources=("size",),
        units=("bits",),
        cost=(weights[:, None] * np.array(BITS, dtype=np.int64)).reshape(1, -1),
        budget=(None,),
        weights=weights,
        allowed=np.ones(2 * n, dtype=np.bool_),
        edges=np.array(list(between), dtype=np.int64),
        switch_loss=np.zeros(len(between)),
        provenance={"source": MODEL, "sensitivities": "synthetic", "seed": seed},
    )
    return problem, np.array(list(between.values()), dtype=np.float64)


def constant(operators: OperatorGraph, tensor: int) -> bool:
    return bool(operators.is_constant[int(tensor)])


def switches(problem: BitsProblem, plan: BitsPlan) -> np.ndarray:
    """Return which edges switch, bool[e]."""
    form = problem.format_of[plan.option]
    return form[problem.edges[:, 0]] != form[problem.edges[:, 1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="size=0.5")
    parser.add_argument(
        "--weights", nargs="+", type=float, default=[0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    plain, elements = resnet50(arguments.seed)
    plain = mapc.with_budgets(plain, [arguments.budget])
    careless = mapc.solve(plain, time_limit=arguments.seconds).plan
    print(
        f"{plain.n_groups} groups, {len(plain.edges)} edges, "
        f"{int(plain.weights.sum()):,} weights, budget {arguments.budget}"
    )
    print(
        f"{'weight':>8}{'switches':>10}{'formats':>10}{'switching':>11}{'total':>10}"
        f"{'status':>10}{'seconds':>9} | ignoring them: {'switches':>9}{'total':>10}"
    )
    for weight in arguments.weights:
        problem = replace(plain, switch_loss=weight * elements / elements.sum())
        result = mapc.solve(problem, time_limit=arguments.seconds)
        changed, ignored = switches(problem, result.plan), switches(problem, careless)
        alone = float(problem.loss[result.plan.option].sum())
        other = problem.loss[careless.option].sum() + problem.switch_loss[ignored].sum()
        print(
            f"{weight:8g}{changed.sum():10d}{alone:10.4f}{result.objective - alone:11.4f}"
            f"{result.objective:10.4f}{result.status.value:>10}{result.seconds:9.2f}"
            f" | {'':14} {ignored.sum():9d}{other:10.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
