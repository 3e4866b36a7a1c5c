"""Figures that README and docs quote are those of bench/RESULTS.md and RESULTS_LOAD.md, rounded as they are quoted.

`make bench` and `make load` end with this test and MILLSTREAM_REGEN=1, which writes the new ones into the pages; then
read the diff, because the words around a figure may no longer be true. Not compared: figures of several runs ("0.17 to
0.20"), callgrind's, those of 3.13 and of `bench.scale`, sums, and ratios that are turned round.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBER = r"\d[\d,]*(?:\.\d+)?"

CHUNKS = "OpenAI's events of 327 bytes, in chunks of 16 KiB, to typed text"
ALONE = "The same, one event in each chunk"
ANTHROPIC = "Anthropic's events, in chunks of 16 KiB, to typed text"
MESSAGES = "OpenAI's events, in chunks of 16 KiB, to messages"
GROWS = "JSON of 10 kB in 16-byte deltas, its value after each"
SHAPES = "Shapes: whole captures of every wire"
SOCKET = "From a socket to `async for`"
RELAY = "The relay: from a source to its readers"
GATEWAY = "The gateway"
DROP_INS = "Under other libraries: the drop-ins"
LOAD = "What a stream and an event cost"
SERVED = "Served"

ONE, TEN = "1 per read, us (quartiles)", "10 per read, us (quartiles)"
LOAD_ONE, LOAD_FROZEN = "us CPU per event, 1 per read", "the same after `gc.freeze()`"

# name of the figure: the heading above its table, the beginning of its row, its column
SOURCES: dict[str, tuple[str, str, str]] = {
    "decode": (CHUNKS, "millstream", "ns per event"),
    "decode_orjson": (CHUNKS, "orjson.loads alone", "times millstream"),
    "decode_openai": (CHUNKS, "OpenAI SDK", "times millstream"),
    "decode_alone": (ALONE, "millstream", "ns per event"),
    "decode_anthropic": (ANTHROPIC, "Anthropic SDK", "times millstream"),
    "frame_httpx_sse": (MESSAGES, "httpx-sse", "times millstream"),
    "frame_openai": (MESSAGES, "OpenAI's decoder", "times millstream"),
    "frame_200": ("Targets", "framing of 200-byte deltas, against httpx-sse", "measured"),
    "grows_jiter": (GROWS, "jiter, again", "times millstream"),
    "map_aiostream": ("`map` and `filter`, 64 items in a chunk", "aiostream, unpacked", "times millstream"),
    "map_alone": ("Targets", "map + filter, one per await, against aiostream", "measured"),
    "above": ("Targets", "delivering 50 events of a chunk, above decoding, per event", "measured"),
    "hits": (SHAPES, "16 KiB chunks", "times orjson alone"),
    "hits_alone": (SHAPES, "one event per chunk", "times orjson alone"),
    "hits_pure": ("Targets", "hits of pure deltas, all recordings", "measured"),
    "socket": (SOCKET, "Transport, ms.stream", TEN),
    "socket_one": (SOCKET, "Transport, ms.stream", ONE),
    "socket_times": ("Targets", "ten events per read, OpenAI SDK / ours", "measured"),
    "socket_floor": (SOCKET, "protocol, raw bytes", TEN),
    "socket_floor_one": (SOCKET, "protocol, raw bytes", ONE),
    "socket_aiohttp": (SOCKET, "aiohttp, raw bytes", TEN),
    "socket_aiohttp_one": (SOCKET, "aiohttp, raw bytes", ONE),
    "socket_openai": (SOCKET, "OpenAI SDK", TEN),
    "socket_openai_one": (SOCKET, "OpenAI SDK", ONE),
    "uvloop": (SOCKET, "Transport, ms.stream, uvloop", TEN),
    "uvloop_one": (SOCKET, "Transport, ms.stream, uvloop", ONE),
    "uvloop_httpx2": (SOCKET, "httpx2, ms.stream, uvloop", TEN),
    "uvloop_httpx2_one": (SOCKET, "httpx2, ms.stream, uvloop", ONE),
    "hop": (RELAY, "from one task to another", "alone"),
    "hop_50": (RELAY, "from one task to another", "in bursts of 50"),
    **{
        f"{log}_{many}{burst}": (RELAY, f"{title}, {row}", column)
        for log, title in {"memory": "MemoryLog", "redis": "RedisLog"}.items()
        for many, row in {"one": "one reader", "ten": "10 readers", "streams": "100 streams"}.items()
        for burst, column in {"": "alone", "_50": "in bursts of 50"}.items()
    },
    "gateway": (GATEWAY, "millstream serve", "us"),
    "gateway_kept": (GATEWAY, "millstream serve, resumable", "us"),
    "gateway_litellm": (GATEWAY, "LiteLLM proxy", "us"),
    "gateway_times": ("Targets", "CPU of the gateway per chunk, LiteLLM / ours", "measured"),
    **{
        f"{name}_{kind}": (DROP_INS, row, column)
        for name, row in {
            "sse": "httpx_sse with httpx,",
            "chat": "openai, openai-chat: the whole stream",
            "responses": "openai, openai-responses: the whole stream",
            "claude": "anthropic, anthropic-messages: the whole stream",
            "string": "`.stream()`'s from_json, one long string, 100 kB",
            "records": "`.stream()`'s from_json, many records, 100 kB",
            "string_10": "`.stream()`'s from_json, one long string, 10 kB",
            "records_10": "`.stream()`'s from_json, many records, 10 kB",
        }.items()
        for kind, column in {"without": "without, us", "with": "with, us", "gain": "gain"}.items()
    },
    **{
        f"load_{name}{kind}": (LOAD, row, column)
        for name, row in {
            "floor": "uvloop protocol, raw bytes",
            "raw": "our Transport, raw bytes",
            "stream": "our Transport, ms.stream",
            "aiohttp": "aiohttp, raw bytes",
            "httpx2": "httpx2, raw bytes",
        }.items()
        for kind, column in {
            "_kib": "KiB per stream",
            "": LOAD_ONE,
            "_frozen": LOAD_FROZEN,
            "_ten": "10 per read",
        }.items()
    },
    "load_memory": ("Nothing lost, nothing foreign, nothing left", "memory at 200 %", "measured"),
    "served": (SERVED, "millstream EventStreamResponse", "us CPU per event"),
    "served_bare": (SERVED, "Starlette StreamingResponse", "us CPU per event"),
    "served_sse": (SERVED, "sse-starlette", "us CPU per event"),
}

# page: passages that it has, once each, with the names of figures; spaces stand for line breaks too
QUOTES: dict[str, list[str]] = {
    "README.md": [
        "one costs {socket} us of CPU from the socket to your `async for`, and {socket_times} times as much through",
        "| {socket} us of CPU per event; the OpenAI SDK {socket_times} times as much; aiohttp, raw bytes,",
        "| {decode} ns per event of 327 bytes",
        "`orjson.loads` alone {decode_orjson} times, the OpenAI SDK {decode_openai} times as long",
        "httpx-sse {frame_httpx_sse} times ({frame_200} times at 200 bytes), OpenAI's decoder {frame_openai} times",
        "jiter, which parses again, {grows_jiter} times",
        "aiostream {map_aiostream} times as long",
        "with one item per await {map_alone} times",
        "{gateway_times} times less CPU per chunk",
        "{chat_without} to {chat_with} us per object",
    ],
    "docs/howto/drop_in.md": [
        "`httpx_sse`, per event | {sse_without} -> {sse_with} us, {sse_gain}x",
        "a chat, per object | {chat_without} -> {chat_with} us, {chat_gain}x",
        "Responses, per object | {responses_without} -> {responses_with} us, {responses_gain}x",
        "Anthropic client, per object | {claude_without} -> {claude_with} us, {claude_gain}x",
        "per piece | {string_without} -> {string_with} us, {string_gain}x",
        "small records | {records_without} -> {records_with} us, {records_gain}x",
        "{string_10_without} -> {string_10_with} us; {records_10_without} -> {records_10_with} us, {records_10_gain}x",
        "of the {chat_without} us that the OpenAI client needs",
    ],
    "docs/howto/gateway.md": [
        "`millstream serve` | {gateway} us",
        "in memory | {gateway_kept} us",
        "httptools | {gateway_litellm} us",
        "LiteLLM takes {gateway_times} times",
    ],
    "docs/howto/tune.md": [
        "| httpx2 | {uvloop_httpx2_one} | {uvloop_httpx2} |",
        "| `ms.http.Transport` | {uvloop_one} | {uvloop} |",
    ],
    "docs/topics/relay.md": [
        "{memory_one} us of CPU from the source to the reader with a `MemoryLog`, of which {hop} are",
        "{redis_one} through Redis",
        "In bursts of 50: {memory_one_50} and {redis_one_50}.",
    ],
    "docs/topics/performance.md": [
        "asyncio: a `Protocol` that counts bytes | {socket_floor} | {socket_floor_one} |",
        "**{socket}** | **{socket_one}** | aiohttp's raw bytes alone: {socket_aiohttp} and {socket_aiohttp_one}; "
        "the OpenAI SDK: {socket_openai} and {socket_openai_one}",
        "| the same, one event in each chunk | {decode_alone} |",
        "without a relay | {hop} | {hop_50} |",
        "`MemoryLog`, one reader | {memory_one} | {memory_one_50} |",
        "`MemoryLog`, ten readers, for each | {memory_ten} | {memory_ten_50} |",
        "`MemoryLog`, 100 streams at once | {memory_streams} | {memory_streams_50} |",
        "`RedisLog`, one reader | {redis_one} | {redis_one_50} |",
        "`RedisLog`, ten readers, for each | {redis_ten} | {redis_ten_50} |",
        "`RedisLog`, 100 streams at once | {redis_streams} | {redis_streams_50} |",
        "all hits | 0.10 x orjson | 0.06 | {hits} |",
        "| one event in each chunk | 0.18 | 0.12 | {hits_alone} |",
        "98.5 % | {hits_pure} % |",
        "1,000 x | {decode_openai} x |",
        "300 x | {decode_anthropic} x |",
        "25 x | {frame_httpx_sse} x |",
        "200-byte events: {frame_200} x",
        "above decoding | 60 ns | | {above} ns |",
        "60 x | {socket_times} x |",
        "a uvloop `Protocol` that counts bytes | {load_floor_kib} | {load_floor} | {load_floor_ten} |",
        "our transport, raw bytes | {load_raw_kib} | {load_raw} | {load_raw_ten} |",
        "`ms.stream`** | {load_stream_kib} | {load_stream}; {load_stream_frozen} after `gc.freeze()` | "
        "{load_stream_ten} |",
        "aiohttp, raw bytes | {load_aiohttp_kib} | {load_aiohttp} | {load_aiohttp_ten} |",
        "httpx2, raw bytes | {load_httpx2_kib} | {load_httpx2} | {load_httpx2_ten} |",
        "memory grows by {load_memory} MiB",
        "A served event costs {served} us, sse-starlette's {served_sse}, Starlette's bare response {served_bare}",
    ],
}


def results() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Heading, first two cells and all cells by column, of each row of each table; a heading again is `heading (2)`."""
    seen: Counter[str] = Counter()
    for page in ("RESULTS.md", "RESULTS_LOAD.md"):
        heading, columns = "", None
        for line in (ROOT / "bench" / page).read_text(encoding="utf-8").splitlines():
            if found := re.fullmatch(r"#+ (.+)|\*\*(.+)\*\*", line):
                heading = found[1] or found[2]
                seen[heading] += 1
                heading += f" ({seen[heading]})" if seen[heading] > 1 else ""
            if not line.startswith("|"):
                columns = None
            elif columns is None:
                columns = [cell.strip() for cell in line[1:].split("|")]
            else:
                cells = [cell.strip() for cell in line[1:].split("|")]
                yield heading, cells[:2], dict(zip(columns, cells, strict=True))


