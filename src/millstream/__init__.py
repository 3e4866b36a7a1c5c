"""millstream: typed events from the byte streams of AI providers.

Five names to start with: `stream` (async), `iter_events` (sync), `TextDelta`, `ToolCall`, `Finish`.
What needs an event loop is imported at its first use, so that `import millstream.core` loads no async library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from millstream import errors as errors
from millstream.core import Delta, JSONParser, NDJSONParser, SSEMessage, SSEParser
from millstream.errors import *  # noqa: F403
from millstream.errors import __all__ as _errors
from millstream.events import *  # noqa: F403
from millstream.events import __all__ as _events
from millstream.limits import Limits
from millstream.protocols import Decoder, Encoder, decoder, decoder_names, encoder, encoder_names, iter_events

if TYPE_CHECKING:
    from millstream.streams import Stream as Stream
    from millstream.streams import stream as stream

__version__ = "0.1.0"

_LAZY = {"Stream": "millstream.streams", "stream": "millstream.streams"}

__all__ = [
    "Decoder",
    "Delta",
    "Encoder",
    "JSONParser",
    "Limits",
    "NDJSONParser",
    "SSEMessage",
    "SSEParser",
    "Stream",
    "decoder",
    "decoder_names",
    "encoder",
    "encoder_names",
    "iter_events",
    "stream",
    *_errors,
    *_events,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'millstream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
