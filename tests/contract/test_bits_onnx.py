"""From the weights of an ONNX model to formats to a model that runs, across all that takes part.

Without ONNX Runtime the weights are rounded by mapc and the model is run by the evaluator of the
onnx package; with it, its own quantizers take the exported plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.graph.formats import format_named, storage_bits
from mapc.graph.rounding import quantise
from mapc.models.bits.problem import BitsProblem

onnx = pytest.importorskip("onnx")

WIDTHS = (64, 128, 128, 64, 10)
TAILS = (3.0, 8.0, 4.0, 3.0)
"""Degrees of freedom of the weights: the fewer, the more outliers, the harder to quantise."""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Four matrix products, each of another distribution."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for i, tail in enumerate(TAILS):
        shape = WIDTHS[i], WIDTHS[i + 1]
        values = rng.standard_t(tail, shape) / shape[0] ** 0.5
        weights.append(onnx.numpy_helper.from_array(values.astype(np.float32), f"w{i}"))
        nodes.append(onnx.helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"h{i}"], f"product{i}"))
        nodes.append(onnx.helper.make_node("Relu", [f"h{i}"], [f"x{i + 1}"], f"relu{i}"))
    kind = onnx.TensorProto.FLOAT
    inputs = [onnx.helper.make_tensor_value_info("x0", kind, ["batch", WIDTHS[0]])]
    outputs = [onnx.helper.make_tensor_value_info("h3", kind, ["batch", WIDTHS[-1]])]
    graph = onnx.helper.make_graph(nodes[:-1], "net", inputs, outputs, weights)
    opsets = [onnx.helper.make_opsetid("", 21)]
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def planned(net: Path, formats: list[str], budget: str) -> tuple[BitsProblem, Any]:
    problem = mapc.read(net, importer="onnx-weights", formats=formats, budgets=[budget])
    result = mapc.solve(problem, time_limit=None)
    assert result.status == "optimal"
    used = set(problem.format_of[result.plan.option].tolist())
    assert len(used) > 1, "one format everywhere would test little"
    return problem, result


def by_tensor(problem: BitsProblem, plan: Any) -> dict[str, str]:
    chosen = [problem.formats[f] for f in problem.format_of[plan.option]]
    facts = problem.provenance["tensors"]
    return {facts[g]["tensor"]: f for g, f in zip(problem.groups, chosen, strict=True)}


def weights_of(net: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(net).graph.initializer
    }


def samples(seed: int = 1, batch: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, WIDTHS[0])).astype(np.float32)


def off(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


# -- without a runtime ---------------------------------------------------------------------------


def test_loss_and_size_of_a_plan_are_those_of_the_rounded_weights(net: Path) -> None:
    problem, result = planned(net, ["int4", "int4_g32", "int8"], "size=5.5bpw")
    loss, size = 0.0, 0
    for name, format in by_tensor(problem, result.plan).items():
        values = weights_of(net)[name].astype(np.float64)
        rounded = quantise(values, format_named(format), axis=1)
        loss += float(np.sum((rounded - values) ** 2) / np.sum(values**2))
        size += storage_bits(format_named(format), values.shape, 1)
    assert result.objective == pytest.approx(loss, rel=1e-9)
    assert (
        result.facts["cost"]["size"] == size <= 5.5 * sum(w.size for w in weights_of(net).values())
    )


def rounded_output(net: Path, formats: dict[str, str]) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(net)
    for weight in model.graph.initializer:
        values = quantise(onnx.numpy_helper.to_array(weight), format_named(formats[weight.name]), 1)
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))
    found: np.ndarray = ReferenceEvaluator(model).run(None, {"x0": samples()})[0]
    return found


def test_a_rounded_model_runs_between_its_two_formats(net: Path) -> None:
    from onnx.reference import ReferenceEvaluator

    exact = ReferenceEvaluator(str(net)).run(None, {"x0": samples()})[0]
    problem, result = planned(net, ["int4", "int8"], "size=5.5bpw")
    formats = by_tensor(problem, result.plan)
    mixed = off(rounded_output(net, formats), exact)
    four, eight = (
        off(rounded_output(net, dict.fromkeys(formats, f)), exact) for f in ("int4", "int8")
    )
    assert 0 < eight < mixed < four


# -- with ONNX Runtime ---------------------------------------------------------------------------


def test_onnxruntime_runs_the_plan_in_matmulnbits(net: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    from mapc.deploy.onnxruntime import nbits_arguments

    problem, result = planned(net, ["int4_g32", "int8_g32"], "size=6bpw")
    text = mapc.export(problem, result.plan, "onnxruntime", form="nbits", model=str(net))
    quantizer = module.MatMulNBitsQuantizer(onnx.load(net), **nbits_arguments(json.loads(text)))
    quantizer.process()
    model = quantizer.model.model
    nodes = [n for n in model.graph.node if n.op_type == "MatMulNBits"]
    attributes = [{a.name: a.i for a in node.attribute} for node in nodes]
    found = [f"int{a['bits']}_g{a['block_size']}" for a in attributes]
    assert found == list(by_tensor(problem, result.plan).values())
    session = onnxruntime.InferenceSession(model.SerializeToString())
    exact = onnxruntime.InferenceSession(str(net)).run(None, {"x0": samples()})[0]
    ours = off(session.run(None, {"x0": samples()})[0], exact)
    fours = off(rounded_output(net, dict.fromkeys(weights_of(net), "int4_g32")), exact)
    assert 0 < ours < fours


def test_onnxruntime_runs_the_plan_with_quantized_tensors(net: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    quantization = pytest.importorskip("onnxruntime.quantization")
    from mapc.deploy.onnxruntime import static_arguments

    class Samples(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.left = iter([samples(seed) for seed in range(2, 6)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            found = next(self.left, None)
            return None if found is None else {"x0": found}

    problem, result = planned(net, ["int4", "int8"], "size=5.5bpw")
    text = mapc.export(problem, result.plan, "onnxruntime", model=str(net))
    target = net.with_name("quantized.onnx")
    quantization.quantize_static(
        str(net),
        str(target),
        Samples(),
        activation_type=quantization.QuantType.QInt8,
        **static_arguments(json.loads(text)),
    )
    types = {t.name: t.data_type for t in onnx.load(target).graph.initializer}
    named = {onnx.TensorProto.INT4: "int4", onnx.TensorProto.INT8: "int8"}
    formats = by_tensor(problem, result.plan)
    assert {name: named[types[f"{name}_quantized"]] for name in formats} == formats
    exact = onnxruntime.InferenceSession(str(net)).run(None, {"x0": samples()})[0]
    ours = onnxruntime.InferenceSession(str(target)).run(None, {"x0": samples()})[0]
    assert 0 < off(ours, exact) < off(rounded_output(net, dict.fromkeys(formats, "int4")), exact)