ROWS = list(results())


def measured(name: str) -> Decimal:
    """The figure of that name; it is an error if it is not there once."""
    heading, row, column = SOURCES[name]
    rows = [(first, cells[column]) for where, first, cells in ROWS if where == heading and column in cells]
    exact = [cell for first, cell in rows if row in first]
    [cell] = exact or [cell for first, cell in rows if any(one.startswith(row) for one in first)]
    found = re.search(NUMBER, cell)
    assert found, f"{name}: no figure in {cell!r}"
    return Decimal(found[0].replace(",", ""))


def as_quoted(value: Decimal, quoted: str) -> str:
    """The value with as many decimals as the quoted figure has."""
    decimals = len(quoted.partition(".")[2])
    return f"{value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP):,}"


def brought_up_to_date(text: str, passage: str, value: Callable[[str], Decimal]) -> str:
    """The page with the figures of that passage as they were measured; AssertionError: the page has no such passage."""
    names = re.findall(r"\{(\w+)\}", passage)
    words = [re.sub(r"(\\ )+", r"\\s+", re.escape(part)) for part in re.split(r"\{\w+\}", passage)]
    pattern = f"({words[0]})" + "".join(f"({NUMBER})({part})" for part in words[1:])
    found = list(re.finditer(pattern, text))
    assert len(found) == 1, f"the passage is there {len(found)} times: {passage}"
    [match] = found
    said = list(match.groups())
    for i, name in enumerate(names):
        said[1 + 2 * i] = as_quoted(value(name), said[1 + 2 * i])
    return text[: match.start()] + "".join(said) + text[match.end() :]


