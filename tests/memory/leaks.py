"""`make leaks`: references, blocks and memory before and after many lives of each parser and decoder.

On a debug build of Python (`python3.11-dbg`) it counts references, over 10^5 lives; on any other, allocated blocks.
Then memory, as the kernel sees it, over 10^6 streams. Exit status 1 if any of them grows.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable

from millstream.core import JSONParser, NDJSONParser, SSEParser, parse_partial_json
from millstream.errors import ParseError


def sse() -> None:
    parser = SSEParser("compat", keep_unknown=True)
    for piece in (b"event: x\nid: 1\nda", b"ta: one\r", b"\ndata: two\n\n: c\nunknown\n\n", b"data: last"):
        for message in parser.feed(piece):
            hash(message)
    parser.close()


def sse_error() -> None:
    parser = SSEParser(max_event_bytes=8)
    try:
        parser.feed(b"data: too large for that\n\n")
        parser.feed(b"")
    except ParseError:
        parser.reset()


def ndjson_raw() -> None:
    parser = NDJSONParser(decode=False, max_line_bytes=20, on_error="yield")
    for piece in (b'{"a":1}\n{"b"', b":2}\nlonger than twenty bytes\n", b"x"):
        parser.feed(piece)
    parser.close()


def json() -> None:
    parser = JSONParser(numbers="eager")
    for piece in ('{"a":["x","lo', "n\\u00e9" + "g" * 300, '"],"n":1', '2.5,"k":{"deep":[[', "null]]}}"):
        for delta in parser.feed(piece):
            _ = delta.path, delta.value
        _ = parser.value, parser.snapshot()
    parser.close()


def json_error() -> None:
    parser = JSONParser()
    try:
        parser.feed('{"a":["x",{"b":"open')
        parser.feed("\x01")
        parser.feed("")
    except ParseError:
        repr(parser.value)


def partial() -> None:
    parse_partial_json(b'{"a":["x","y\\u00e9",{"k":1.5}],"b":"op')


KINDS: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (sse, sse_error, ndjson_raw, json, json_error, partial)
}


def live() -> int:
    """References on a debug build, else blocks."""
    gc.collect()
    return sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else sys.getallocatedblocks()


def growth(once: Callable[[], None], times: int) -> int:
    """What `times` more lives leave behind."""
    for _ in range(200):
        once()
    before = live()
    for _ in range(times):
        once()
    return live() - before


def resident() -> int:
    """Bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=1_000_000)
    options = parser.parse_args()
    what = "references" if hasattr(sys, "gettotalrefcount") else "blocks"
    leaks = 0
    print(f"Python {sys.version.split()[0]}: {what} after {options.lives:,} lives")
    for name, once in KINDS.items():
        grown = growth(once, options.lives)
        leaks += abs(grown) > 10
        print(f"{name:<12} {grown:>+6}")
    start, before = time.monotonic(), resident()
    each = max(options.streams // len(KINDS), 1)
    for once in KINDS.values():
        for _ in range(each):
            once()
    grown = resident() - before
    leaks += grown > 2 << 20
    print(f"{each * len(KINDS):,} streams in {time.monotonic() - start:.0f} s: {grown / 1024:+,.0f} KiB resident")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
