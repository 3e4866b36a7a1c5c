"""Every async test runs on asyncio, uvloop and trio, against a bare server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.http.bare import Bare


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return ("asyncio", {"use_uvloop": True}) if request.param == "uvloop" else request.param


@pytest.fixture
def server() -> Iterator[Bare]:
    with Bare() as one:
        yield one
