"""millstream alone: its parser on whole shapes, and the hottest paths. Compares nothing; report.py does."""

import pytest

from bench import fixtures, peers

try:
    from bench.hot import PATHS
except ImportError:  # against.py, with a tree that is older than these
    PATHS = {}


@pytest.mark.parametrize("name", fixtures.names())
def test_sse_parser(benchmark, name: str) -> None:
    shape = fixtures.shape(name)
    assert peers.normal(peers.collect(peers.millstream(shape.chunks))) == shape.messages
    benchmark.group = "SSEParser"
    benchmark.extra_info |= {"bytes": shape.n_bytes, "messages": len(shape.messages)}
    benchmark(lambda: peers.drain(peers.millstream(shape.chunks)))
    if benchmark.stats:  # None with --benchmark-disable
        assert benchmark.stats.stats.min > 0
        benchmark.extra_info["MB/s"] = round(shape.n_bytes / benchmark.stats.stats.median / 1e6)


@pytest.mark.parametrize("name", PATHS)
def test_hot_path(benchmark, name: str) -> None:
    unit, n, make = PATHS[name]
    run = make()
    assert run() == n
    benchmark.group = "hot paths"
    benchmark.extra_info |= {"units": n, "unit": unit}
    assert benchmark(run) == n
    if benchmark.stats:
        assert benchmark.stats.stats.min > 0
        benchmark.extra_info["ns"] = round(benchmark.stats.stats.median / n * 1e9, 1)
