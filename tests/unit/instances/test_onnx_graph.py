"""From ONNX to the operator graph: the real models of the onnx package, and small ones."""

from pathlib import Path

import numpy as np
import pytest

from mapc import instances
from mapc.errors import InstanceError, UsageError

onnx = pytest.importorskip("onnx")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

# operators as the file has them, without views, and after fusing; M_R in KiB at INT8, both ways
LIGHT_MODELS = {
    "bvlc_alexnet": (24, 21, 14, 546.75, 546.75),
    "densenet121": (668, 668, 242, 1568, 1568),
    "inception_v1": (143, 141, 84, 1568, 1134.375),
    "inception_v2": (371, 370, 94, 1568, 980),
    "resnet50": (176, 175, 73, 2352, 2352),
    "shufflenet": (203, 170, 88, 686, 686),
    "squeezenet": (66, 65, 39, 1540.125, 959.125),
    "vgg19": (46, 43, 25, 6272, 6272),
    "zfnet512": (22, 21, 14, 2227.6875, 2227.6875),
}
# counted elsewhere with LRN and Softmax as elementwise, which they are not: both look around
FUSED_WITH_LRN_AND_SOFTMAX = {
    "bvlc_alexnet": 11,
    "densenet121": 242,
    "inception_v1": 81,
    "inception_v2": 93,
    "resnet50": 72,
    "shufflenet": 87,
    "squeezenet": 38,
    "vgg19": 24,
    "zfnet512": 11,
}


def operators(problem):
    """Kind, inputs and outputs of every operator, by name."""
    graph = problem.graph
    name = graph.tensor_names.__getitem__
    return [
        (kind, [name(t) for t in graph.inputs[o]], [name(t) for t in graph.outputs[o]])
        for o, kind in enumerate(graph.operator_kinds)
    ]


def sizes(problem):
    return dict(zip(problem.graph.tensor_names, problem.graph.tensor_bytes.tolist(), strict=True))


def outputs(problem):
    return [problem.graph.tensor_names[t] for t in np.flatnonzero(problem.graph.is_output)]


# -- real models ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIGHT_MODELS)
def test_light_models(name):
    with_views, plain, fused, plain_ws, fused_ws = LIGHT_MODELS[name]
    path = LIGHT / f"light_{name}.onnx"
    a = instances.read(path, dtype="int8")
    b = instances.read(path, dtype="int8", fuse=True)
    counts = a.provenance["counts"]
    assert a.graph.n_operators + counts.get("view", 0) == with_views
    assert (a.graph.n_operators, b.graph.n_operators) == (plain, fused)
    assert a.smallest_capacity == plain_ws * 1024
    assert b.smallest_capacity == fused_ws * 1024
    kinds = a.graph.operator_kinds
    assert fused - kinds.count("LRN") - kinds.count("Softmax") == FUSED_WITH_LRN_AND_SOFTMAX[name]
    # one producer each and one more tensor for the only input
    assert a.graph.n_tensors == plain + 1
    assert a.graph.is_output.sum() == b.graph.is_output.sum() == 1
    assert np.array_equal(a.graph.given_order, np.arange(plain))


def test_reading_is_deterministic():
    path = LIGHT / "light_shufflenet.onnx"
    options = {"dtype": "int8", "fuse": True, "weights": True}
    first, second = (instances.read(path, **options) for _ in range(2))
    assert instances.content_hash(first) == instances.content_hash(second)
    assert first.graph.operator_names == second.graph.operator_names
    assert first.provenance == second.provenance
    assert first.provenance["options"] == options
    assert first.provenance["source"] == "light_shufflenet.onnx"


def test_float32_is_four_times_int8_and_weights_are_constants():
    path = LIGHT / "light_squeezenet.onnx"
    int8, fp32 = instances.read(path, dtype="int8"), instances.read(path)
    assert np.array_equal(4 * int8.graph.tensor_bytes, fp32.graph.tensor_bytes)
    full = instances.read(path, dtype="int8", weights=True)
    assert full.graph.n_operators == int8.graph.n_operators
    # 26 convolutions with weight and bias: the parameters of SqueezeNet 1.1
    assert full.graph.is_constant.sum() == 52
    assert full.graph.tensor_bytes[full.graph.is_constant].sum() == 1_235_496


# -- what is left out ----------------------------------------------------------------------------


def test_shape_computations_are_constants_and_reshape_is_a_view(read):
    problem = read(
        """(float[2,3,4] x) => (float[a,b] y) {
            s = Shape(x)  zero = Constant<value = int64[1] {0}>()  n = Gather(s, zero)
            rest = Constant<value = int64[1] {-1}>()  t = Concat<axis = 0>(n, rest)
            r = Reshape(x, t)  y = Relu(r) }"""
    )
    assert operators(problem) == [("Relu", ["x"], ["y"])]
    assert sizes(problem) == {"x": 96, "y": 96}
    assert problem.provenance["counts"] == {"nodes": 7, "constant": 5, "view": 1}


