"""What tables of the documentation list, against what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mapc.cli.app import COMMANDS
from mapc.deploy import EXPORTERS, autoround, compressed_tensors, hawq, llamacpp, modelopt
from mapc.deploy import onnxruntime as ort
from mapc.deploy.assignment import known_formats
from mapc.instances.generators import GENERATORS
from mapc.instances.importers import IMPORTERS, TIE_PRESETS, TIE_RULES
from mapc.models import allocation, memory
from mapc.models.base import Method
from mapc.models.memory.options.rules import RULES

DOCS = Path(__file__).parents[1] / "docs"


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of the same level or a higher one."""
    text = (DOCS / page).read_text(encoding="utf-8")
    level, _, _ = heading.partition(" ")
    _, _, below = text.partition(f"\n{heading}\n")
    assert below, f"{page}: no {heading}"
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.M)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of tables that begin with a name of something."""
    lines = [
        re.split(r"(?<!\\)\|", line.strip("|"))
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [[cell.strip() for cell in cells] for cells in lines if "`" in cells[0]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_commands_are_listed() -> None:
    """In the first table of their page."""
    table, _, _ = (DOCS / "cli.md").read_text(encoding="utf-8").partition("\n## ")
    listed = [quoted(cells[0])[0].split()[1] for cells in rows(table)]
    assert sorted(listed) == sorted(COMMANDS)


def test_importers_and_their_options_are_listed() -> None:
    text = section("instances.md", "## Importers")
    found = {quoted(row[0])[0]: quoted(row[2]) for row in rows(text) if len(row) == 3}
    listed = {
        name: [option.flag for option in one.options]
        for name, one in IMPORTERS.items()
        if one.kind == "bits"
    }
    assert found == listed
    explained = {flag.split()[0] for row in rows(text) for flag in quoted(row[0])}
    assert {flag for flags in listed.values() for flag in flags} <= explained


def test_importers_of_expert_loads_and_their_options_are_listed() -> None:
    cells = rows(section("instances.md", "### Expert loads"))
    importers = {name: one for name, one in IMPORTERS.items() if one.kind == "placement"}
    names = [quoted(row[0])[0] for row in cells]
    assert [name for name in names if not name.startswith("--")] == list(importers)
    explained = {flag.split()[0] for row in cells for flag in quoted(row[0])} - set(importers)
    assert explained == {option.flag for one in importers.values() for option in one.options}


def test_the_importer_of_lengths_and_its_options_are_listed() -> None:
    cells = rows(section("instances.md", "### Sequence lengths"))
    flags = {flag.split()[0] for row in cells for flag in quoted(row[0])}
    importers = {name: one for name, one in IMPORTERS.items() if one.kind == "sequence"}
    assert flags == {*importers, *(o.flag for one in importers.values() for o in one.options)}


def test_the_importer_of_torch_programs_and_its_options_are_listed() -> None:
    text = section("instances.md", "## Torch programs")
    flags = {flag.split()[0] for row in rows(text) for flag in quoted(row[0])}
    importers = {name: one for name, one in IMPORTERS.items() if one.kind == "memory"}
    assert flags == {o.flag for one in importers.values() for o in one.options}
    assert all(f"import {name} FILE" in text for name in importers)


def test_tie_rules_and_presets_are_listed() -> None:
    cells = rows(section("instances.md", "### Ties"))
    presets = {name: tuple(quoted(row[1])) for row in cells for name in quoted(row[0])}
    assert {name: presets.get(name) for name in TIE_PRESETS} == TIE_PRESETS
    assert dict(row for row in cells if quoted(row[0])[0] in TIE_RULES) == {
        f"`{rule.name}`": rule.summary for rule in TIE_RULES.values()
    }


def test_options_of_generators_are_listed() -> None:
    cells = rows(section("instances.md", "## Generators"))
    flags = [flag.split()[0] for row in cells for flag in quoted(row[0])]
    assert set(flags) == {o.flag for generator in GENERATORS.values() for o in generator.options}


KNOWS = {
    ("modelopt",): modelopt.knows,
    ("compressed-tensors", "llm-compressor"): compressed_tensors.knows,
    ("autoround",): autoround.knows,
    ("llamacpp",): llamacpp.knows,
    ("onnxruntime", "qdq"): ort.knows_static,
    ("onnxruntime", "nbits"): ort.knows_nbits,
    ("hawq",): hawq.knows,
}


def test_formats_that_runtimes_take_are_listed() -> None:
    cells = rows(section("deploy.md", "## Which formats"))
    found = {tuple(quoted(row[0])): row[1].split(", ") for row in cells}
    assert found == {names: known_formats(knows) for names, knows in KNOWS.items()}


def test_every_runtime_has_a_section_that_names_its_options() -> None:
    page = (DOCS / "deploy.md").read_text(encoding="utf-8")
    shared = section("deploy.md", "## Names")
    for name, exporter in EXPORTERS.items():
        text = shared + section("deploy.md", f"## `{name}`")
        assert [o.flag for o in exporter.options if o.flag not in text] == []
        assert f"| [`{name}`](#{name}) |" in page


@pytest.mark.parametrize(
    ("page", "heading", "methods"),
    [
        ("memory", "## What is proven, and what is not", memory.FAMILY.methods),
        ("allocation", "## Methods", allocation.FAMILY.methods),
    ],
)
def test_methods_are_listed_in_the_order_in_which_they_run(
    page: str, heading: str, methods: tuple[Method, ...]
) -> None:
    cells = rows(section(f"families/{page}.md", heading))
    assert [(quoted(row[0])[0], row[1]) for row in cells] == [(m.name, m.stage) for m in methods]


def test_rules_of_memory_are_listed() -> None:
    cells = rows(section("families/memory.md", "## Options"))
    assert {text.partition("=")[0] for row in cells for text in quoted(row[0])} == set(RULES)
