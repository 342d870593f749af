from __future__ import annotations

import importlib.util

import pytest

from mapc.deploy.onnx_sites import Site, weight_sites
from mapc.errors import InstanceError, UnavailableError

helper = pytest.importorskip("onnx.helper")
onnx = pytest.importorskip("onnx")


def constant(name: str, *dims: int):
    size = 1
    for dim in dims:
        size *= dim
    return helper.make_tensor(name, onnx.TensorProto.FLOAT, dims, [0.0] * size)


@pytest.fixture
def model(tmp_path):
    """Every operator that reads weights once; ``twice`` is read along two axes."""
    nodes = [
        helper.make_node("Conv", ["x", "conv.w"], ["a"], name="conv"),
        helper.make_node("ConvTranspose", ["a", "deconv.w"], ["b"], name="deconv"),
        helper.make_node("Flatten", ["b"], ["c"], name="flat"),
        helper.make_node("Gemm", ["c", "gemm.w"], ["d"], name="gemm"),
        helper.make_node("Gemm", ["d", "twice", "bias"], ["e"], name="t1", transB=1),
        helper.make_node("MatMul", ["e", "twice"], ["f"], name="t2"),
        helper.make_node("Constant", [], ["held"], name="", value=constant("v", 2, 2)),
        helper.make_node("MatMul", ["f", "held"], ["g"]),
        helper.make_node("MatMul", ["g", "vector"], ["y"], name="v"),
        helper.make_node("Gather", ["table", "index"], ["z"], name="look"),
        helper.make_node("MatMul", ["z", "z"], ["zz"], name="no weight"),
    ]
    weights = [
        constant("conv.w", 2, 1, 1, 1),
        constant("deconv.w", 2, 2, 1, 1),
        constant("gemm.w", 8, 2),
        constant("twice", 2, 2),
        constant("bias", 2),
        constant("vector", 2),
        constant("table", 4, 4),
    ]
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "sites",
        [
            helper.make_tensor_value_info("x", floats, [1, 1, 2, 2]),
            helper.make_tensor_value_info("index", onnx.TensorProto.INT64, [4]),
        ],
        [helper.make_tensor_value_info("y", floats, None)],
        weights,
    )
    path = tmp_path / "model.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_axes_follow_from_the_operators(model) -> None:
    assert weight_sites(model) == {
        "conv.w": Site(frozenset({"Conv"}), ("conv",), 0),
        "deconv.w": Site(frozenset({"ConvTranspose"}), ("deconv",), 1),
        "gemm.w": Site(frozenset({"Gemm"}), ("gemm",), 1),
        "twice": Site(frozenset({"Gemm", "MatMul"}), ("t1", "t2"), None),
        "held": Site(frozenset({"MatMul"}), ("",), 1),
        "vector": Site(frozenset({"MatMul"}), ("v",), None),
        "table": Site(frozenset({"Gather"}), ("look",), None),
    }


def test_what_is_no_model_is_refused_by_name(tmp_path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\x08nonsense")
    with pytest.raises(InstanceError, match=r"bad\.onnx: "):
        weight_sites(path)
    with pytest.raises(InstanceError, match="cannot be read"):
        weight_sites(tmp_path / "missing.onnx")


def test_without_the_package(monkeypatch, model) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="onnx package"):
        weight_sites(model)