def test_a_constant_subgraph_is_folded_and_its_last_value_is_the_weight(read):
    body = """(float[4] x) => (float[4] y) <float[4] w = {1.0, 2.0, 3.0, 4.0}> {
        v = Exp(w)  u = Neg(v)  y = Add(x, u) }"""
    assert operators(read(body)) == [("Add", ["x"], ["y"])]
    assert operators(read(body, weights=True)) == [("Add", ["x", "u"], ["y"])]


def test_random_values_are_no_constants(read):
    problem = read("(float[4] x) => (float[4] y) { r = RandomNormal<shape = [4]>() y = Add(x, r) }")
    assert [kind for kind, *_ in operators(problem)] == ["RandomNormal", "Add"]


@pytest.mark.parametrize(
    ("dropout", "kinds"),
    [
        ("y, m = Dropout(z)", ["Softmax"]),
        ("f = Constant<value = bool {0}>() r = Constant<value = float {0}>() y = Dropout(z, r, f)",
         ["Softmax"]),
        ("t = Constant<value = bool {1}>() r = Constant<value = float {0}>() y = Dropout(z, r, t)",
         ["Softmax", "Dropout"]),
        ("y, m = Dropout(z) k = Not(m)", ["Softmax", "Dropout"]),
    ],
)  # fmt: skip
def test_dropout_is_a_view_unless_it_drops(read, dropout, kinds):
    out = ", bool[4] k" if "Not" in dropout else ""
    problem = read(f"(float[4] x) => (float[4] y{out}) {{ z = Softmax(x) {dropout} }}")
    assert [kind for kind, *_ in operators(problem) if kind != "Not"] == kinds


def test_cast_is_a_view_only_between_equal_formats(read):
    body = """(float16[8] x) => (float[8] y, int32[8] i) {
        s = Softmax(x) z = Cast<to = 1>(s) y = Softmax(z) i = Cast<to = 6>(z) }"""
    assert [kind for kind, *_ in operators(read(body))] == ["Softmax", "Cast", "Softmax", "Cast"]
    same = read(body, dtype="int8")
    assert [kind for kind, *_ in operators(same)] == ["Softmax", "Softmax", "Cast"]
    # integers keep their width: indices are not quantized
    assert sizes(same) == {"x": 8, "s": 8, "y": 8, "i": 32}


def test_outputs_that_are_views_or_constants(read):
    problem = read(
        """(float[4] x) => (float[4] y, float[2,2] v, float[2] c, float[4] x2) {
            y = Relu(x) s = Constant<value = int64[2] {2, 2}>() v = Reshape(y, s)
            c = Constant<value = float[2] {1.0, 2.0}>() x2 = Identity(x) }"""
    )
    assert operators(problem) == [("Relu", ["x"], ["y"])]
    assert outputs(problem) == ["x", "y"]
    assert problem.compulsory == 32  # an input that is also an output is off-chip already


def test_operators_that_no_output_needs_are_left_out(read):
    problem = read("(float[4] x) => (float[4] y) { y = Relu(x) z = Tanh(x) w = Neg(z) }")
    assert operators(problem) == [("Relu", ["x"], ["y"])]
    assert problem.provenance["counts"]["unused"] == 2


def test_optional_outputs_that_nobody_reads_are_not_written(read):
    body = "(float[1,2,4,4] x) => (float[1,2,3,3] y{}) {{ y, i = MaxPool<kernel_shape=[2,2]>(x) }}"
    assert operators(read(body.format(""))) == [("MaxPool", ["x"], ["y"])]
    assert operators(read(body.format(", int64[1,2,3,3] i"))) == [("MaxPool", ["x"], ["y", "i"])]
    split = "(float[4] x) => (float[2] y) { y, z = Split<axis = 0>(x) }"
    assert operators(read(split)) == [("Split", ["x"], ["y", "z"])]


def test_optional_inputs_may_be_left_empty(read):
    problem = read("(float[4] x, float m) => (float[4] y) { y = Clip(x, , m) }")
    assert operators(problem) == [("Clip", ["x", "m"], ["y"])]


# -- fusing --------------------------------------------------------------------------------------


def fused(read, body, **options):
    return operators(read(body, fuse=True, **options))


