"""Markup read back by a parser of its own: elements, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"br", "meta", "input", "img", "link", "hr"}
Element = dict[str, str | None]


class Tree(HTMLParser):
    """Elements in order, with ``tag``, ``text`` and attributes; fails where tags do not match.

    ``others`` are comments, declarations and instructions.
    """

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.others: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {"tag": tag, "text": "", **dict(attrs)}
        assert len(attrs) == len(dict(attrs)), "an attribute twice"
        self.elements.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1]["text"] = f"{self.open[-1]['text']}{data}"

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def of(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements of a name, and of these attributes."""
        return [
            e
            for e in self.elements
            if e["tag"] == tag and all(e.get(k) == v for k, v in attributes.items())
        ]

    def shape(self) -> list[tuple[str | None, frozenset[str]]]:
        """Return names of elements and of their attributes, without any value."""
        return [(e["tag"], frozenset(e) - {"text"}) for e in self.elements]
