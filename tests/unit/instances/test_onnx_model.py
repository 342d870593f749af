"""ONNX files that are not what they should be, and those that point elsewhere."""

import importlib.util
import os

import pytest

from mapc.errors import InstanceError, UnavailableError

onnx = pytest.importorskip("onnx")

GOOD = "(float[4] x) => (float[4] y) { z = Softmax(x) y = Relu(z) }"
CALL = "(float[4] x) => (float[4] y) { y = loc.f(x) }"
FUNCTION = '<domain: "loc", opset_import: ["" : 17, "loc" : 1]> f (a) => (b) '


def branches(inner):
    return f"""(bool c, float[4] x) => (float[4] y) {{ y = If(c) <
        then_branch = a () => (float[4] t) {{ t = Neg({inner}) }},
        else_branch = b () => (float[4] t) {{ t = Abs(x) }}> }}"""


def external(build, location, key="location"):
    """Build a model whose weight ``w`` lies in another file."""
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=1)
    tensor.external_data.add(key=key, value=location)
    proto = build("(float[4] x) => (float[4] y) <float[4] w = {0.0}> { y = Add(x, w) }")
    del proto.graph.initializer[:]
    proto.graph.initializer.append(tensor)
    return proto


# -- external data -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "/etc/passwd", "a/../../w.bin", "..\\w.bin", "C:\\w.bin", "link/w.bin", ".."],
)
def test_external_data_outside_the_folder_is_refused(build, read, tmp_path, location):
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(InstanceError, match=r"tensor 'w': external data .* outside the model's"):
        read(external(build, location))


def test_external_data_inside_the_folder_is_not_opened(build, read, tmp_path):
    os.mkfifo(tmp_path / "w.bin")  # opening it would wait for ever
    graph = read(external(build, "w.bin"), weights=True).graph
    assert dict(zip(graph.tensor_names, graph.tensor_bytes.tolist(), strict=True))["w"] == 16


def in_a_constant(build, tensor):
    proto = build(
        "(float[4] x) => (float[4] y) { w = Constant<value = float {0.0}>() y = Add(x, w) }"
    )
    proto.graph.node[0].attribute[0].t.CopyFrom(tensor)
    return proto


def in_a_branch(build, tensor):
    proto = build(branches("x"))
    proto.graph.node[0].attribute[1].g.initializer.append(tensor)
    return proto


def in_a_function(build, tensor):
    proto = build(CALL, FUNCTION + "{ w = Constant<value = float {0.0}>() b = Add(a, w) }")
    proto.functions[0].node[0].attribute[0].t.CopyFrom(tensor)
    return proto


def in_a_sparse_tensor(build, tensor):
    proto = build(GOOD)
    proto.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return proto


@pytest.mark.parametrize("hide", [in_a_constant, in_a_branch, in_a_function, in_a_sparse_tensor])
def test_external_data_is_found_wherever_it_hides(build, read, hide):
    tensor = external(build, "../w.bin").graph.initializer[0]
    with pytest.raises(InstanceError, match="tensor 'w': external data"):
        read(hide(build, tensor))


# -- malformed -----------------------------------------------------------------------------------


def changed(build, change):
    proto = build(GOOD)
    change(proto)
    return proto


def first_input(model):
    return model.graph.input[0].type.tensor_type