def test_a_chain_of_elementwise_operators_joins_its_producer(read):
    body = """(float[1,2,4,4] x, float[1,2,4,4] r) => (float[1,2,4,4] y)
        <float[2] s = {1.0, 2.0}, float[2] b = {1.0, 2.0}, float[1] k = {2.0}> {
        p = GlobalMaxPool(x) q = Expand(p, shape) z = BatchNormalization(q, s, b, b, s)
        u = Mul(z, k) v = Relu(u) y = Add(v, r) }""".replace(
        "<float[2] s", "<int64[4] shape = {1, 2, 4, 4}, float[2] s"
    )
    kind = "Expand+BatchNormalization+Mul+Relu"
    assert fused(read, body) == [
        ("GlobalMaxPool", ["x"], ["p"]),
        (kind, ["p"], ["v"]),
        ("Add", ["v", "r"], ["y"]),
    ]
    with_weights = fused(read, body, weights=True)
    assert with_weights[1] == (kind, ["p", "shape", "s", "b", "k"], ["v"])


@pytest.mark.parametrize(
    ("why", "body"),
    [
        ("input of the model", "(float[4] x) => (float[4] y) { y = Relu(x) }"),
        ("read twice", "(float[4] x) => (float[4] y) { z = Softmax(x) r = Relu(z) y = Add(r, z) }"),
        ("an output", "(float[4] x) => (float[4] y, float[4] z) { z = Softmax(x) y = Relu(z) }"),
        ("another size", "(float[4] x) => (bool[4] y) { z = Softmax(x) y = IsNaN(z) }"),
        ("grows", """(float[4] x) => (float[2,4] y) <float[2,1] k = {1.0, 2.0}> {
            z = Softmax(x) y = Mul(z, k) }"""),
        ("looks around", "(float[4] x) => (float[4] y) { z = Softmax(x) y = Softmax(z) }"),
        ("an output by another name", """(float[4] x) => (float[4] y, float[4] v) {
            z = Softmax(x) v = Identity(z) y = Relu(z) }"""),
    ],
)  # fmt: skip
def test_what_is_not_fused(read, why, body):
    assert fused(read, body) == operators(read(body)), why
    assert "fused" not in read(body, fuse=True).provenance["counts"]


def test_an_operator_that_reads_one_tensor_twice_is_unary(read):
    body = "(float[4] x) => (float[4] y) { z = Softmax(x) y = Mul(z, z) }"
    assert fused(read, body) == [("Softmax+Mul", ["x"], ["y"])]


# -- formats, dimensions, subgraphs, functions ---------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "size"), [(None, 20), ("int4", 3), ("int8", 5), ("FP16", 10), ("fp64", 40)]
)
def test_widths(read, dtype, size):
    body = """(float[5] x, int64[5] i, bool[5] b) => (float[5] y, int64[5] k) {
        y = Where(b, x, x)  k = Neg(i) }"""
    assert sizes(read(body, dtype=dtype)) == {"b": 5, "x": size, "y": size, "i": 40, "k": 40}


def test_symbolic_dimensions_can_be_fixed(read):
    body = "(float[N,4] x) => (float[N,4] y) { z = Relu(x) y = Softmax(z) }"
    assert sizes(read(body, dims={"N": 3})) == {"x": 48, "z": 48, "y": 48}
    with pytest.raises(InstanceError, match=r"tensor 'x': dimension 0 is open \(N\).*--dim N=1"):
        read(body)
    with pytest.raises(UsageError, match="no dimension is called 'M'; the model has: N"):
        read(body, dims={"M": 3})
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(UsageError, match="dims: 'N' is"):
            read(body, dims={"N": wrong})


def test_subgraphs_are_one_operator_that_reads_what_they_capture(read):
    problem = read(
        """(bool c, float[4] x) => (float[4] y) {
            z = Softmax(x)  v = Identity(z)
            y = If(c) <then_branch = a () => (float[4] t) { t = Add(v, v) },
                       else_branch = b () => (float[4] t) { u = Neg(x) t = Neg(u) }> }"""
    )
    assert operators(problem) == [("Softmax", ["x"], ["z"]), ("If", ["c", "z", "x"], ["y"])]


def test_functions_of_the_model_are_inlined(read):
    problem = read(
        "(float[4] x) => (float[4] y) { y = loc.f(x) }",
        '<domain: "loc", opset_import: ["" : 17]> f (a) => (b) { c = Softmax(a) b = Tanh(c) }',
    )
    assert [kind for kind, *_ in operators(problem)] == ["Softmax", "Tanh"]


def test_names_are_unique_and_operators_in_order(build, read):
    proto = build("(float[4] x) => (float[4] y) { a = Relu(x) b = Relu(a) c = Tanh(b) y = Neg(c) }")
    proto.graph.node[0].name = proto.graph.node[1].name = "act"
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[::-1])
    graph = read(proto).graph
    assert graph.operator_names == ("act", "act_2", "Tanh_1", "Neg_0")
    assert graph.operator_kinds == ("Relu", "Relu", "Tanh", "Neg")
