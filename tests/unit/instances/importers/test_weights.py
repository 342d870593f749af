from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.graph.formats import format_named
from mapc.instances.importers import import_imatrix, import_safetensors
from mapc.instances.sensitivity import weight_errors

RNG = np.random.default_rng(0)
TENSORS = {
    "l.0.q_proj.weight": RNG.normal(size=(8, 256)).astype(np.float32),
    "l.0.k_proj.weight": RNG.normal(size=(4, 256)).astype(np.float16),
    "l.0.norm.weight": RNG.normal(size=256).astype(np.float32),
    "l.0.mlp.experts.weight": RNG.normal(size=(2, 4, 256)).astype(np.float32),
    "conv.weight": RNG.normal(size=(4, 3, 5)),
}
NAMES = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64", "<u2": "BF16"}


def safetensors(tensors: dict[str, np.ndarray], changes: dict[str, Any] | None = None) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": NAMES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    for name, change in (changes or {}).items():
        header[name] = {**header[name], **change} if isinstance(change, dict) else change
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values())


def written(folder: Path, data: bytes, name: str = "m.safetensors") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# -- safetensors ---------------------------------------------------------------------------------


def test_matrices_of_a_safetensors_file_are_groups(tmp_path: Path) -> None:
    path = written(tmp_path, safetensors({**TENSORS, "ids": np.arange(6).reshape(2, 3)}))
    problem = import_safetensors(path, formats=["int4", "q4_k", "fp8"], ties=["qkv"])
    names = [n for n, a in TENSORS.items() if a.ndim > 1]
    assert list(problem.groups) == names
    assert problem.name == "m"
    assert problem.weights.tolist() == [TENSORS[n].size for n in names]
    assert problem.ties[0].tolist() == [0, 1]
    for option in range(problem.n_options):
        group = problem.groups[problem.group_of[option]]
        format = format_named(problem.formats[problem.format_of[option]])
        axis = (0, 1) if "experts" in group else 0
        expected = weight_errors(TENSORS[group], [format], axis).relative[0]
        assert problem.loss[option] == pytest.approx(expected, rel=1e-12)
    # 15 weights in a row are no whole block of q4_k
    assert np.diff(problem.start).tolist() == [3, 3, 3, 2]


def test_brain_floats_and_headers_of_any_length_are_read(tmp_path: Path) -> None:
    floats = RNG.normal(size=(4, 8)).astype(np.float32)
    brain = (floats.view(np.uint32) >> 16).astype(np.uint16)
    for pad in ("", "x", "xy", "xyz"):
        path = written(tmp_path, safetensors({"w" + pad: brain}))
        problem = import_safetensors(path, formats=["bf16", "int4"])
        assert problem.loss[0] == 0.0
        assert problem.loss[1] > 0.0


def test_selection_by_name_and_size(tmp_path: Path) -> None:
    path = written(tmp_path, safetensors(TENSORS))
    assert import_safetensors(path, only=["l.*"], skip=["*experts*"]).groups == (
        "l.0.q_proj.weight",
        "l.0.k_proj.weight",
    )
    assert import_safetensors(path, min_weights=2048).groups == (
        "l.0.q_proj.weight",
        "l.0.mlp.experts.weight",
    )


def test_an_index_stands_for_its_files(tmp_path: Path) -> None:
    parts = list(TENSORS.items())
    written(tmp_path, safetensors(dict(parts[:2])), "a.safetensors")
    written(tmp_path, safetensors(dict(parts[2:])), "b.safetensors")
    files = {n: "a.safetensors" if i < 2 else "b.safetensors" for i, n in enumerate(TENSORS)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    whole = import_safetensors(written(tmp_path, safetensors(TENSORS)))
    by_index = import_safetensors(index)
    assert by_index.groups == whole.groups
    assert by_index.loss.tolist() == whole.loss.tolist()
    for bad in ({}, {"weight_map": 3}, {"weight_map": {"a": "../a"}}, {"weight_map": {"a": ""}}):
        index.write_text(json.dumps(bad))
        with pytest.raises(InstanceError):
            import_safetensors(index)


def test_traces_come_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, safetensors({"conv.weight": TENSORS["conv.weight"]}))
    (tmp_path / "t.json").write_text('{"conv.weight": 0.5}')
    plain = import_safetensors(path, loss="squared")
    assert np.allclose(import_safetensors(path, hessian=tmp_path / "t.json").loss, plain.loss / 2)
    (tmp_path / "t.json").write_text('{"conv.weight": "x"}')
    with pytest.raises(InstanceError, match=r"t\.json: \$"):
        import_safetensors(path, hessian=tmp_path / "t.json")