@pytest.mark.parametrize("page", QUOTES)
def test_quoted_figures_are_those_that_were_measured(page: str) -> None:
    path = ROOT / page
    text = new = path.read_text(encoding="utf-8")
    for passage in QUOTES[page]:
        new = brought_up_to_date(new, passage, measured)
    if os.environ.get("MILLSTREAM_REGEN") == "1":
        path.write_text(new, encoding="utf-8")
        text = new
    old_lines, new_lines = text.splitlines(), new.splitlines()
    stale = [(old, now) for old, now in zip(old_lines, new_lines, strict=True) if old != now]
    assert stale == [], "MILLSTREAM_REGEN=1 writes them anew; read what it changed"


@pytest.mark.parametrize(
    ("text", "value", "new"),
    [
        ("it takes 75 us,\nnot 9", "80.4", "it takes 80 us,\nnot 9"),
        ("it takes 0.5 us, not 9", "0.45", "it takes 0.5 us, not 9"),
        ("it takes 1.10 us, not 9", "12345.678", "it takes 12,345.68 us, not 9"),
    ],
)
def test_a_stale_figure_is_found_and_rounded_as_it_was(text: str, value: str, new: str) -> None:
    assert brought_up_to_date(text, "takes {x} us, not", lambda name: Decimal(value)) == new


@pytest.mark.parametrize("text", ["it takes long", "it takes 1 us, it takes 2 us"])
def test_a_passage_that_is_gone_or_there_twice_is_found(text: str) -> None:
    with pytest.raises(AssertionError, match="times: takes"):
        brought_up_to_date(text, "takes {x} us", lambda name: Decimal(1))
