"""millstream against its peers: the same chunks, in the same process, in rounds that take turns.

A round runs each parser once, in an order that rotates, so that what slows the machine slows all; the ratio is taken
within a round. Spread is the middle half of the rounds (quartiles). Messages are looked at once and dropped, as a
consumer of a stream does; with keep=True all are kept to the end, which adds the same cost of fresh memory to each.
Run alone: python -m bench.compare
"""

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import fixtures, peers
from bench.fixtures import Shape

ROUNDS = 15


@dataclass(frozen=True)
class Row:
    shape: Shape
    parser: str
    correct: bool
    seconds: list[float]
    ratios: list[float]  # peer's time by millstream's, round by round
    peak_bytes: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def spread(values: Sequence[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def compare(shape: Shape, rounds: int = ROUNDS, *, keep: bool = False) -> list[Row]:
    finish = peers.collect if keep else peers.drain
    parsers = list(peers.PARSERS.items())
    correct = {name: peers.normal(peers.collect(parse(shape.chunks))) == shape.messages for name, parse in parsers}
    seconds: dict[str, list[float]] = {name: [] for name, _ in parsers}
    for n in range(rounds):
        turn = n % len(parsers)
        for name, parse in parsers[turn:] + parsers[:turn]:
            seconds[name].append(_time(lambda parse=parse: finish(parse(shape.chunks))))
    if min(map(min, seconds.values())) <= 0:
        raise ValueError("a row of 0 ns: the clock is too coarse for this shape")
    return [
        Row(
            shape,
            name,
            correct[name],
            seconds[name],
            [other / own for other, own in zip(seconds[name], seconds["millstream"], strict=True)],
            _peak(lambda parse=parse: finish(parse(shape.chunks))),
        )
        for name, parse in parsers
    ]


def _time(run: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()  # as timeit does
    try:
        start = time.process_time()
        out = run()
        end = time.process_time()
    finally:
        gc.enable()
    del out  # freeing the messages is not part of parsing
    return end - start


def _peak(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def table(rows: list[Row]) -> list[str]:
    lines = ["| shape | parser | correct | ms | MB/s | ns/message | peak kB | times millstream | middle half |"]
    lines.append("|---|---|---|---:|---:|---:|---:|---:|---|")
    for row in rows:
        low, high = spread(row.ratios)
        own = row.parser == "millstream"
        cells = [
            row.shape.name,
            row.parser,
            "yes" if row.correct else "**no**",
            f"{row.median * 1e3:.2f}",
            f"{row.shape.n_bytes / row.median / 1e6:.0f}",
            f"{row.median / len(row.shape.messages) * 1e9:.0f}",
            f"{row.peak_bytes / 1e3:.0f}",
            "1" if own else f"{row.ratio:.1f}",
            "" if own else f"{low:.1f} to {high:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    for name in fixtures.names():
        print(*table(compare(fixtures.shape(name))), "", sep="\n")
