"""Puts the invariants around every test of a fault: those here, by their names, and those elsewhere, by `ELSEWHERE`."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from faults.table import ELSEWHERE, faults_of

LOOKS_ITSELF = "streams/operators/test_contract.py"  # a thousand cases, which have such a fixture of their own
FIXTURES = "faults.invariants"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(*numbers): proves these faults of docs/reference/faults.md")
    config.addinivalue_line(
        "markers", "invariants(rss_mib, step_ms, because): other bounds for one test, with a reason"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere: dict[str, list[int]] = {}
    for number, names in ELSEWHERE.items():
        for name in names:
            elsewhere.setdefault(name, []).append(number)
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        name = item.nodeid.partition("[")[0].removeprefix("tests/")
        numbers = elsewhere.get(name, []) + faults_of(item.originalname)
        if not numbers:
            continue
        if name in elsewhere and (name.startswith(LOOKS_ITSELF) or not inspect.iscoroutinefunction(item.function)):
            continue  # decoders and parsers open nothing
        if "-cluster" in item.name:
            continue  # the client of the cluster is the test's own, which leaves its sockets to the garbage collector
        if name in elsewhere and name.startswith(("server/", "relay/")):
            item.add_marker(pytest.mark.invariants(step_ms=500, because="it starts servers in this loop"))
        if not config.pluginmanager.has_plugin(FIXTURES):  # it imports much, which most test runs need not
            try:
                config.pluginmanager.register(import_module(FIXTURES), FIXTURES)
            except ImportError:  # a run with few packages (tests/core.txt)
                return
        item.add_marker(pytest.mark.fault(*numbers))
        wanted = ["invariants"]
        if inspect.iscoroutinefunction(item.function):
            wanted.append("invariants_of_the_loop")
        names = item.fixturenames
        at = next((i for i, one in enumerate(names) if _is_of_a_test(item, one)), len(names))
        item.fixturenames = [*names[:at], *wanted, *names[at:]]  # set up before all others, so the last to look


def _is_of_a_test(item: pytest.Function, fixture: str) -> bool:
    found = item._fixtureinfo.name2fixturedefs.get(fixture)
    return found is not None and found[-1].scope == "function"
