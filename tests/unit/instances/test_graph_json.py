import json
import os
from pathlib import Path

import numpy as np
import pytest

from mapc import instances
from mapc.errors import InstanceError, UsageError

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[4] / "shared" / "data")
GRAPHS = DATA / "memory" / "graphs"

# operators, and the largest working set in whole KiB at one byte per element
REAL = {
    "hf_bert": (38, 480),
    "timm_nasnetalarge": (886, 5293),
    "tv_densenet121": (188, 1568),
    "tv_r2plus1d_18": (47, 40768),
    "tv_resnext50_32x4d": (72, 2352),
    "tv_lraspp_mobilenet_v3_large": (97, 1045),
    "tv_vit_b_16": (111, 738),
}


def graph(**changes):
    document = {
        "name": "net",
        "unit": "bytes",
        "inputs": ["x"],
        "outputs": ["y"],
        "tensors": {"x": 10, "w": 3, "t": 20, "y": 5},
        "ops": [
            {"op": "conv", "ins": ["x", "w"], "outs": ["t"], "workspace": 7},
            {"op": "relu", "ins": ["t"], "outs": ["y"], "name": "last"},
        ],
        "weights": ["w"],
    }
    return document | changes


@pytest.fixture
def read(tmp_path):
    def read(document, **options):
        path = tmp_path / "dump.json"
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text)
        return instances.read(path, **options)

    return read


@pytest.mark.parametrize("name", REAL)
def test_real_graphs(name):
    path = GRAPHS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not there; set MAPC_DATA")
    problem = instances.read(path)
    n_operators, working_set = REAL[name]
    assert problem.graph.n_operators == n_operators
    assert problem.smallest_capacity // 1024 == working_set
    assert np.array_equal(problem.graph.given_order, np.arange(n_operators))
    document = json.loads(path.read_text())
    assert problem.graph.tensor_bytes.sum() == sum(document["tensors"].values())
    assert instances.read(path, dtype="fp32").graph.tensor_bytes.sum() == 4 * sum(
        document["tensors"].values()
    )


def test_every_field(read):
    problem = read(graph())
    g = problem.graph
    assert (g.name, g.operator_names, g.operator_kinds) == ("net", ("t", "last"), ("conv", "relu"))
    assert g.workspace.tolist() == [7, 0]
    assert g.tensor_names == ("x", "w", "t", "y")
    assert g.tensor_bytes.tolist() == [10, 3, 20, 5]
    assert g.is_output.tolist() == [False, False, False, True]
    assert g.is_constant.tolist() == [False, True, False, False]
    assert [g.inputs[o].tolist() for o in range(2)] == [[0, 1], [2]]
    assert problem.capacity is None
    assert problem.provenance == {"source": "dump.json", "format": "graph", "options": {}}


def test_names_default_to_the_file_and_the_first_output(read):
    document = graph()
    del document["name"], document["unit"]
    document["ops"][1] = {"op": "relu", "ins": ["t"], "outs": ["y"], "name": "t"}
    g = read(document).graph
    assert g.name == "dump"
    assert g.operator_names == ("t_2", "t")  # the name that was given stays


@pytest.mark.parametrize(
    ("unit", "dtype", "sizes"),
    [
        ("bytes", None, [10, 3, 20, 5]),
        ("KiB", None, [10240, 3072, 20480, 5120]),
        ("elements (= INT8 bytes)", None, [10, 3, 20, 5]),
        ("elements", "fp16", [20, 6, 40, 10]),
        ("elements", "int4", [5, 2, 10, 3]),
    ],
)
def test_units(read, unit, dtype, sizes):
    assert read(graph(unit=unit), dtype=dtype).graph.tensor_bytes.tolist() == sizes


def test_a_dtype_has_no_meaning_for_bytes(read):
    with pytest.raises(UsageError, match="dtype int8 does not apply to sizes in bytes"):
        read(graph(), dtype="int8")
    with pytest.raises(UsageError, match="dtype 'int7': no such format; expected one of int4"):
        read(graph(unit="elements"), dtype="int7")


def ops(**changes):
    document = graph()
    document["ops"][0] |= changes
    return document


