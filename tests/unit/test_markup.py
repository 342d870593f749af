from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.markup import LIMIT, Markup, clean, element, escape, join, opening, rows

ANY_TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "<script>x</script>",
        '" onload="x',
        "' x='",
        "</td>",
        "]]>",
        "<!--",
        "&lt;",
        "&#60;b>",
        "\x00",
    ]
)


class Reader(HTMLParser):
    """Start tags with their attributes, and all text."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.others = [], [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.others.append(data)

    def handle_decl(self, decl):
        self.others.append(decl)

    def handle_pi(self, data):
        self.others.append(data)

    def unknown_decl(self, data):
        self.others.append(data)


@given(ANY_TEXT)
def test_text_stays_text(text):
    found = Reader(element("td", text))
    assert found.tags == [("td", {})]
    assert found.others == []
    assert "".join(found.text) == clean(text)


@given(ANY_TEXT, ANY_TEXT)
def test_attributes_stay_attributes(first, second):
    found = Reader(element("a", title=first, data_x=second))
    assert found.tags == [("a", {"title": clean(first, None), "data-x": clean(second, None)})]
    assert "".join(found.text) == ""


@given(ANY_TEXT, st.integers(2, 80))
def test_clean_text_is_one_short_line_of_harmless_characters(text, limit):
    found = clean(text, limit)
    assert len(found) <= limit
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in found)
    assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in found)
    assert not any("\ud800" <= c <= "\udfff" for c in found)
    assert clean(found, limit) == found


@given(st.text(st.characters(whitelist_categories=("L", "N", "P", "S"))))
def test_harmless_text_below_the_limit_is_kept(text):
    assert clean(text, None) == text


def test_long_text_is_cut():
    assert len(clean("x" * 10_000)) == LIMIT
    assert clean("x" * 10_000).endswith("…")
    assert len(clean("x" * 10_000, None)) == 10_000


def test_right_to_left_letters_are_kept_and_controls_replaced():
    assert clean("שלום") == "שלום"
    assert clean("a\u202eb\u2066c\x00d\ud800") == "a\ufffdb\ufffdc\ufffdd\ufffd"


def test_markup_is_not_escaped_again():
    inner = element("b", "<")
    assert inner == "<b>&lt;</b>"
    assert element("p", inner, "&") == "<p><b>&lt;</b>&amp;</p>"
    assert escape(inner) is inner
    assert inner.__html__() is inner


def test_attributes():
    assert opening("i", class_="a", data_x=3, hidden=True, id=None, title=False) == (
        '<i class="a" data-x="3" hidden>'
    )
    assert element("br") == "<br>"
    assert element("svg", viewBox="0 0 1 1") == '<svg viewBox="0 0 1 1"></svg>'


@pytest.mark.parametrize("name", ["on_load", "onclick", "OnClick", "a b", "a=", "", "x>"])
def test_no_attribute_runs_anything(name):
    with pytest.raises(ValueError, match="attribute"):
        opening("i", **{name: "x"})


@pytest.mark.parametrize("tag", ["", "b c", "b>", "1", "<b"])
def test_a_tag_is_a_name(tag):
    with pytest.raises(ValueError, match="tag"):
        element(tag)


def test_join_keeps_blanks_and_leaves_out_nothing_but_none():
    assert join(["a<", None, 0, Markup("<b>")], ", ") == "a&lt;, 0, <b>"
    assert join(["a", "b"], " < ") == "a &lt; b"


def test_rows_have_headers():
    assert rows([("a", 1)], class_="x") == (
        '<table class="x"><tbody><tr><th scope="row">a</th><td>1</td></tr></tbody></table>'
    )
