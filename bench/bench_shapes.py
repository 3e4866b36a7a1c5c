"""What decoding costs with shapes, as multiples of `orjson.loads` on the same messages in the same run.

    python -m bench.bench_shapes [--rounds N] [--json]

Every row is checked before it is measured. Payloads are the texts of recorded streams (the shared corpus): repeated
text flatters branch prediction. Figures are minima of CPU time, rounds in turn: trust the ratios of one run, not the
nanoseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any

from orjson import JSONDecodeError, loads

import millstream as ms
from millstream.protocols import DECODERS

SHARED = Path(os.environ.get("MILLSTREAM_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CORPUS = SHARED / "corpus"
SHAPED = sorted(name for name, cls in DECODERS.items() if cls.shapes is not None)

# 327 bytes on the average with its text, as OpenAI sends it.
EVENT = (
    '{"id":"chatcmpl-BzBhxpRCtL0jVQRGNm7GNMHzSSQUX","object":"chat.completion.chunk","created":1754071301,'
    '"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_197a02a720","choices":'
    '[{"index":0,"delta":{"content":%s},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"%s"}'
)


def captures() -> dict[str, list[bytes]]:
    found = defaultdict(list)
    for entry in json.loads((CORPUS / "INDEX.json").read_bytes()):
        if entry["api"] in SHAPED:
            found[entry["api"]].append((CORPUS / entry["file"]).read_bytes())
    return dict(found)


def messages_of(api: str, body: bytes) -> list[bytes]:
    """The JSON of each message, for orjson alone."""
    decoder = ms.decoder(api)
    out = []
    parser = decoder._make_parser() if api in ("ollama-chat", "ollama-generate", "cohere-v1-ndjson") else None
    if parser is not None:
        out = [line for line in body.splitlines() if line.strip()]
    else:
        messages = ms.SSEParser(at_eof="deliver").feed(body)
        out = [message.data.encode() for message in messages]
    return [data for data in out if _is_json(data)]


def _is_json(data: bytes) -> bool:
    try:
        loads(data)
    except JSONDecodeError:
        return False
    return True


def texts(bodies: list[bytes], n: int) -> list[str]:
    """The texts of recorded streams in a fixed random order."""
    found = [
        event.text
        for body in bodies
        for event in ms.iter_events([body], "openai-chat")
        if isinstance(event, ms.TextDelta)
    ]
    random.Random(1).shuffle(found)
    return found[:n]


def decode_all(messages: list[bytes]) -> None:
    for message in messages:
        loads(message)


def feed_all(decoder: ms.protocols.Decoder, chunks: list[bytes]) -> None:
    feed = decoder.feed
    for chunk in chunks:
        feed(chunk)


def whole(api: str, bodies: list[bytes], **options: Any) -> None:
    for body in bodies:
        decoder = ms.decoder(api, **options)
        decoder.feed(body)
        decoder.close()


def best(rows: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Seconds of CPU: the minimum of each row, in turn. A row is repeated for at least 2 ms: caches are warm then."""
    times = {}
    for name, work in rows.items():
        began = thread_time()
        work()
        times[name] = 1 + int(0.002 / max(thread_time() - began, 1e-6))
    found = dict.fromkeys(rows, float("inf"))
    gc.collect()
    for _ in range(rounds):
        for name, work in rows.items():
            work()
            began = thread_time()
            for _ in range(times[name]):
                work()
            found[name] = min(found[name], (thread_time() - began) / times[name])
    return found


def steady(bodies: list[bytes], rounds: int) -> dict[str, tuple[float, float]]:
    """A run of OpenAI's events, all of them hits: (ns per event, x orjson)."""
    rng = random.Random(2)
    said = texts(bodies, 1200)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    data = [
        (EVENT % (json.dumps(text, ensure_ascii=False), "".join(rng.choices(letters, k=rng.randrange(2, 12))))).encode()
        for text in said
    ]
    frames = [b"data: " + one + b"\n\n" for one in data]
    body = b"".join(frames)

    def warm(**options: Any) -> ms.protocols.Decoder:
        decoder = ms.decoder("openai-chat", **options)
        decoder.feed(frames[0] + frames[1])
        return decoder

    def cut(size: int) -> list[bytes]:
        return [body[at : at + size] for at in range(0, len(body), size)]

    rows: dict[str, Callable[[], None]] = {"orjson.loads alone": lambda: decode_all(data)}
    work = {
        "16 KiB chunks": (cut(16384), {}),
        "one event per chunk": (frames, {}),
        "100-byte chunks": (cut(100), {}),
        "16 KiB chunks, shapes=False": (cut(16384), {"shapes": False}),
    }
    for name, (chunks, options) in work.items():
        decoder = warm(**options)
        given = [event for chunk in chunks for event in decoder.feed(chunk)]
        assert [event.text for event in given] == said, name
        assert decoder.stats.misses == 2 or options, name
        rows[name] = lambda decoder=decoder, chunks=chunks: feed_all(decoder, chunks)
    joining = warm()
    assert joining._reader is not None
    joining._reader.joins = True
    assert "".join([event.text for chunk in cut(16384) for event in joining.feed(chunk)]) == "".join(said)
    chunks = cut(16384)
    rows["text only, 16 KiB chunks"] = lambda: feed_all(joining, chunks)
    seconds = best(rows, rounds)
    alone = seconds["orjson.loads alone"]
    return {name: (taken / len(said) * 1e9, taken / alone) for name, taken in seconds.items()}


def by_api(found: dict[str, list[bytes]], rounds: int) -> list[dict[str, Any]]:
    """Whole captures from a cold start, closed: x orjson with shapes and without, and what was hit."""
    out = []
    for api, bodies in found.items():
        data = [message for body in bodies for message in messages_of(api, body)]
        hits = misses = compiles = 0
        for body in bodies:
            decoder, plain = ms.decoder(api), ms.decoder(api, shapes=False)
            mine, theirs = (
                [ms.events.encode_event(event) for event in one.feed(body) + one.close()] for one in (decoder, plain)
            )
            assert mine == theirs
            hits, misses, compiles = (a + b for a, b in zip((hits, misses, compiles), decoder.stats, strict=True))
        seconds = best(
            {
                "alone": lambda data=data: decode_all(data),
                "shapes": lambda api=api, bodies=bodies: whole(api, bodies),
                "slow": lambda api=api, bodies=bodies: whole(api, bodies, shapes=False),
            },
            rounds,
        )
        out.append(
            {
                "api": api,
                "captures": len(bodies),
                "messages": hits + misses,
                "hits": hits / (hits + misses),
                "hits of pure": hits / max(hits + compiles, 1),
                "shapes": seconds["shapes"] / seconds["alone"],
                "slow": seconds["slow"] / seconds["alone"],
            }
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = captures()
    runs, apis = steady(found["openai-chat"], args.rounds), by_api(found, args.rounds)
    if args.json:
        json.dump({"steady": runs, "apis": apis}, sys.stdout)
        return
    print(f"{'OpenAI events of 327 bytes':32}{'ns':>8}{'x orjson':>10}")
    for name, (ns, ratio) in runs.items():
        print(f"{name:32}{ns:8.1f}{ratio:10.3f}")
    print(f"\n{'whole captures':22}{'n':>4}{'messages':>10}{'hits':>8}{'of pure':>9}{'x orjson':>10}{'without':>9}")
    for row in apis:
        print(
            f"{row['api']:22}{row['captures']:4}{row['messages']:10}{row['hits']:8.1%}{row['hits of pure']:9.1%}"
            f"{row['shapes']:10.2f}{row['slow']:9.2f}"
        )


if __name__ == "__main__":
    main()
