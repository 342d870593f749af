from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError
from mapc.graph.formats import format_named, storage_bits
from mapc.instances.importers import import_onnx_weights
from mapc.instances.importers.onnx_weights import onnx_weights
from mapc.instances.sensitivity import WeightTensor

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)


def weight(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def graph(
    nodes: list[Any],
    constants: dict[str, np.ndarray],
    name: str = "g",
    inputs: tuple[str, ...] = ("x",),
) -> Any:
    values = [helper.make_tensor_value_info(i, TensorProto.FLOAT, None) for i in inputs]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    return helper.make_graph(nodes, name, values, [output], tensors)


def saved(folder: Path, g: Any, **options: Any) -> Path:
    model = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "m.onnx"
    onnx.save(model, path, **options)
    return path


def found(folder: Path, nodes: list[Any], constants: dict[str, np.ndarray]) -> list[WeightTensor]:
    return onnx_weights(saved(folder, graph(nodes, constants)))


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes)


@pytest.mark.parametrize(
    ("kind", "inputs", "shape", "attributes", "axes"),
    [
        ("Conv", ["x", "w"], (4, 3, 5, 5), {}, (0,)),
        ("ConvTranspose", ["x", "w"], (3, 4, 5, 5), {}, (1,)),
        ("Gemm", ["x", "w"], (3, 4), {}, (1,)),
        ("Gemm", ["x", "w"], (4, 3), {"transB": 1}, (0,)),
        ("Gemm", ["w", "x"], (4, 3), {}, (0,)),
        ("Gemm", ["w", "x"], (3, 4), {"transA": 1}, (1,)),
        ("MatMul", ["x", "w"], (3, 4), {}, (1,)),
        ("MatMul", ["w", "x"], (4, 3), {}, (0,)),
        ("MatMul", ["x", "w"], (2, 3, 4), {}, (0, 2)),
        ("MatMul", ["w", "x"], (2, 4, 3), {}, (0, 1)),
        ("Gather", ["w", "x"], (7, 3), {}, (0,)),
    ],
)
def test_channels_are_those_of_the_output(
    tmp_path: Path,
    kind: str,
    inputs: list[str],
    shape: tuple[int, ...],
    attributes: dict[str, int],
    axes: tuple[int, ...],
) -> None:
    w = weight(*shape)
    (tensor,) = found(tmp_path, [node(kind, inputs, "y", **attributes)], {"w": w})
    assert tensor.name == f"{kind}_y"
    assert tensor.shape == shape
    assert tensor.axis == axes
    assert np.array_equal(tensor.load(), w)
    assert tensor.facts["tensor"] == "w"
    assert tensor.facts["operator"] == kind


def test_recurrent_layers_have_two_weights(tmp_path: Path) -> None:
    constants = {"w": weight(1, 16, 3), "r": weight(1, 16, 4), "b": weight(1, 32)}
    lstm = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], "rnn", hidden_size=4)
    w, r = found(tmp_path, [lstm], constants)
    assert (w.name, r.name) == ("rnn/W", "rnn/R")
    assert w.axis == r.axis == (0, 1)
    assert np.array_equal(r.load(), constants["r"])


def test_what_is_no_weight_is_left_out(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "x"], "a"),  # no constant
        node("Add", ["a", "w"], "b"),  # no product
        node("MatMul", ["b", "v"], "c"),  # a vector
        node("Conv", ["c", "i"], "d"),  # integers
        node("Gather", ["g", "x"], "e", axis=1),  # no embedding
        node("ConvTranspose", ["d", "t"], "f", group=2),
        helper.make_node("MatMul", ["f", "w"], ["z"], "own", domain="my.own"),
        node("MatMul", ["z", "w"], "y"),
    ]
    constants = {
        "w": weight(3, 4),
        "v": weight(3),
        "i": np.ones((4, 3, 1), dtype=np.int64),
        "g": weight(3, 4),
        "t": weight(4, 2, 3),
    }
    model = helper.make_model(
        graph(nodes, constants),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "m.onnx")
    assert [t.name for t in onnx_weights(tmp_path / "m.onnx")] == ["MatMul_y"]


def test_constants_of_nodes_count_as_well(tmp_path: Path) -> None:
    w = weight(4, 3)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(w)),
        node("Identity", ["w"], "v"),
        node("Identity", ["v"], "u"),
        node("MatMul", ["x", "u"], "y"),
    ]
    (tensor,) = found(tmp_path, nodes, {})
    assert np.array_equal(tensor.load(), w)
    assert tensor.facts["tensor"] == "w"


