"""The built site, read back: every link inside it resolves, and nothing is fetched from outside.

`make docs` builds it, strictly, and names it in ``MAPC_SITE``.
"""

from __future__ import annotations

import html
import inspect
import os
import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import mapc

ROOT = Path(__file__).parents[1]
FETCHES = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""What a browser loads without being asked, by tag."""

pytestmark = pytest.mark.skipif(
    "MAPC_SITE" not in os.environ, reason="reads the built site; run by make docs"
)


@dataclass
class Links(HTMLParser):
    """What a page refers to, and what can be referred to in it."""

    text: str
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    formulas: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.links += [values[name] for name in ("href", "src") if name in values]
        if FETCHES.get(tag) in values and values.get("rel") != "canonical":
            self.fetched.append(values[FETCHES[tag]])
        self.formulas += tag == "math"


def site() -> Path:
    return (ROOT / os.environ["MAPC_SITE"]).resolve()


@cache
def pages() -> dict[Path, Links]:
    return {path: Links(path.read_text("utf-8")) for path in sorted(site().rglob("*.html"))}


def is_outside(link: str) -> bool:
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def broken(page: Path, link: str) -> bool:
    """Whether a link inside the site leads to no file, or to no place in its page."""
    parts = urlsplit(link)
    # the page for what is not found is shown anywhere, so its links begin at the root
    start = site() if parts.path.startswith("/") else page.parent
    target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if target not in pages():
        return not target.is_file()
    return bool(parts.fragment) and unquote(parts.fragment) not in pages()[target].anchors


def test_all_pages_are_there() -> None:
    sources = {p.relative_to(ROOT / "docs").with_suffix("") for p in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site()).with_suffix("") for path in pages()}
    assert sources | {Path("contributing"), Path("changelog"), Path("404")} <= built
    assert len(built) > 30


def test_links_inside_resolve() -> None:
    links = [
        (path, link)
        for path, page in pages().items()
        for link in page.links
        if not is_outside(link)
    ]
    assert len(links) > 1_000
    assert [
        f"{path.relative_to(site())}: {link}" for path, link in links if broken(path, link)
    ] == []


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("quickstart.html", False),
        ("glossary.html#m_r", False),
        ("nowhere.html", True),
        ("glossary.html#nowhere", True),
        ("#nowhere", True),
        ("families", True),
    ],
)
def test_what_a_broken_link_is(link: str, expected: bool) -> None:
    assert broken(site() / "index.html", link) == expected


def test_links_outside_are_well_formed() -> None:
    outside = {link for page in pages().values() for link in page.links if is_outside(link)}
    assert len(outside) > 3
    wrong = {x for x in outside if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+(/\S*)?", x)}
    assert wrong == set()


def test_nothing_is_fetched_from_outside() -> None:
    found = {link for page in pages().values() for link in page.fetched}
    assert {link for link in found if is_outside(link)} == set()
    assert any(link.endswith(".css") for link in found)
    assert any(link.endswith(".js") for link in found)
    for style in site().rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text("utf-8"))


def test_formulas_are_shown_without_scripts() -> None:
    formulas = {path.name: page.formulas for path, page in pages().items()}
    for kind in ("memory", "allocation", "bits", "placement", "sequence"):
        assert formulas[f"{kind}.html"] > 10
    for path in pages():
        assert "arithmatex" not in path.read_text("utf-8")


def test_blocks_that_are_files_say_their_names() -> None:
    for page, name in (
        ("quickstart.html", "make_model.py"),
        ("extending/family.html", "src/mapc/models/pipeline/problem.py"),
        ("planner.html", "loop.py"),
    ):
        text = pages()[site() / page].text
        assert f'<span class="filename">{name}</span>' in text
    assert not any(
        "<!-- step" in page.text or "<!-- file" in page.text for page in pages().values()
    )


def test_search_knows_the_pages() -> None:
    index = (site() / "search" / "search_index.json").read_text("utf-8")
    for page in ("families/memory.html", "quickstart.html", "api/index.html", "glossary.html"):
        assert f'"{page}' in index
    assert '"source/' not in index
    (worker,) = re.findall(r'"search": "([^"]+)"', pages()[site() / "index.html"].text)
    assert (site() / worker).is_file()


def test_docstrings_are_shown_as_text() -> None:
    """No marks of reStructuredText are left over in the API pages."""
    for path, page in pages().items():
        if path.parent.name == "api":
            assert "mapc" in page.text
            shown = re.sub(r"<(pre|code|script).*?</\1>", "", page.text, flags=re.S)
            shown = re.sub(r"<[^>]*>", "", shown)
            assert not re.search(r"`|:math:|\.\. math::|&gt;&gt;&gt;", shown), path.name


def test_every_name_of_mapc_is_explained() -> None:
    """What the first sentence of a docstring says stands on some page of the API."""
    shown = ""
    for path, page in pages().items():
        if path.parent.name == "api":
            shown += re.sub(r"<[^>]*>", "", page.text)
    words = " ".join(html.unescape(shown).split())
    for name in mapc.__all__:
        text = inspect.getdoc(getattr(mapc, name))
        if name != "__version__" and text:
            first = " ".join(text.split("\n\n")[0].split()).replace("`", "")
            assert first in words, name
