"""Every cap of millstream, with its unit in its name and the reason for its default. A leaf: imports nothing.

All are on by default. Passing one raises `LimitExceeded`, which names the option and its value.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "Limits", "refuse_no_limits"]

MiB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one stream may take. Replace single values with `dataclasses.replace`."""

    max_event_bytes: int = 8 * MiB
    """One SSE event: its unfinished line, data, event name and id together. httpx2's 1 MiB broke MCP users
    (python-sdk#3332), go-sdk has 16 MiB, .NET 1 GiB; inline images of several MiB are real."""

    max_line_bytes: int = 8 * MiB
    """One NDJSON line. Ollama's last line repeats the whole context array; same reasoning as above."""

    max_object_bytes: int = 8 * MiB
    """The text of one structured object, which is kept until the object has been validated. An answer of 128k tokens is
    about half a MiB."""

    max_error_body_bytes: int = 64 * 1024
    """How much of an HTTP error body is read and kept. Providers send a few hundred bytes; proxies send pages."""

    max_error_body_seconds: float = 5.0
    """How long reading that body may take: a server that fails may also stall."""

    max_inflation: int = 200
    """How many bytes one byte of a compressed body may become, after the first MiB. Streams of JSON compress to a tenth
    or a thirtieth; gzip's utmost is a thousandth, brotli's far less."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")


DEFAULT_LIMITS = Limits()


def refuse_no_limits(given: object) -> None:
    """Raise TypeError if what was given is no `Limits`: at the call, not when the first byte comes."""
    if not isinstance(given, Limits):
        raise TypeError(f"limits must be a millstream.Limits, as in Limits(max_event_bytes=...), not {given!r:.60}")