def test_weights_are_followed_through_nodes_that_move_them(tmp_path: Path) -> None:
    a, b = weight(4, 3), weight(2, 3)
    nodes = [
        node("Concat", ["a", "b"], "c", axis=0),
        node("Transpose", ["c"], "t", perm=[1, 0]),
        node("MatMul", ["x", "t"], "m"),
        node("Unsqueeze", ["a", "zero"], "s"),
        node("Cast", ["s"], "h", to=TensorProto.FLOAT16),
        node("MatMul", ["m", "h"], "y"),
    ]
    constants = {"a": a, "b": b, "zero": np.zeros(1, dtype=np.int64)}
    first, second = found(tmp_path, nodes, constants)
    assert np.array_equal(first.load(), np.concatenate([a, b]).T)
    assert first.shape == (3, 6)
    assert first.facts["tensor"] == "a"
    assert np.array_equal(second.load(), a[None].astype(np.float16))
    assert second.axis == (0, 2)


def test_computed_values_are_no_constants(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], "t"),
        node("MatMul", ["x", "t"], "a"),
        node("Mul", ["w", "w"], "p"),
        node("MatMul", ["a", "p"], "y"),
    ]
    with pytest.raises(InstanceError, match="no weights to quantize"):
        import_onnx_weights(saved(tmp_path, graph(nodes, {"w": weight(3, 3)})))


def test_subgraphs_see_the_constants_around_them(tmp_path: Path) -> None:
    inner_weight = weight(4, 5)
    then = graph(
        [node("MatMul", ["x", "w"], "p"), node("MatMul", ["p", "own"], "q")],
        {"own": inner_weight},
        "then",
        (),
    )
    other = graph(
        [node("Transpose", ["w"], "t", perm=[1, 0]), node("MatMul", ["x", "t"], "r")],
        {},
        "else",
        (),
    )
    branch = helper.make_node("If", ["c"], ["y"], "if", then_branch=then, else_branch=other)
    tensors = found(tmp_path, [branch], {"w": weight(4, 4), "c": np.array(True)})
    by_name = {t.name: t.load() for t in tensors}
    assert sorted(by_name) == ["MatMul_p", "MatMul_q", "MatMul_r"]
    assert np.array_equal(by_name["MatMul_q"], inner_weight)
    assert np.array_equal(by_name["MatMul_r"], by_name["MatMul_p"].T)


def test_a_name_that_a_subgraph_defines_hides_the_constant(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("MatMul", ["x", "w"], "p"), node("Identity", ["k"], "k2")],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("k", TensorProto.BOOL, []),
            value("w", TensorProto.FLOAT, None),
        ],
        [value("k2", TensorProto.BOOL, []), value("p", TensorProto.FLOAT, None)],
    )
    loop = helper.make_node("Loop", ["", "", "w"], ["y"], "loop", body=body)
    last = node("MatMul", ["y", "w"], "z")
    tensors = found(tmp_path, [loop, last], {"w": weight(4, 4)})
    assert [t.name for t in tensors] == ["MatMul_z"]


def test_a_constant_read_twice_is_one_group(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("MatMul", ["a", "w"], "b"),
        node("Slice", ["v", "zero", "two"], "s1"),
        node("Slice", ["v", "nil", "two"], "s2"),
        node("MatMul", ["b", "s1"], "c"),
        node("MatMul", ["c", "s2"], "d"),
        node("Slice", ["v", "zero", "three"], "s3"),
        node("MatMul", ["d", "s3"], "y"),
    ]
    constants = {
        "w": weight(16, 16),
        "v": weight(16, 16),
        "zero": np.array([0]),
        "nil": np.array([0]),
        "two": np.array([2]),
        "three": np.array([3]),
    }
    tensors = found(tmp_path, nodes, constants)
    assert [t.name for t in tensors] == ["MatMul_a", "MatMul_c", "MatMul_y"]
    assert tensors[0].facts["nodes"] == ["MatMul_a", "MatMul_b"]
    assert tensors[1].facts["nodes"] == ["MatMul_c", "MatMul_d"]


