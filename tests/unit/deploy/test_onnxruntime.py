"""The documents by their rules; the quantizers themselves where they are installed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapc.deploy.onnxruntime import (
    export,
    knows_nbits,
    knows_static,
    nbits_arguments,
    static_arguments,
)
from mapc.errors import UsageError
from mapc.graph.formats import format_named
from mapc.instances.importers.weights import import_onnx_weights

onnx = pytest.importorskip("onnx")
helper = onnx.helper

SHAPES = {
    "conv.w": (16, 3, 3, 3),
    "gemm.w": (64, 16),
    "one.w": (64, 64),
    "two.w": (64, 10),
}
CHANNEL = {"conv.w": 0, "gemm.w": 0, "one.w": 1, "two.w": 1}


def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        name: (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in SHAPES.items()
    }


def network():
    """Return a convolution, a pool, a Gemm and two MatMuls, with weights of unit gain."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.w"], ["a"], name="conv", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], name="pool"),
        helper.make_node("Flatten", ["c"], ["d"], name="flat"),
        helper.make_node("Gemm", ["d", "gemm.w"], ["e"], name="gemm", transB=1),
        helper.make_node("MatMul", ["e", "one.w"], ["f"], name="one"),
        helper.make_node("MatMul", ["f", "two.w"], ["y"], name="two"),
    ]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights().items()]
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", floats, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", floats, [1, 10])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def path(tmp_path) -> str:
    onnx.save(network(), tmp_path / "network.onnx")
    return str(tmp_path / "network.onnx")


def document(problem, plan, **options):
    return json.loads(export(problem, plan, **options))


# -- documents -----------------------------------------------------------------------------------


def test_overrides_name_type_and_axis_of_every_weight(build, path) -> None:
    plan = {"conv.w": "int8", "gemm.w": "int4", "one.w": "int4", "two.w": "fp8_e4m3_tensor"}
    found = document(*build(plan), model=path)
    assert found["nodes_to_exclude"] == []
    assert found["extra_options"]["TensorQuantOverrides"] == {
        "conv.w": [{"quant_type": "QInt8", "symmetric": True, "axis": 0}],
        "gemm.w": [{"quant_type": "QInt4", "symmetric": True, "axis": 0}],
        "one.w": [{"quant_type": "QInt4", "symmetric": True, "axis": 1}],
        "two.w": [{"quant_type": "QFLOAT8E4M3FN", "symmetric": True}],
    }


def test_kept_weights_exclude_the_nodes_that_read_them(build, path) -> None:
    found = document(*build({"conv.w": "bf16", "one.w": "int8", "two.w": "fp32"}), model=path)
    assert found["nodes_to_exclude"] == ["conv", "two"]
    assert list(found["extra_options"]["TensorQuantOverrides"]) == ["one.w"]


def test_an_axis_serves_without_a_model(build) -> None:
    found = document(*build({"a": "int8"}), axis=1)
    assert found["extra_options"]["TensorQuantOverrides"]["a"][0]["axis"] == 1


def test_a_problem_read_from_a_model_remembers_enough(build, path) -> None:
    """Groups are operators there; the tensors, axes and nodes are those found in the model."""
    read = import_onnx_weights(path, formats=["int4", "int8", "fp32"])
    assert list(read.groups) == ["conv", "gemm", "one", "two"]
    formats = ("int8", "int4", "int4", "fp32")
    problem, plan = build(dict(zip(read.groups, formats, strict=True)), read.provenance)
    by_tensor = build(dict(zip(SHAPES, formats, strict=True)))
    remembered = document(problem, plan)
    assert remembered == document(*by_tensor, model=path) == document(problem, plan, model=path)
    assert remembered["nodes_to_exclude"] == ["two"]
    problem, plan = build({"one": "int4_g32", "two": "bf16"}, read.provenance)
    by_tensor = build({"one.w": "int4_g32", "two.w": "bf16"})
    assert document(problem, plan, form="nbits") == document(*by_tensor, form="nbits", model=path)


def test_what_only_a_model_could_tell(build) -> None:
    with pytest.raises(UsageError, match=r"group 'a': int8 .*expected option model or axis"):
        export(*build({"a": "int8"}))
    with pytest.raises(UsageError, match=r"group 'a' stays bf16.*expected option model"):
        export(*build({"a": "bf16"}))


def test_a_table_has_no_channels_for_this_quantizer(build) -> None:
    facts = {"tensor": "t", "nodes": ["n"], "operator": "Gather", "axes": [0]}
    problem, plan = build({"a": "int8"}, {"tensors": {"a": facts}})
    with pytest.raises(UsageError, match="Gather has no one axis for it; expected another format"):
        export(problem, plan)


def test_weights_that_the_model_lacks_are_named(build, path) -> None:
    with pytest.raises(UsageError, match=r"reads a weight 'conv'; expected e\.g\. conv\.w, gemm"):
        export(*build({"conv": "int8"}), model=path)


def test_nodes_without_a_name_are_refused(build, tmp_path) -> None:
    model = network()
    model.graph.node[0].name = ""
    onnx.save(model, tmp_path / "unnamed.onnx")
    with pytest.raises(UsageError, match=r"reads 'conv\.w' has no name"):
        export(*build({"conv.w": "int8"}), model=str(tmp_path / "unnamed.onnx"))


