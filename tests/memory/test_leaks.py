"""The short form of `make leaks`: nothing is left behind by lives that end well, badly or in the middle."""

from __future__ import annotations

import pytest

from memory import leaks


@pytest.mark.parametrize("name", leaks.KINDS)
def test_lives_leave_nothing_behind(name: str) -> None:
    # Other tests' garbage may go meanwhile, so the least of three counts.
    assert min(leaks.growth(leaks.KINDS[name], 1500) for _ in range(3)) <= 10


def test_a_leak_is_found() -> None:
    kept: list[object] = []
    assert leaks.growth(lambda: kept.append(object()), 1500) >= 1400  # others may let go of something meanwhile
