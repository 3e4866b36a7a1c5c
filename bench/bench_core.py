"""millstream's parsers alone, whole shapes at a time: `make bench`. Compares nothing; see compare.py."""

import pytest

from bench import fixtures, peers


@pytest.mark.parametrize("name", fixtures.names())
def test_sse_parser(benchmark, name: str) -> None:
    shape = fixtures.shape(name)
    benchmark.group = "SSEParser"
    benchmark.extra_info |= {"bytes": shape.n_bytes, "messages": len(shape.messages)}
    messages = benchmark(peers.millstream, shape.chunks)
    assert peers.normal(messages) == shape.messages
    stats = benchmark.stats
    if stats:  # None with --benchmark-disable
        assert stats.stats.min > 0
        benchmark.extra_info["MB/s"] = round(shape.n_bytes / stats.stats.median / 1e6)
