from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mapc.errors import InstanceError
from mapc.instances.importers import import_mlx_optiq

LAYERS: list[dict[str, Any]] = [
    {"layer_name": "a", "sensitivities": {"4": 0.5, "8": 0.25}, "param_count": 640},
    {
        "layer_name": "b",
        "sensitivities": {"4": -1e-9, "16": 0.0},
        "param_count": 65,
        "metadata": {},
    },
]


def write(folder: Path, document: Any) -> Path:
    path = folder / "sensitivity.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_layers_become_groups_with_scales_and_minima_counted(tmp_path: Path) -> None:
    problem = import_mlx_optiq(write(tmp_path, LAYERS))
    assert problem.groups == ("a", "b")
    assert problem.formats == ("mlx4_g64", "mlx8_g64", "bf16")
    assert problem.loss.tolist() == [0.5, 0.25, 0.0, 0.0]
    groups = 640 // 64
    sizes = [640 * 4 + groups * 32, 640 * 8 + groups * 32, 2 * (64 * 4 + 32), 65 * 16]
    assert problem.cost.tolist() == [sizes]
    assert problem.weights.tolist() == [640, 65]


def test_the_published_file_says_its_group_size(tmp_path: Path) -> None:
    document = {"base_model": "m", "metric": "kl", "group_size": 32, "layers": LAYERS[:1]}
    path = write(tmp_path, document)
    problem = import_mlx_optiq(path)
    assert problem.formats[0] == "mlx4_g32"
    assert problem.provenance["base_model"] == "m"
    assert import_mlx_optiq(path, group_size=128).formats[0] == "mlx4_g128"


def changed(**changes: Any) -> list[dict[str, Any]]:
    return [{**LAYERS[0], **changes}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[", "malformed JSON"),
        ("3", "no layers"),
        ([], "no layers"),
        ({}, "no layers"),
        ({"layers": {}}, "no layers"),
        ({"layers": LAYERS, "group_size": "64"}, "group_size: '64'"),
        ({"layers": LAYERS, "group_size": -1}, "group_size: -1"),
        ([3], "layer 0: 3; expected an object"),
        (changed(layer_name=3), "layer 0: layer_name: 3"),
        (changed(layer_name=""), "layer 0: layer_name: ''"),
        (changed(param_count=None), "param_count of 'a': None"),
        (changed(param_count=-4), "param_count of 'a': -4"),
        (changed(param_count=4.5), "param_count of 'a': 4.5"),
        (changed(sensitivities={}), "sensitivities of 'a': none"),
        (changed(sensitivities=[1]), "sensitivities of 'a': none"),
        (changed(sensitivities={"9": 1.0}), "sensitivities of 'a', 9 bits: width '9'"),
        (changed(sensitivities={"four": 1.0}), "width 'four'"),
        (changed(sensitivities={"4": -0.5}), "sensitivities of 'a', 4 bits: -0.5"),
        (changed(sensitivities={"4": None}), "sensitivities of 'a', 4 bits: None"),
        (changed(sensitivities={"4": True}), "sensitivities of 'a', 4 bits: True"),
        ([LAYERS[0], LAYERS[0]], "'a'"),
    ],
)
def test_malformed_files_are_refused_in_one_line(
    tmp_path: Path, document: Any, message: str
) -> None:
    path = write(tmp_path, document)
    with pytest.raises(InstanceError) as caught:
        import_mlx_optiq(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
