"""The built documentation in a browser: served as a site is, nothing complains, search finds.

``make docs`` builds it and names it in ``MAPC_SITE``.
"""

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    "MAPC_SITE" not in os.environ, reason="reads the built site; run by make docs"
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    folder = ROOT / os.environ["MAPC_SITE"]
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "page", ["index", "quickstart", "families/memory", "api/index", "glossary", "reports"]
)
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_without_a_complaint(visit, site, screenshots, page, width):
    shown = visit(f"{site}/{page}.html")
    shown.resize(width)
    assert shown.messages == []
    assert shown.one("h1").is_displayed()
    assert shown.run("return document.documentElement.scrollWidth") <= width
    shown.screenshot(screenshots / f"site-{page.replace('/', '-')}.{width}.png")


def test_search_finds(visit, site):
    page = visit(f"{site}/index.html")
    box = page.one("input.md-search__input")
    box.click()
    box.send_keys("EPLB")
    found = page.wait(lambda: page.all(".md-search-result__item a"))
    assert any("placement" in link.get_attribute("href") for link in found)
    assert page.messages == []
