"""How pages and docstrings are rewritten on their way to the site."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import mapc

DOCS = Path(__file__).parents[1] / "docs"


def load(name: str, *needs: str) -> ModuleType:
    for package in needs:
        pytest.importorskip(package, reason=f"{package} builds the site, and is not installed")
    spec = spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("``a`` and `b`", "`a` and `b`"),
        (":math:`x_i` is", "$x_i$ is"),
        (".. math:: a\n   + b\n\nEnd", "\n$$\na + b\n$$\n\nEnd"),
        ("    .. math:: a\n       + b\n\n    End", "\n    $$\n    a + b\n    $$\n\n    End"),
        (
            ".. math::\n   a & b \\\\\n   c & d\n",
            "\n$$\n\\begin{aligned}a & b \\\\ c & d\\end{aligned}\n$$\n\n",
        ),
        ("Call it::\n\n    f(1)\n    g(2)\n", "Call it:\n\n```python\nf(1)\ng(2)\n```\n"),
        ("Say.\n\n>>> f(1)\n2\n", "Say.\n\n```pycon\n>>> f(1)\n2\n```\n"),
        ("``x::y`` stays", "`x::y` stays"),
    ],
)
def test_docstrings_become_markdown(text: str, expected: str) -> None:
    assert load("docstrings", "griffe").markdown(text) == expected


def test_formulas_become_mathml() -> None:
    hooks = load("hooks", "mkdocs", "latex2mathml")
    content = '<p><span class="arithmatex">\\(a &lt; \\mathit{pays}\\)</span></p>'
    found = hooks.on_page_content(content)
    assert found.startswith("<p><math ")
    assert found.endswith("</math></p>")
    assert '<mi class="word">pays</mi>' in found
    assert "&#x0003C;" in found or "&lt;" in found
    block = hooks.on_page_content('<div class="arithmatex">\\[a\\]</div>')
    assert block.startswith('<div class="formula"><math ')
    assert 'display="block"' in block


def test_what_pages_link_to_outside_is_found() -> None:
    hooks = load("hooks", "mkdocs", "latex2mathml")
    found = hooks._linked({"docs/kernels.md", "docs/families/memory.md"})
    assert "src/mapc/kernels.py" in found
    assert "src/mapc/models/memory/exact" in found
    assert not any(path.startswith("docs/") for path in found)
    page = hooks._source_page("src/mapc/models/memory/exact")
    assert "* `search.py`: " in page
    assert "`````python\n" in hooks._source_page("src/mapc/kernels.py")


def test_every_name_of_mapc_has_its_place_in_the_api_pages() -> None:
    texts = [page.read_text("utf-8") for page in (DOCS / "api").glob("*.md")]
    members = {
        name.strip()
        for text in texts
        for line in text.splitlines()
        if line.strip().startswith(("members: [", "::: "))
        for name in line.replace("members: [", "").strip("] ").replace(".", ",").split(",")
    }
    assert {name for name in mapc.__all__ if name != "__version__"} <= members
