"""Every async test runs on asyncio and on trio; no key of the machine gets into a test."""

from __future__ import annotations

import os

import pytest

from millstream.streams.retry import PROCESS_BUDGET


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.endswith(("_API_KEY", "_BASE_URL", "_TOKEN")) or name.startswith(("AWS_", "AZURE_", "OLLAMA_", "CO_")):
            monkeypatch.delenv(name)
    PROCESS_BUDGET.reset()
