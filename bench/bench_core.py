"""millstream's parsers alone, whole shapes at a time: `make bench`. Compares nothing; see compare.py."""

import pytest

from bench import fixtures, peers


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
