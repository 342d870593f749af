from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError, UnavailableError
from mapc.instances.importers import IMPORTERS, import_modelopt

NVFP4 = "NVFP4_DEFAULT_CFG(effective-bits: 4.5)"
FP8 = "FP8_DEFAULT_CFG(effective-bits: 8.0)"
NONE = "NONE(effective-bits: 16.0)"
QKV: dict[str, Any] = {
    "formats": [NVFP4, FP8, NONE],
    "scores": [0.5, 0.125, 0.0],
    "costs": [1024 * 4.5 / 16, 512.0, 1024.0],
    "module_names": ["l.0.q_proj", "l.0.k_proj"],
    "cost_weight": 1.0,
    "allow_no_quant": True,
    "is_fixed": False,
    "uncompressed_cost": 1024.0,
}
FIXED = {"formats": [FP8], "scores": [0.25], "costs": [64.0], "uncompressed_cost": 128.0}
STATE = {
    "method": "gradient",
    "candidate_stats": {"l.0.quant_recipe": QKV, "head.quant_recipe": FIXED},
    "best": {},
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "scores.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_scores_become_losses_and_costs_bits(tmp_path: Path) -> None:
    problem = import_modelopt(write(tmp_path, STATE))
    assert problem.groups == ("l.0", "head")
    assert problem.formats == ("nvfp4", "fp8_e4m3_tensor", "bf16")
    assert problem.loss.tolist() == [0.5, 0.125, 0.0, 0.25]
    assert problem.cost.tolist() == [[4608, 8192, 16384, 1024]]
    assert problem.weights.tolist() == [1024, 128]
    assert np.diff(problem.start).tolist() == [3, 1]
    assert problem.provenance["modules"] == {"l.0": ["l.0.q_proj", "l.0.k_proj"]}
    assert problem.provenance["recipes"]["nvfp4"] == "NVFP4_DEFAULT_CFG"
    assert problem.provenance["method"] == "gradient"


def test_statistics_alone_are_enough(tmp_path: Path) -> None:
    whole = import_modelopt(write(tmp_path, STATE))
    alone = import_modelopt(write(tmp_path, STATE["candidate_stats"]))
    assert alone.groups == whole.groups
    assert alone.cost.tolist() == whole.cost.tolist()


def test_the_effective_bits_of_modelopt_are_bits_per_weight(tmp_path: Path) -> None:
    problem = IMPORTERS["modelopt"](write(tmp_path, STATE), budget=["size=8bpw"])
    assert problem.budget == ((1024 + 128) * 8,)


def test_recipes_that_store_weights_alike_keep_their_names(tmp_path: Path) -> None:
    entry = {
        "formats": ["INT8_DEFAULT_CFG", "INT8_DEFAULT_CFG(effective-bits: 8.0)x", "MY_OWN"],
        "scores": [1, 2, 3],
        "costs": [8, 8, 4],
    }
    problem = import_modelopt(write(tmp_path, {"g": entry}))
    assert problem.formats == ("int8", "INT8_DEFAULT_CFG(effective-bits: 8.0)x", "MY_OWN")
    assert problem.weights.tolist() == [0]


def test_weights_follow_from_the_unquantized_choice(tmp_path: Path) -> None:
    entry = {"formats": ["NONE"], "scores": [0], "costs": [77]}
    assert import_modelopt(write(tmp_path, {"g": entry})).weights.tolist() == [77]


@pytest.mark.parametrize(("cost", "bits"), [(0.1 * 3, 5), (1000 * (3 / 16), 3000), (1 / 3, 6)])
def test_costs_are_rounded_up_but_not_for_the_noise_of_floats(
    tmp_path: Path, cost: float, bits: int
) -> None:
    entry = {"formats": ["NONE"], "scores": [0], "costs": [cost]}
    assert import_modelopt(write(tmp_path, {"g": entry})).cost.tolist() == [[bits]]


def changed(**changes: Any) -> dict[str, Any]:
    return {"candidate_stats": {"g.quant_recipe": {**QKV, **changes}}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "malformed JSON"),
        ("[]", "Expected `object`"),
        ({}, "candidate_stats: no groups"),
        ({"candidate_stats": []}, "candidate_stats: no groups"),
        ({"candidate_stats": {"g": 3}}, "group 'g': 3; expected an object"),
        (changed(formats=[]), "group 'g': incomplete"),
        (changed(formats="NONE"), "group 'g': incomplete"),
        (changed(scores=None), "group 'g': incomplete"),
        (changed(scores=[1.0]), "group 'g': 3 formats, 1 scores, 3 costs"),
        (changed(scores=[1.0, -1.0, 0.0]), "score of 'fp8_e4m3_tensor': -1.0"),
        (changed(scores=[1.0, "x", 0.0]), "score of 'fp8_e4m3_tensor': 'x'"),
        (changed(scores=[1.0, None, 0.0]), "score of 'fp8_e4m3_tensor': None"),
        (changed(scores=[True, 1.0, 0.0]), "score of 'nvfp4': True"),
        (changed(costs=[1.0, -8.0, 0.0]), "cost of 'fp8_e4m3_tensor': -8.0"),
        (changed(costs=[1e300, 8.0, 0.0]), "format 'nvfp4': size cost"),
        (changed(uncompressed_cost="x"), "uncompressed_cost: 'x'"),
        (changed(formats=[FP8, FP8, NONE]), "FP8_DEFAULT_CFG"),
    ],
)
def test_malformed_dumps_are_refused_in_one_line(
    tmp_path: Path, document: Any, message: str
) -> None:
    path = write(tmp_path, document)
    with pytest.raises(InstanceError) as caught:
        import_modelopt(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_files_of_torch_need_torch(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    with pytest.raises(UnavailableError, match="saved by torch, which is not installed"):
        import_modelopt(path)


def test_files_of_torch_are_read_where_there_is_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "state.pt"
    torch.save(STATE, path)
    assert import_modelopt(path).cost.tolist() == [[4608, 8192, 16384, 1024]]
    torch.save({"candidate_stats": {"g": {"formats": [object()]}}}, path)
    with pytest.raises(InstanceError, match="cannot be loaded safely"):
        import_modelopt(path)