MALFORMED = {
    "negative size": (graph(tensors={"x": -1}), r"\$\.tensors\.x: Expected `int` >= 0, got -1"),
    "float": (graph(tensors={"x": 1.5}), r"tensors\.x: Expected `int`, got `float`"),
    "boolean": (graph(tensors={"x": True}), r"tensors\.x: Expected `int`, got `bool`$"),
    "huge": (
        graph(tensors={"x": 10**30}),
        r"tensors\.x: Expected `int` <= 1125899906842624, got 10+$",
    ),
    "too long": (json.dumps(graph()).replace("10,", "9" * 5000 + ","), r"\$\.tensors"),
    "1e400": (json.dumps(graph()).replace("10,", "1e400,"), r"tensors\[...\]: Number out of range"),
    "NaN": (graph(tensors={"x": float("nan")}), r"\$\.tensors\.x: NaN"),
    "infinity": (ops(workspace=float("inf")), r"\$\.ops\[0\]\.workspace: NaN and Infinity"),
    "null": (ops(workspace=None), r"\$\.ops\[0\]\.workspace: Expected `int`, got `null`"),
    "text for a list": (ops(ins="x"), r"\$\.ops\[0\]\.ins: Expected `array`, got `str`"),
    "no outputs of an operator": (ops(outs=[]), r"\$\.ops\[0\]\.outs: Expected `array` of length"),
    "no output of the graph": (graph(outputs=[]), r"\$\.outputs: Expected `array` of length"),
    "misspelt field": (ops(inputs=[]), r"\$\.ops\[0\]: Object contains unknown field `inputs`"),
    "no tensors": ({"ops": []}, "missing required field"),
    "undeclared": (ops(ins=["q"]), r"\$\.ops\[0\]\.ins\[0\]: tensor 'q' is not in tensors"),
    "undeclared output": (graph(outputs=["q"]), r"\$\.outputs\[0\]: tensor 'q' is not in tensors"),
    "read, never written": (
        graph(inputs=[]),
        r"\$\.ops\[0\]\.ins\[0\]: tensor 'x' is read, but nothing",
    ),
    "output never written": (
        graph(outputs=["z"], tensors=graph()["tensors"] | {"z": 1}),
        r"\$\.outputs\[0\]: nothing writes 'z'",
    ),
    "input written": (graph(inputs=["x", "t"]), r"\$\.inputs\[1\]: input 't' is written"),
    "weight written": (graph(weights=["w", "t"]), "tensor 't': constant, but written by operator"),
    "two producers": (ops(outs=["t", "y"]), "tensor 'y': written by operators 't' and 'last'"),
    "cycle": (ops(ins=["y"]), "cycle 't' -> 'last' -> 't'|cycle 'last' -> 't' -> 'last'"),
    "no operators": (graph(ops=[], outputs=["x"]), "graph: no operators"),
    "same name twice": (ops(name="last"), "operator 'last': name used twice"),
    "unit": (graph(unit="pages"), r"\$\.unit: unit 'pages'; expected bytes, KiB"),
    "above a pebibyte in KiB": (graph(unit="KiB", tensors={"x": 2**45}), "tensor|size"),
    "tensor declared twice": (
        json.dumps(graph()).replace('"w": 3', '"x": 3'),
        r"\$\.tensors: tensor 'x' declared twice|not in tensors",
    ),
    "not an object": ("[1, 2]", r"\$: Expected `object`, got `array`"),
    "truncated": (json.dumps(graph())[:-9], "malformed JSON: Input data was truncated"),
    "trailing": (json.dumps(graph()) + "x", "malformed JSON: trailing characters"),
    "deep": ('{"ops": ' + "[" * 100_000, "nested too deeply"),
    "neither": ({"nodes": []}, "no 'schema', no 'ops' and 'tensors'; expected an ONNX model"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_graphs_are_named_in_one_line(read, tmp_path, case):
    document, message = MALFORMED[case]
    with pytest.raises(InstanceError, match=message) as caught:
        read(document)
    assert str(caught.value).startswith(f"{tmp_path / 'dump.json'}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert os.listdir(tmp_path) == ["dump.json"]
