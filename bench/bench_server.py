"""Events to the bytes of server-sent events, against sse-starlette's encoder. Run it: `python -m bench.bench_server`.

The same text deltas on both sides, one answer of EVENTS; both outputs are parsed again and must give the same texts.
sse-starlette encodes a `JSONServerSentEvent` per event from a dict that is there already; with "from events" the dict
is made of our event first, as an application that has typed events would. The two take turns; CPU time, best of ROUNDS.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.metadata import version

import msgspec
from sse_starlette import JSONServerSentEvent

import millstream as ms
from millstream.server._body import Body

EVENTS, ROUNDS, BATCH = 2_000, 15, 20
TEXTS = [f" token {i}" for i in range(EVENTS)]
TARGET_TIMES = 10.0


def ours(name: str, batch: int = BATCH) -> Callable[[list[ms.Event]], bytes]:
    def run(events: list[ms.Event]) -> bytes:
        body, out = Body(ms.encoder(name)), []
        for at in range(0, len(events), batch):
            parts: list[bytes] = []
            body.encode(events[at : at + batch], parts)
            out.append(b"".join(parts))
        return b"".join(out)

    return run


def theirs(events: list[ms.Event]) -> bytes:
    return b"".join([JSONServerSentEvent(msgspec.to_builtins(event)).encode() for event in events])


def theirs_ready(dicts: list[dict[str, object]]) -> bytes:
    return b"".join([JSONServerSentEvent(value).encode() for value in dicts])


def texts(data: bytes) -> list[str]:
    found = [json.loads(message.data) for message in ms.SSEParser().feed(data)]
    return [value["text"] for value in found if value.get("type") == "text_delta"]


def main() -> None:
    events: list[ms.Event] = [ms.TextDelta(text) for text in TEXTS]
    dicts = [msgspec.to_builtins(event) for event in events]
    rows: dict[str, Callable[[], bytes]] = {
        "millstream, batches of 20": lambda: ours("millstream.events.v1")(events),
        "millstream, one at a time": lambda: ours("millstream.events.v1", 1)(events),
        "sse-starlette, from events": lambda: theirs(events),
        "sse-starlette, from dicts": lambda: theirs_ready(dicts),
    }
    for name, run in rows.items():
        if texts(run()) != TEXTS:
            raise SystemExit(f"{name}: wrong answer")
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, run in rows.items():
            begin = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - begin)
    base = best["millstream, batches of 20"]
    print(f"sse-starlette {version('sse-starlette')}; target {TARGET_TIMES:g} x")
    for name, seconds in best.items():
        print(f"{name:30} {seconds / EVENTS * 1e9:8.0f} ns/event  {seconds / base:6.2f} x  correct")


if __name__ == "__main__":
    main()
