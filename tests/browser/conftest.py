"""A headless Chromium for tests that open what mapc draws.

``make chromium`` installs Debian's. Without it these tests are skipped, unless ``MAPC_BROWSER`` is
``required``. Screenshots go to the folder that ``MAPC_SCREENSHOTS`` names, or to a temporary one.
"""

import os
import shutil
import time
from pathlib import Path

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A browser; its console is read by ``messages``."""
    required = os.environ.get("MAPC_BROWSER") == "required"
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "no chromium and chromedriver; `make chromium` installs them"
        pytest.fail(reason) if required else pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=webdriver.ChromeService(driver), options=options)
    browser.set_script_timeout(60)
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory):
    named = os.environ.get("MAPC_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Page:
    """A file, or what an address names, in the browser."""

    def __init__(self, browser, place):
        self.browser = browser
        self.resize(1280)
        browser.get_log("browser")  # what earlier pages said
        browser.get(place.as_uri() if isinstance(place, Path) else place)

    def resize(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        (found,) = self.all(selector)
        return found

    def wait(self, found, seconds=30):
        """Return what ``found()`` returns once that is something."""
        deadline = time.monotonic() + seconds
        while not (result := found()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return result

    @property
    def messages(self):
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def screenshot(self, path):
        width = self.run("return innerWidth")
        self.resize(width, min(8000, self.run("return document.documentElement.scrollHeight")))
        self.browser.save_screenshot(str(path))
        self.resize(width)


@pytest.fixture
def visit(chromium):
    """``visit(place)`` opens a file or an address and returns its `Page`."""
    return lambda place: Page(chromium, place)
