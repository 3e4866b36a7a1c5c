"""Incremental JSON against its peers: the value is read after each delta. json_report.py runs it.

As in compare.py a round runs each parser once, in an order that rotates, and ratios are taken within a round. What is
quadratic cannot be run to its end in a few minutes: a parser that parses again is then timed at prefixes of 24 lengths,
and the sum is an estimate (marked ~). Where even that takes too long, and for what is incremental, only the first part
of the document is run; a byte only becomes dearer later, so that what follows is a lower bound (marked >).
Time is that of the thread, which other processes disturb least. The garbage collector runs, as it does for users.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jiter

from bench import json_docs
from bench.json_docs import SIZES, Document
from bench.json_peers import OWN, PEERS, WHOLE, Peer

ROUNDS = 7
BUDGET_S = 0.4  # for one run of a peer
SAMPLES = 24
LAG_BYTES = 64  # a key, a number or an escape that is not complete may be as long
WHOLE_ROUNDS = 3
NUMBER = b"0123456789+-.eE"  # a number that may go on is shown by some and not by others: no sample ends in one

clock = time.thread_time


@dataclass
class Row:
    """`seconds` for the whole document, by round; `mark`: "~" estimated, ">" at least, or nothing: measured."""

    document: Document
    delta: int
    peer: str
    correct: bool
    seconds: list[float] = field(default_factory=list)
    mark: str = ""
    ratios: list[float] = field(default_factory=list)  # to millstream's, round by round

    @property
    def ns(self) -> float:
        return statistics.median(self.seconds) / len(self.document.data) * 1e9

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def times(self) -> str:
        """The ratio, with the middle half of its rounds."""
        text = self.mark + figure(self.ratio)
        if self.peer == OWN or len(self.ratios) < 3:
            return text
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return f"{text} ({figure(low)} to {figure(high)})"


def compare(document: Document, n: int, rounds: int = ROUNDS, budget: float = BUDGET_S) -> list[Row]:
    """All peers, with deltas of n bytes."""
    set_apart()
    rows = {peer.name: Row(document, n, peer.name, is_correct(peer, document, n)) for peer in PEERS}
    whole = []
    for peer in PEERS:
        row = rows[peer.name]
        seconds = estimate(peer, document, n, budget)
        if isinstance(seconds, tuple):
            row.mark, once = seconds
            row.seconds.append(once)
        else:
            whole.append((peer, seconds))
    for turn in range(rounds):
        for k in range(len(whole)):
            peer, once = whole[(k + turn) % len(whole)]
            if turn == 0 or once * rounds < 2 * budget:
                rows[peer.name].seconds.append(run(peer, document.data, n))
    own = rows[OWN].seconds
    for row in rows.values():
        # One that ran once, before or beside the rounds, is compared with the median of ours.
        several = len(row.seconds) > 1
        row.ratios = [a / b for a, b in zip(row.seconds, own if several else [statistics.median(own)], strict=False)]
    return list(rows.values())


def set_apart() -> None:
    """Keep what is not measured out of the collector's sight, so that each run begins from an empty heap."""
    gc.collect()
    gc.freeze()


def timed(call: Callable[[], object]) -> float:
    gc.collect()
    start = clock()
    out = call()
    end = clock()
    del out  # freeing the value is not part of parsing
    if end <= start:
        raise ValueError("a row of 0 ns: the clock is too coarse for this document")
    return end - start


def run(peer: Peer, data: bytes, n: int) -> float:
    if peer.stream is not None:
        return timed(lambda: peer.stream(data, n))
    again, text = peer.again, data.decode() if peer.text else data

    def loop() -> None:
        for i in range(n, len(text) + n, n):
            again(text[:i])

    return timed(loop)


def estimate(peer: Peer, document: Document, n: int, budget: float) -> float | tuple[str, float]:
    """About how long a run takes; with a mark, if it is too long to be run."""
    data = document.data
    if peer.stream is not None:
        end = 10_000
        while True:
            end = min(end, len(data))
            seconds = run(peer, data[:end], n)
            if end == len(data):
                return seconds
            if seconds > budget / 2:
                return ">", seconds / end * len(data)
            end *= 2
    text = data.decode() if peer.text else data
    end = min(10_000, len(text))
    while end < len(text) and timed(lambda prefix=text[:end]: peer.again(prefix)) < budget / SAMPLES:
        end = min(2 * end, len(text))
    prefixes = [text[: max(n, int(end * (k + 0.5) / SAMPLES))] for k in range(SAMPLES)]

    def loop() -> None:
        for prefix in prefixes:
            peer.again(prefix)

    seconds = timed(loop) / SAMPLES * len(data) / n
    if end < len(text):
        return ">", seconds * len(text) / end  # what comes later costs at least in proportion to its length
    return seconds if seconds < budget else ("~", seconds)


