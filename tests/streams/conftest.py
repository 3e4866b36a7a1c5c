"""Every async test runs on asyncio and on trio."""

from __future__ import annotations

import pytest

from millstream.streams.retry import PROCESS_BUDGET


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _full_retry_budget() -> None:
    """What one test spends on retries is nothing to the next one."""
    PROCESS_BUDGET.reset()
