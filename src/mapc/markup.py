"""HTML and SVG as text, with everything that comes from outside made harmless on the way.

A `Markup` is text that is markup already; anything else is cleaned, cut and escaped when it
becomes part of an element. Nothing else in mapc writes an angle bracket.
"""

from __future__ import annotations

import re
from typing import Any, Final

LIMIT: Final = 200
"""Characters of foreign text that are shown; the rest is cut."""

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# C0 and C1 controls, what reorders or hides text (bidirectional controls, zero-width characters,
# tags), lone surrogates and non-characters; line ends become spaces before
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
_ESCAPES = {
    ord(c): e for c, e in zip("&<>\"'", ("&amp;", "&lt;", "&gt;", "&quot;", "&#39;"), strict=True)
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*\Z")
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Markup(str):
    """Text that is markup: it goes into elements as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return itself, as template libraries and notebooks ask for it."""
        return self


def clean(value: object, limit: int | None = LIMIT) -> str:
    r"""Return foreign text in one line, without characters that hide or reorder, cut to a limit.

    >>> clean("a\x00b\nc"), clean("abcdef", limit=4)
    ('a\ufffdb c', 'abc…')
    """
    text = str(value)
    if limit is not None:
        text = text[: 4 * limit + 8]  # what would be cut anyway is not worth cleaning
    text = _HARMFUL.sub(REPLACEMENT, " ".join(text.split()))
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def escape(value: object, limit: int | None = LIMIT) -> Markup:
    """Return text as markup that shows it; a `Markup` is returned as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(clean(value, limit).translate(_ESCAPES))


def element(tag: str, *children: object, **attributes: Any) -> Markup:
    """Return an element.

    Parameters
    ----------
    tag : str
    *children
        `Markup`, or values shown as text; None is left out.
    **attributes
        ``class_`` is ``class``, ``data_x`` is ``data-x``, ``view_box`` stays to be spelled
        ``viewBox``. True is an attribute without a value; None and False leave it out.

    Raises
    ------
    ValueError
        For a tag or an attribute that is no name.
    """
    return (
        Markup(f"{opening(tag, **attributes)}{join(children)}</{tag}>")
        if tag not in _VOID
        else (opening(tag, **attributes))
    )


def opening(tag: str, **attributes: Any) -> Markup:
    """Return the opening tag of an element."""
    if not _NAME.match(tag):
        raise ValueError(f"tag {tag!r}: expected a name")
    parts = [tag]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.rstrip("_").replace("_", "-")
        if not _NAME.match(name) or name.lower().startswith("on"):
            raise ValueError(f"attribute {name!r}: expected a name, and no event handler")
        parts.append(name if value is True else f'{name}="{escape(value, None)}"')
    return Markup(f"<{' '.join(parts)}>")


def join(parts: Any, between: str = "") -> Markup:
    """Return markup one after another, with a text of ours between; None is left out."""
    gap = between if isinstance(between, Markup) else between.translate(_ESCAPES)
    return Markup(gap.join(escape(part) for part in parts if part is not None))


def rows(pairs: Any, **attributes: Any) -> Markup:
    """Return a table of labels and values, the labels as row headers."""
    return element(
        "table",
        element(
            "tbody",
            join(
                element("tr", element("th", label, scope="row"), element("td", value))
                for label, value in pairs
            ),
        ),
        **attributes,
    )


def plain_rows(pairs: Any) -> Markup:
    """Return a table as `rows` does, for where no style sheet goes with it, such as notebooks.

    Cells are aligned by themselves: notebooks would set them to the right. Values are told apart
    from what stands around them, in whatever direction they are written.
    """
    left = "text-align:left;vertical-align:top"
    return element(
        "table",
        element(
            "tbody",
            join(
                element(
                    "tr",
                    element("th", label, scope="row", style=left),
                    element("td", element("bdi", value), style=left),
                )
                for label, value in pairs
            ),
        ),
    )
