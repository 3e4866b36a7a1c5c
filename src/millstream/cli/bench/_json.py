"""JSON that grows: its value is read after every delta of 16 bytes. Who has no state parses again each time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from millstream.cli.bench._load import document
from millstream.cli.bench._measure import Contender, Group, Work
from millstream.core import JSONParser

__all__ = ["groups"]

DELTA_BYTES = 16
N_BYTES = 10_000


def not_timed(value: object) -> None:
    """Let go of a value."""


def groups() -> list[Group]:
    """Return the groups of this file."""
    data, value = document(N_BYTES)
    ends = range(DELTA_BYTES, len(data) + DELTA_BYTES, DELTA_BYTES)

    def again(parse: Callable[[bytes], Any]) -> Work:
        """Parse all that has come, after each delta."""

        def run() -> None:
            for end in ends:
                parse(data[:end])

        return Work(run, lambda: parse(data))

    def growing(make: Callable[[], tuple[Callable[[bytes], Any], Callable[[], Any]]]) -> Work:
        """`make` gives what is fed and what is read."""

        def run() -> Any:
            feed, read = make()
            for end in ends:
                feed(data[end - DELTA_BYTES : end])
                value = read()
            return value

        return Work(lambda: not_timed(run()), run)

    def ours() -> tuple[Callable[[bytes], Any], Callable[[], Any]]:
        parser = JSONParser(deltas=False)
        return parser.feed, lambda: parser.value

    def streaming() -> tuple[Callable[[bytes], Any], Callable[[], Any]]:
        parser = import_module("streaming_json_parser").StreamingJsonParser()
        last: list[Any] = [None]

        def feed(delta: bytes) -> None:
            last[0] = parser.feed(delta)

        return feed, lambda: last[0].value

    def jiter() -> Work:
        parse = import_module("jiter").from_json
        return again(lambda data: parse(data, partial_mode="trailing-strings"))

    def partial() -> Work:
        parse = import_module("partial_json_parser").loads
        return again(lambda data: parse(data.decode(errors="ignore")))

    return [
        Group(
            "json",
            f"JSON of {N_BYTES // 1000} kB in {DELTA_BYTES}-byte deltas, its value after each",
            len(ends),
            "delta",
            lambda: value,
            [
                Contender("millstream", lambda: growing(ours)),
                Contender("jiter, again", jiter, ("jiter",), "jiter"),
                Contender("partial-json-parser", partial, ("partial_json_parser",), "partial-json-parser"),
                Contender(
                    "streaming-json-parser",
                    lambda: growing(streaming),
                    ("streaming_json_parser",),
                    "streaming-json-parser",
                ),
            ],
        )
    ]