def test_nbits_by_node(build, path) -> None:
    plan = {"one.w": "int4_g32", "two.w": "int8_g16_asym", "conv.w": "fp32"}
    assert document(*build(plan), model=path, form="nbits") == {
        "nodes_to_exclude": ["conv"],
        "customized_weight_config": {
            "one": {"bits": 4, "group_size": 32, "scheme": "sym"},
            "two": {"bits": 8, "group_size": 16, "scheme": "asym"},
        },
    }


def test_nbits_without_a_model_names_nodes(build) -> None:
    assert document(*build({"n1": "int4", "n2": "bf16"}), form="nbits") == {
        "nodes_to_exclude": ["n2"],
        "customized_weight_config": {"n1": {"bits": 4, "group_size": -1, "scheme": "sym"}},
    }


def test_nbits_takes_only_what_matmul_reads(build, path) -> None:
    with pytest.raises(UsageError, match=r"'gemm\.w' is read by Gemm; expected MatMul alone"):
        export(*build({"gemm.w": "int4_g32"}), model=path, form="nbits")


@pytest.mark.parametrize(
    ("format", "static", "nbits"),
    [
        ("int4", True, True),
        ("int8", True, True),
        ("int5", False, False),
        ("int4_g32", False, True),
        ("int4_g32_asym", False, True),
        ("int4_g24", False, False),
        ("int4_g8", False, False),
        ("int2_g32", False, False),
        ("mlx4_g64", False, False),
        ("fp8", False, False),
        ("fp8_e4m3_tensor", True, False),
        ("fp8_e5m2_tensor", False, False),
        ("nvfp4", False, False),
        ("q4_0", False, False),
        ("bf16", True, True),
    ],
)
def test_formats(format: str, static: bool, nbits: bool) -> None:
    assert knows_static(format_named(format)) == static
    assert knows_nbits(format_named(format)) == nbits


# -- the quantizers themselves -------------------------------------------------------------------


@pytest.fixture
def runtime():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return pytest.importorskip("onnxruntime.quantization")


def feeds() -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    return [{"x": random.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(8)]


def outputs(path) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, feed)[0] for feed in feeds()])


def relative_error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def quantized_static(runtime, build, path, plan, tmp_path):
    reader = type("Reader", (runtime.CalibrationDataReader,), {"get_next": lambda self: None})()
    rows = iter(feeds())
    reader.get_next = lambda: next(rows, None)
    arguments = static_arguments(document(*build(plan), model=path))
    output = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
    # 16 bits for activations, so that what is seen is the weights
    runtime.quantize_static(
        path, output, reader, activation_type=runtime.QuantType.QUInt16, **arguments
    )
    return output


def test_a_quantized_model_has_the_planned_types_and_runs(runtime, build, path, tmp_path) -> None:
    plan = {"conv.w": "int8", "gemm.w": "int4", "one.w": "int4", "two.w": "bf16"}
    output = quantized_static(runtime, build, path, plan, tmp_path)
    found = {tensor.name: tensor for tensor in onnx.load(output).graph.initializer}
    codes = {"int4": onnx.TensorProto.INT4, "int8": onnx.TensorProto.INT8}
    for name, format in plan.items():
        if format == "bf16":
            assert found[name].data_type == onnx.TensorProto.FLOAT
            continue
        assert found[f"{name}_quantized"].data_type == codes[format]
        # one scale for each channel
        assert list(found[f"{name}_scale"].dims) == [SHAPES[name][CHANNEL[name]]]


def test_more_bits_come_closer_to_fp32(runtime, build, path, tmp_path) -> None:
    exact = outputs(path)
    plans = [
        dict.fromkeys(SHAPES, "int8"),
        {**dict.fromkeys(SHAPES, "int8"), "one.w": "int4"},
        dict.fromkeys(SHAPES, "int4"),
    ]
    errors = [
        relative_error(outputs(quantized_static(runtime, build, path, plan, tmp_path)), exact)
        for plan in plans
    ]
    # a step of 2 max / 15 at int4 leaves about a tenth, one at int8 a sixteenth of that
    assert errors[0] < 0.02
    assert errors[0] < errors[1] < errors[2] < 0.3


def test_matmul_nbits_has_the_planned_widths_and_runs(runtime, build, path, tmp_path) -> None:
    quantizer = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    exact = outputs(path)
    plans = [
        ({"one.w": "int8_g32", "two.w": "int8_g16"}, {"one_Q8": (8, 32), "two_Q8": (8, 16)}, 0.02),
        ({"one.w": "int4_g32", "two.w": "int8_g32"}, {"one_Q4": (4, 32), "two_Q8": (8, 32)}, 0.2),
        ({"one.w": "int4_g32_asym", "two.w": "bf16"}, {"one_Q4": (4, 32)}, 0.2),
    ]
    for plan, expected, tolerance in plans:
        arguments = nbits_arguments(document(*build(plan), model=path, form="nbits"))
        worker = quantizer.MatMulNBitsQuantizer(onnx.load(path), **arguments)
        worker.process()
        output = tmp_path / "nbits.onnx"
        worker.model.save_model_to_file(str(output))
        found = {
            node.name: tuple(
                a.i for key in ("bits", "block_size") for a in node.attribute if a.name == key
            )
            for node in onnx.load(output).graph.node
            if node.op_type == "MatMulNBits"
        }
        assert found == expected
        assert 0 < relative_error(outputs(output), exact) < tolerance
