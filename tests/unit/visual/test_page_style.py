import base64
import hashlib
import re

import pytest

from mapc.visual.figure import ROLES
from mapc.visual.page_style import GROUNDS, policy, script, stylesheet, variables
from oracles.contrast import contrast


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    ("text", "ground", "least"),
    [
        ("ink", "ground", 7),
        ("ink", "soft", 7),
        ("faint", "ground", 4.5),
        ("faint", "soft", 4.5),
        ("ground", "ink", 4.5),  # tooltips
        ("bound", "ground", 4.5),  # the word of a verdict
        ("limit", "ground", 4.5),
        ("plan", "ground", 4.5),  # links
        ("control", "ground", 3),
    ],
)
def test_contrast(theme, text, ground, least):
    colours = variables(theme)
    assert contrast(colours[text], colours[ground]) >= least


def test_the_sheet_declares_what_it_uses():
    sheet = stylesheet()
    used = set(re.findall(r"var\(--([a-z0-9]+)", sheet))
    declared = set(re.findall(r"[{;\n ]--([a-z0-9]+):", sheet))
    of_elements = {"h", "yw", "xn", "n"}  # style attributes of a figure
    assert used - declared <= of_elements
    assert set(GROUNDS) <= declared
    for role in ROLES:
        assert f".{role}{{--k:" in sheet


def test_nothing_is_loaded_from_elsewhere():
    for text in (stylesheet(), script()):
        assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("// ", ""))
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in script()
    assert "Function(" not in script()
    assert "</" not in script()
    assert "</" not in stylesheet()


def test_only_this_script_may_run():
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy()
    assert policy().startswith("default-src 'none';")
    assert "script-src 'unsafe" not in policy()