GOOD = safetensors({"w": np.ones((2, 4), dtype=np.float32)})


def with_header(**changes: Any) -> bytes:
    return safetensors({"w": np.ones((2, 4), dtype=np.float32)}, {"w": changes})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0" * 4, "no header"),
        (struct.pack("<Q", 2**40) + b"{}", "no header"),
        (struct.pack("<Q", 1) + b"{}", "no header"),
        (GOOD[:40], "the file ends inside its header"),
        (struct.pack("<Q", 3) + b"{}{", "header: malformed JSON"),
        (struct.pack("<Q", 2) + b"[]", "header"),
        (GOOD[:-1], "bytes 0 to 32; expected within the 31"),
        (with_header(shape=[2, 5]), "32 bytes; expected what shape [2, 5] takes"),
        (with_header(shape=[-2, -4]), "bytes 0 to 32"),
        (with_header(shape=[2.5]), "tensor 'w'"),
        (with_header(data_offsets=[8, 4]), "bytes 8 to 4"),
        (with_header(data_offsets=[-4, 28]), "bytes -4 to 28"),
        (with_header(data_offsets=[0]), "tensor 'w'"),
        (with_header(dtype=3), "tensor 'w'"),
        (with_header(dtype="I32"), "no weights to quantize"),
        (safetensors({"w": np.full((2, 2), np.nan)}), "tensor 'w': weights: a value that is not"),
        (safetensors({"w": np.ones(4)}), "no weights to quantize"),
    ],
)
def test_malformed_files_are_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(InstanceError) as caught:
        import_safetensors(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_choices_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    with pytest.raises(InstanceError, match="format 'int12': no such number format"):
        import_safetensors(path, formats=["int12"])
    with pytest.raises(UsageError, match="loss 'x'"):
        import_safetensors(path, loss="x")
    with pytest.raises(UsageError, match="tie rule 'x'"):
        import_safetensors(path, ties=["x"])
    with pytest.raises(InstanceError, match="rows of 4 weights fit none of q4_k"):
        import_safetensors(path, formats=["q4_k"])


# -- importance ----------------------------------------------------------------------------------


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(tensors: dict[str, np.ndarray], kind: str | None = "imatrix") -> bytes:
    """A GGUF file of float32 tensors."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), int(kind is not None))
    if kind is not None:
        head += string("general.type") + struct.pack("<I", 8) + string(kind)
    body = b""
    for name, array in tensors.items():
        head += string(name) + struct.pack("<I", array.ndim)
        head += b"".join(struct.pack("<Q", d) for d in array.shape[::-1])
        head += struct.pack("<IQ", 0, len(body))
        body += array.astype("<f4").tobytes()
        body += b"\0" * (-len(body) % 32)
    return head + b"\0" * (-len(head) % 32) + body


MODEL = {
    "blk.0.attn_q.weight": RNG.normal(size=(8, 256)),
    "blk.0.ffn_up_exps.weight": RNG.normal(size=(3, 4, 256)),
    "blk.0.attn_norm.weight": RNG.normal(size=256),
    "output.weight": RNG.normal(size=(8, 256)),
}
SUMS = {
    "blk.0.attn_q.weight.in_sum2": RNG.uniform(0, 100, (1, 256)),
    "blk.0.attn_q.weight.counts": np.array([[50.0]]),
    "blk.0.ffn_up_exps.weight.in_sum2": RNG.uniform(0, 100, (3, 256)),
    "blk.0.ffn_up_exps.weight.counts": np.array([[10.0], [0.0], [40.0]]),
}


def test_importance_is_the_mean_squared_activation(tmp_path: Path) -> None:
    weights = written(tmp_path, gguf(MODEL, None), "model.gguf")
    matrix = written(tmp_path, gguf(SUMS), "imatrix.gguf")
    problem = import_imatrix(matrix, weights=weights, formats=["q4_k", "q8_0"])
    assert problem.groups == ("blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight")
    assert problem.provenance["without_importance"] == ["output.weight"]
    assert problem.provenance["importance"] == "imatrix.gguf"
    assert problem.cost[0].tolist() == [8 * 144 * 8, 8 * 8 * 34 * 8, 12 * 144 * 8, 12 * 8 * 34 * 8]
    single = {name: array.astype(np.float32) for name, array in {**MODEL, **SUMS}.items()}
    h = single["blk.0.attn_q.weight.in_sum2"] / 50
    chosen = [format_named("q4_k"), format_named("q8_0")]
    plain = weight_errors(single["blk.0.attn_q.weight"], chosen, 0, importance=h)
    assert np.allclose(problem.loss[:2], plain.squared, rtol=1e-6)
    sums = single["blk.0.ffn_up_exps.weight.in_sum2"]
    seen = sums[[0, 2]] / np.array([[10.0], [40.0]])
    experts = np.stack([seen[0], seen.mean(axis=0), seen[1]])
    stack = weight_errors(single["blk.0.ffn_up_exps.weight"], chosen, (0, 1), importance=experts)
    assert np.allclose(problem.loss[2:], stack.squared, rtol=1e-6)


def test_experts_that_saw_nothing_at_all_count_alike(tmp_path: Path) -> None:
    weights = written(tmp_path, gguf(MODEL, None), "model.gguf")
    sums = {**SUMS, "blk.0.attn_q.weight.counts": np.array([[0.0]])}
    matrix = written(tmp_path, gguf(sums), "imatrix.gguf")
    problem = import_imatrix(matrix, weights=weights, formats=["q8_0"], only=["*attn_q*"])
    plain = weight_errors(
        MODEL["blk.0.attn_q.weight"].astype(np.float32), [format_named("q8_0")], 0
    )
    assert np.allclose(problem.loss, plain.squared, rtol=1e-6)


def test_weights_may_be_safetensors_under_the_same_names(tmp_path: Path) -> None:
    model = {n: a.astype(np.float32) for n, a in MODEL.items() if "exps" not in n}
    weights = written(tmp_path, safetensors(model))
    matrix = written(tmp_path, gguf(SUMS), "imatrix.gguf")
    by_gguf = import_imatrix(
        matrix, weights=written(tmp_path, gguf(MODEL, None), "m.gguf"), skip=["*exps*"]
    )
    problem = import_imatrix(matrix, weights=weights)
    assert problem.groups == by_gguf.groups == ("blk.0.attn_q.weight",)
    assert problem.formats == ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0")
    assert np.allclose(problem.loss, by_gguf.loss, rtol=1e-6)


def without(name: str) -> bytes:
    return gguf({n: a for n, a in SUMS.items() if n != name})


def replaced(name: str, array: np.ndarray) -> bytes:
    return gguf({**SUMS, name: array})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01\0\0\0 an older file", "no GGUF"),
        (gguf(SUMS, "model"), "general.type 'model'"),
        (gguf(SUMS, None), "general.type None"),
        (gguf({}), "no tensor has importance"),
        (without("blk.0.attn_q.weight.counts"), "'blk.0.attn_q.weight': no counts"),
        (replaced("blk.0.attn_q.weight.in_sum2", np.ones((1, 128))), "in_sum2 of shape (1, 128)"),
        (replaced("blk.0.attn_q.weight.in_sum2", np.ones((2, 256))), "in_sum2 of shape (2, 256)"),
        (replaced("blk.0.attn_q.weight.in_sum2", -np.ones((1, 256))), "negative or not finite"),
        (replaced("blk.0.attn_q.weight.counts", np.full((1, 1), np.nan)), "negative or not finite"),
        (
            replaced("blk.0.ffn_up_exps.weight.counts", np.ones((5, 1))),
            "in_sum2 of shape (3, 256); expected [5, 256]",
        ),
        (gguf(SUMS)[:-300], "reaches beyond the end"),
    ],
)
def test_malformed_importance_is_refused_in_one_line(
    tmp_path: Path, data: bytes, message: str
) -> None:
    weights = written(tmp_path, gguf(MODEL, None), "model.gguf")
    with pytest.raises(InstanceError) as caught:
        import_imatrix(written(tmp_path, data, "imatrix.gguf"), weights=weights)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=r"none\.gguf: cannot be read"):
        import_imatrix(tmp_path / "none.gguf", weights=tmp_path / "none")
    with pytest.raises(InstanceError, match=r"none\.safetensors: cannot be read"):
        import_safetensors(tmp_path / "none.safetensors")
