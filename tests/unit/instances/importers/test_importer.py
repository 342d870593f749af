from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from mapc import api
from mapc.errors import InstanceError, UsageError
from mapc.graph.formats import FORMATS
from mapc.instances.importers import IMPORTERS, Importer
from mapc.instances.importers.number_formats import chosen_formats, read_formats
from mapc.instances.importers.placement_building import OPTIONS


@pytest.mark.parametrize("importer", IMPORTERS.values(), ids=lambda i: i.name)
def test_options_are_keywords_of_the_function(importer: Importer) -> None:
    parameters = inspect.signature(importer.function).parameters
    keywords = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    shared = OPTIONS if importer.kind == "placement" else ()
    assert [o.name for o in importer.options] == [*keywords, *(o.name for o in shared)]
    assert ("building" in parameters) == bool(shared)
    for option in importer.options:
        assert option.kind in (str, int, float, bool, Path)
        assert option.help.endswith(".")
        if option.name in keywords:
            default = keywords[option.name].default
            assert option.required == (default is inspect.Parameter.empty)
            assert option.default in (None, default)  # what help says is what happens
    assert importer.summary


def test_only_families_with_budgets_take_them(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("1,2\n3,4\n")
    assert {i.kind for i in IMPORTERS.values() if i.budgeted} == set(api.BUDGETED)
    kinds = {i.kind for i in IMPORTERS.values() if not i.budgeted}
    assert kinds == {"memory", "placement", "sequence"}
    assert IMPORTERS["counts"](path, ranks=2).n_experts == 2
    with pytest.raises(UsageError, match="importer counts: placement problems have no budgets"):
        IMPORTERS["counts"](path, ranks=2, budget=["size=4"])


def test_options_are_checked_and_none_means_not_given(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("group,format,loss,size\na,int4,1,4\na,int8,0,8\n")
    assert IMPORTERS["table"](path, budget=["size=4"]).budget == (4,)
    with pytest.raises(UsageError, match="importer table: unknown option 'model'; it takes none"):
        IMPORTERS["table"](path, model="x")
    assert IMPORTERS["table"](path, model=None).n_groups == 1
    with pytest.raises(UsageError, match="importer imatrix: option 'weights' is missing"):
        IMPORTERS["imatrix"](path)
    with pytest.raises(UsageError, match="loss' is 'kl'; expected relative, squared or mean"):
        IMPORTERS["safetensors"](path, loss="kl")
    with pytest.raises(
        UsageError, match="importer safetensors: option 'only' is 'x'; expected a l"
    ):
        IMPORTERS["safetensors"](path, only="x")
    with pytest.raises(UsageError, match="budget 'size'"):
        IMPORTERS["table"](path, budget=["size"])


TOML = '[[formats]]\nname = "own"\nkind = "integer"\nbits = 5\n'


def test_formats_come_from_the_registry_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(TOML)
    (tmp_path / "own.json").write_text(
        json.dumps({"formats": [{"name": "own", "kind": "integer", "bits": 5}]})
    )
    for name in ("own.toml", "own.json"):
        own, int4 = chosen_formats(["own", "int4"], tmp_path / name)
        assert own.bits == 5
        assert int4 is FORMATS["int4"]
    with pytest.raises(InstanceError, match="format 'own': no such number format"):
        chosen_formats(["own"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.toml", "formats = [", "malformed TOML"),
        ("f.toml", "a = 1", "no formats in it"),
        ("f.json", "{", "malformed JSON"),
        ("f.json", "[]", "Expected `object`"),
        ("f.json", '{"formats": [{"name": "x"}]}', "formats[0]: field 'kind': missing"),
    ],
)
def test_malformed_files_of_formats_are_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InstanceError) as caught:
        read_formats(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
