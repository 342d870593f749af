"""What the documentation site needs beyond plain pages.

Pages link to files of the repository by relative paths, which a code host follows. On the site
those files become pages of their own below ``source/``, outside navigation and search;
``CONTRIBUTING.md`` and ``CHANGELOG.md`` become ordinary pages. Formulas become MathML, so that no
script has to be fetched to show them.
"""

from __future__ import annotations

import ast
import html
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository that are ordinary pages of the site."""
SCHEMA = "formats/schema.json"

_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s:#]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_FILE = re.compile(r"^<!-- (?:file|step): (?P<name>\S+) -->\n```(?P<kind>\w*)$", re.M)
_MARKER = re.compile(r"^<!-- (?:tested|step).*?-->\n", re.M)
_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.S
)
_WORD = re.compile(r'(?:<mi mathvariant="italic">[^<]+</mi>){2,}')
_LETTER = re.compile(r"<[^>]*>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages made from files of the repository, and the JSON Schema."""
    from mapc.instances.schema import json_schema

    for path, uri in PAGES.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, uri, content=text))
    schema = json.dumps(json_schema(), indent=1)
    files.append(File.generated(config, SCHEMA, content=schema))
    documents = {f"docs/{f.src_uri}" for f in files.documentation_pages() if not f.generated_by}
    for path in sorted(_linked({*documents, *PAGES})):
        page = File.generated(
            config,
            f"source/{path}.md",
            content=_source_page(path),
            inclusion=InclusionLevel.NOT_IN_NAV,
        )
        files.append(page)
    return files


def _linked(pages: set[str]) -> set[str]:
    """Files and folders of the repository that pages link to, other than pages; relative paths."""
    found = set()
    for page in pages:
        text = _FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
        for link in _LINK.finditer(text):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link["target"]))
            inside = target.startswith("docs/") or target in PAGES
            if not inside and not target.startswith("..") and (ROOT / target).exists():
                found.add(target)
    return found


def _source_page(path: str) -> str:
    name = posixpath.basename(path)
    front = f"---\ntitle: {name}\nsearch:\n  exclude: true\n---\n\n# `{path}`\n\n"
    where = ROOT / path
    if where.is_dir():
        return front + "".join(map(_module_row, sorted(where.glob("*.py"))))
    kind = {".py": "python", ".json": "json", ".md": "markdown"}.get(where.suffix, "text")
    return f"{front}`````{kind}\n{where.read_text(encoding='utf-8')}`````\n"


def _module_row(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return f"* `{module.name}`: {text.partition(chr(10))[0]}\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their targets are; blocks that are files get their names as titles."""
    uri = page.file.src_uri
    origins = {u: p for p, u in PAGES.items()}
    origin = origins.get(uri, f"docs/{uri}")
    if uri.startswith("source/"):
        return markdown

    def lead(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link["target"]))
        if target in PAGES:
            place = PAGES[target]
        elif target.startswith("docs/"):
            place = target.removeprefix("docs/")
        elif files.get_file_from_path(f"source/{target}.md") is not None:
            place = f"source/{target}.md"
        else:
            return link[0]
        return posixpath.relpath(place, posixpath.dirname(uri) or ".") + (link["anchor"] or "")

    markdown = _FILE.sub(
        lambda file: f'```{file["kind"] or "text"} title="{file["name"]}"', markdown
    )
    parts = re.split(f"({_FENCE.pattern})", _MARKER.sub("", markdown), flags=re.M | re.S)
    return "".join(part if i % 2 else _LINK.sub(lead, part) for i, part in enumerate(parts))


def on_page_content(text: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers show by themselves."""

    def formula(found: re.Match[str]) -> str:
        tex = html.unescape(found["tex"]).strip()
        if found["tag"] == "span":
            return mathml(tex, "inline")
        return f'<div class="formula">{mathml(tex, "block")}</div>'

    return _FORMULA.sub(formula, text)


def mathml(tex: str, display: str) -> str:
    r"""Return a formula as MathML; words, ``\mathit``, stay in one piece."""
    result: str = convert(tex.replace("{aligned}", "{align*}"), display=display)
    return _WORD.sub(lambda word: f'<mi class="word">{_LETTER.sub("", word[0])}</mi>', result)