def test_nameless_nodes_get_names(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "v"], ["b"], "same"),
        helper.make_node("MatMul", ["b", "u"], ["y"], "same"),
    ]
    constants = {"w": weight(16, 16), "v": weight(16, 16), "u": weight(16, 16)}
    names = [t.name for t in found(tmp_path, nodes, constants)]
    assert names == ["MatMul_0", "same", "same_2"]


def test_names_that_are_no_utf8_are_still_names(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "wwww"], ["y"], "nnnn")]
    path = saved(tmp_path, graph(nodes, {"wwww": weight(4, 4)}))
    data = path.read_bytes().replace(b"nnnn", b"n\xff\xfen").replace(b"wwww", b"w\xff\xfew")
    path.write_bytes(data)
    (tensor,) = onnx_weights(path)
    assert tensor.name == "n\ufffd\ufffdn"
    assert tensor.facts["tensor"] == "w\ufffd\ufffdw"


def test_external_data_is_read_and_kept_inside_the_folder(tmp_path: Path) -> None:
    w = weight(64, 64)
    g = graph([node("MatMul", ["x", "w"], "y")], {"w": w})
    path = saved(tmp_path, g, save_as_external_data=True, location="m.bin", size_threshold=0)
    (tensor,) = onnx_weights(path)
    assert np.array_equal(tensor.load(), w)
    (tmp_path / "m.bin").write_bytes(b"short")
    with pytest.raises(InstanceError, match="tensor 'w': data unreadable"):
        import_onnx_weights(path)
    (tmp_path / "m.bin").unlink()
    with pytest.raises(InstanceError, match="external data cannot be read"):
        import_onnx_weights(path)
    model = onnx.load(path, load_external_data=False)
    entries = model.graph.initializer[0].external_data
    next(e for e in entries if e.key == "location").value = "../m.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InstanceError, match="lies outside the model's folder"):
        import_onnx_weights(path)


def test_functions_are_opened(tmp_path: Path) -> None:
    function = helper.make_function(
        "my", "Layer", ["a", "b"], ["c"],
        [helper.make_node("MatMul", ["a", "b"], ["c"], "inside")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    call = helper.make_node("Layer", ["x", "w"], ["y"], "call", domain="my")
    model = helper.make_model(
        graph([call], {"w": weight(4, 4)}),
        functions=[function],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my", 1)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "m.onnx")
    assert len(onnx_weights(tmp_path / "m.onnx")) == 1


def test_losses_and_sizes_of_a_model(tmp_path: Path) -> None:
    w, v = weight(4, 3, 3, 3), weight(64, 10)
    nodes = [node("Conv", ["x", "w"], "a"), node("MatMul", ["a", "v"], "y")]
    path = saved(tmp_path, graph(nodes, {"w": w, "v": v}))
    problem = import_onnx_weights(path, formats=["int4", "nvfp4", "fp8"], loss="squared")
    assert problem.name == "m"
    assert problem.groups == ("Conv_a", "MatMul_y")
    assert problem.formats == ("int4", "nvfp4", "fp8_e4m3")
    assert problem.weights.tolist() == [108, 640]
    expected = [
        storage_bits(format_named(f), shape, axis)
        for shape, axis in ((w.shape, 0), (v.shape, 1))
        for f in ("int4", "nvfp4", "fp8")
    ]
    assert problem.cost[0].tolist() == expected
    assert (np.diff(problem.loss.reshape(2, 3)[:, ::2]) < 0).all()
    assert problem.provenance["tensors"]["MatMul_y"]["axes"] == [1]
    assert problem.provenance["format"] == "onnx-weights"


@pytest.mark.parametrize("data", [b"", b"\x08", b"no model at all", b"\x08\x08\x12\x00"])
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(InstanceError) as caught:
        import_onnx_weights(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_data_of_another_length_than_its_shape_is_refused(tmp_path: Path) -> None:
    g = graph([node("MatMul", ["x", "w"], "y")], {"w": weight(4, 4)})
    g.initializer[0].raw_data = b"\0" * 12
    with pytest.raises(InstanceError, match="tensor 'w': data unreadable"):
        import_onnx_weights(saved(tmp_path, g))


def test_moves_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["w", "shape"], "r"), node("MatMul", ["x", "r"], "y")]
    g = graph(nodes, {"w": weight(4, 4), "shape": np.array([5, 5])})
    with pytest.raises(InstanceError, match="operator 'Reshape_r'") as caught:
        import_onnx_weights(saved(tmp_path, g))
    assert "\n" not in str(caught.value)
