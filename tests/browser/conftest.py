"""A real browser: Debian's chromium, headless, through its chromedriver. Skips (or fails, in CI) without them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        message = "no browser: install the Debian packages chromium and chromium-driver"
        if os.environ.get("MILLSTREAM_REQUIRE_CHROMIUM") == "1":
            pytest.fail(message + " (MILLSTREAM_REQUIRE_CHROMIUM=1)")
        pytest.skip(message)
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    profile = tmp_path_factory.mktemp("chromium")
    switches = ["headless=new", "no-sandbox", "disable-dev-shm-usage", "no-proxy-server", "window-size=900,560"]
    for switch in [*switches, f"user-data-dir={profile}"]:
        options.add_argument("--" + switch)
    driver = webdriver.Chrome(options, webdriver.ChromeService(found[1]))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def page() -> Path:
    return Path(__file__).parents[2] / "examples" / "answers" / "page.html"
