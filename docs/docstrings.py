"""Docstrings as Markdown: they are written in the marks of reStructuredText.

````x```` and `x` are both code, ``:math:`` and ``.. math::`` are formulas, a paragraph that ends in
two colons has code below it, and examples begin with ``>>>``.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_CODE = re.compile(r"``(.+?)``", re.S)
_INLINE = re.compile(r":math:`([^`]+)`")
_DISPLAY = re.compile(
    r"^(?P<indent> *)\.\. math::(?P<first>.*)\n(?P<rest>(?:(?P=indent) +.*\n?|\n)*)", re.M
)
_LITERAL = re.compile(r"(?<=\S)::\n(?P<block>(?:\n+ {4}.*)+)")
_EXAMPLE = re.compile(r"^>>> .*(?:\n\S.*)*", re.M)
_ROWS = r"\begin{aligned}%s\end{aligned}"


def markdown(text: str) -> str:
    r"""Return a docstring in Markdown.

    >>> markdown("``a`` is :math:`x^2`")
    '`a` is $x^2$'
    """
    text = _DISPLAY.sub(_formula, text)
    text = _INLINE.sub(lambda found: f"${found[1]}$", text)
    text = _CODE.sub(lambda found: f"`{found[1]}`", text)  # before there are fences
    text = _LITERAL.sub(_fenced, text)
    return _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", text)


def _formula(found: re.Match[str]) -> str:
    tex = " ".join(f"{found['first']} {found['rest']}".split())
    if "\\\\" in tex and "\\begin" not in tex:
        tex = _ROWS % tex
    return f"\n{found['indent']}$$\n{found['indent']}{tex}\n{found['indent']}$$\n\n"


def _fenced(found: re.Match[str]) -> str:
    return f":\n\n```python\n{textwrap.dedent(found['block']).strip()}\n```"


class Markdown(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
