"""The Python blocks of docs/howto/transport.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.http.bare import Bare, chunked
from tests.http.test_aiohttp import END, EVENT, SSE

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "transport.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("block", BLOCKS)
def test_the_block_runs(server: Bare, block: str) -> None:
    server.plays(chunked(EVENT, EVENT, END, headers=SSE))
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    assert anyio.run(namespace["main"], f"{server.url}/it") == "hihi"