# --- whether the answers are right ---


def is_correct(peer: Peer, document: Document, n: int, samples: int = 7, most: int = 20_000) -> bool:
    """Whether the last value is that of the document, and those on the way lie between what must be and what will be.

    What must be shown: all that was complete LAG_BYTES ago, and unfinished strings if the peer shows them. The values
    on the way are looked at in the first `most` bytes of the document, or what is quadratic would not get there.
    """
    data = document.data
    ends = [(k + 1) * most // samples // n * n for k in range(samples)]
    if peer.again is not None:
        text = data.decode() if peer.text else data
        parts = [data[:end].rstrip(NUMBER) for end in ends if end < len(data)]
        good = (peer.slow and len(data) > 100_000) or peer.again(text) == document.value
        return good and all(
            _between(peer, part, peer.again(part.decode(errors="ignore") if peer.text else part), document)
            for part in parts
        )
    seen = 0
    good = True

    def see(value: Any) -> None:
        nonlocal seen, good
        seen += n
        if seen in ends and seen < len(data):
            good = good and _between(peer, data[:seen], value, document)

    peer.stream(data[:most], n, see)
    if len(data) <= 100_000 or peer.strings:
        n = max(n, 1024)  # the end of a long one in larger deltas, which does not take as long
        good = good and peer.stream(data, n) == document.value
    return good


def _between(peer: Peer, prefix: bytes, value: Any, document: Document) -> bool:
    earlier = prefix[:-LAG_BYTES].rstrip(NUMBER)
    must = jiter.from_json(earlier, partial_mode="trailing-strings" if peer.strings else "on") if earlier else None
    return (must is None or begins(must, value)) and begins(value, document.value)


def begins(part: Any, whole: Any) -> bool:
    """Whether a value can grow into another: strings and arrays at their end, objects in their last member."""
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, list) and isinstance(whole, list):
        n = len(part)
        return (
            n <= len(whole)
            and part[: n - 1] == whole[: n - 1 if n else 0]
            and (not n or begins(part[-1], whole[n - 1]))
        )
    if isinstance(part, dict) and isinstance(whole, dict):
        members = list(part.items())
        if members[:-1] != list(whole.items())[: max(len(members) - 1, 0)]:
            return False
        return not members or (members[-1][0] in whole and begins(members[-1][1], whole[members[-1][0]]))
    return bool(part == whole)


# --- a complete document at once ---


def whole_here(name: str) -> dict[str, list[float]]:
    """Seconds for each document with one parser, with the collector and without: in a process of its own."""
    parse = WHOLE[name]
    found = {}
    for shape in json_docs.shapes():
        for size in SIZES:
            document = json_docs.document(shape, size)
            if parse(document.data) != document.value:
                raise AssertionError(f"{name}: wrong answer for {document}")
            set_apart()
            times = []
            for collects in (True, False):
                if not collects:
                    gc.disable()
                least = []
                for _ in range(max(5, 300_000 // len(document.data))):
                    least.append(timed(lambda parse=parse, document=document: parse(document.data)))
                gc.enable()
                times.append(statistics.median(least))
            found[f"{shape}, {size}"] = times
    return found


def whole(rounds: int = WHOLE_ROUNDS) -> dict[str, dict[str, list[list[float]]]]:
    """parser -> document -> [with collector, without] by round. Each parser has a new process in each round: parsing
    leaves a heap that the next parser's collector would have to walk."""
    out: dict[str, dict[str, list[list[float]]]] = {name: {} for name in WHOLE}
    names = list(WHOLE)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            done = subprocess.run(
                [sys.executable, "-m", "bench.json_compare", name],
                stdout=subprocess.PIPE,
                check=True,
                env=os.environ,
            )
            for document, times in json.loads(done.stdout).items():
                out[name].setdefault(document, []).append(times)
    return out


def table(rows: list[Row]) -> list[str]:
    """One document: a line for each peer, a column for each size of delta."""
    deltas = sorted({row.delta for row in rows})
    head = " | ".join(f"ns/byte at {n} B | times {OWN}" for n in deltas)
    lines = [f"| parser | correct | {head} |", "|---|---|" + "---:|---:|" * len(deltas)]
    for peer in PEERS:
        cells = sorted((row for row in rows if row.peer == peer.name), key=lambda row: row.delta)
        text = " | ".join(f"{row.mark}{figure(row.ns)} | {row.times()}" for row in cells)
        lines.append(f"| {peer.name} | {'yes' if all(row.correct for row in cells) else '**no**'} | {text} |")
    return lines


def figure(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


if __name__ == "__main__":
    print(json.dumps(whole_here(sys.argv[1])))