MALFORMED = {
    "garbage": (lambda _: b"this is no model", "no ONNX model"),
    "truncated": (lambda b: b(GOOD).SerializeToString()[:-40], "truncated"),
    "no graph": (lambda _: b"\x08\x08", "no graph"),
    "empty graph": (lambda b: changed(b, lambda m: m.graph.ClearField("node")), "no graph"),
    "future ir": (lambda b: changed(b, lambda m: setattr(m, "ir_version", 99)), "IR version 99"),
    "no ir": (lambda b: changed(b, lambda m: m.ClearField("ir_version")), "IR version 0"),
    "future opset": (
        lambda b: changed(b, lambda m: setattr(m.opset_import[0], "version", 999)),
        "operator set 999",
    ),
    "no opset": (
        lambda b: changed(b, lambda m: m.ClearField("opset_import")),
        "opset_import: no version of the standard operators",
    ),
    "undefined tensor": (
        lambda b: changed(b, lambda m: m.graph.node[1].input.append("nowhere")),
        "tensor 'nowhere': read by operator 'Relu_1'",
    ),
    "undefined in a branch": (
        lambda b: b(branches("nowhere")),
        "tensor 'nowhere': read by operator 'If_0'",
    ),
    "undefined output": (
        lambda b: changed(b, lambda m: setattr(m.graph.output[0], "name", "nowhere")),
        "output 'nowhere': nothing writes it",
    ),
    "two producers": (
        lambda b: changed(b, lambda m: m.graph.node.append(m.graph.node[1])),
        "tensor 'y': written by operator 'Relu_1' and by operator 'Relu_2'",
    ),
    "writes an input": (
        lambda b: changed(b, lambda m: m.graph.node[1].output.append("x")),
        "tensor 'x': written by an input or constant and by operator 'Relu_1'",
    ),
    "cycle": (
        lambda b: changed(b, lambda m: m.graph.node[0].input.append("y")),
        "cycle '(Softmax_0' -> 'Relu_1' -> 'Softmax_0|Relu_1' -> 'Softmax_0' -> 'Relu_1)'",
    ),
    "self loop": (
        lambda b: changed(b, lambda m: m.graph.node[0].input.append("z")),
        "cycle 'Softmax_0' -> 'Softmax_0'",
    ),
    "negative dimension": (
        lambda b: changed(b, lambda m: setattr(first_input(m).shape.dim[0], "dim_value", -1)),
        "tensor 'x': dimension 0 is open",
    ),
    "huge dimension": (
        lambda b: changed(b, lambda m: setattr(first_input(m).shape.dim[0], "dim_value", 2**62)),
        "tensor 'x': shape .4611686018427387904.",
    ),
    "no shape": (
        lambda b: changed(b, lambda m: first_input(m).ClearField("shape")),
        "tensor 'x': shape unknown",
    ),
    "no type": (
        lambda b: changed(b, lambda m: m.graph.input[0].ClearField("type")),
        "tensor 'x': shape unknown",
    ),
    "unknown element type": (
        lambda b: changed(b, lambda m: setattr(first_input(m), "elem_type", 77)),
        "tensor 'x': element type number 77 has no fixed width",
    ),
    "foreign operator": (
        lambda b: b("(float[4] x) => (float[4] y) { z = com.other.F(x) y = Relu(z) }"),
        "tensor 'z' of operator 'F_0': shape unknown",
    ),
    "size that depends on data": (
        lambda b: b(
            "(float[4] x) => (float[1,n] y) { z = NonZero(x) f = Cast<to = 1>(z) y = Neg(f) }"
        ),
        "tensor 'z' of operator 'NonZero_0': dimension 1 is open",
    ),
    "strings": (
        lambda b: b("(string[4] x) => (string[4] y) { y = StringNormalizer(x) }"),
        "tensor 'x': element type STRING",
    ),
    "sequence": (
        lambda b: b("(float[4] x) => (seq(float[4]) y) { y = SequenceConstruct(x) }"),
        "tensor 'y' of operator 'SequenceConstruct_0': is of type sequence",
    ),
    "optional": (
        lambda b: b("(optional(float[4]) x) => (float[4] y) { y = OptionalGetElement(x) }"),
        "tensor 'x': is of type optional",
    ),
    "only views": (lambda b: b("(float[4] x) => (float[4] y) { y = Identity(x) }"), "no operators"),
    "recursive function": (
        lambda b: b(CALL, FUNCTION + "{ c = loc.f(a) b = Tanh(c) }"),
        "function 'f': calls itself",
    ),
    "no external location": (
        lambda b: external(b, "w", key="offset"),
        "tensor 'w': external data without a location",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_models_are_named_in_one_line(build, read, tmp_path, case):
    make, message = MALFORMED[case]
    with pytest.raises(InstanceError, match=message) as caught:
        read(make(build))
    assert str(caught.value).startswith(f"{tmp_path / 'net.onnx'}: ")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_every_truncation_is_refused(build, read):
    proto = build(GOOD)
    del proto.opset_import[1:]  # a file cut before its last, unused entry would be whole
    data = proto.SerializeToString()
    read(data)
    for length in range(1, len(data)):
        with pytest.raises(InstanceError):
            read(data[:length])


def test_without_onnx_the_extra_is_named(read, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'mapc\[onnx\]'"):
        read(b"\x08\x08")
