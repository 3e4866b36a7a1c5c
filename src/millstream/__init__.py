"""millstream: typed events from the byte streams of AI providers.

Five names to start with: `stream` (async), `iter_events` (sync), `TextDelta`, `ToolCall`, `Finish`.
What needs an event loop is imported at its first use, so that `import millstream.core` loads no async library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from millstream import errors as errors
from millstream.core import MISSING, Delta, JSONParser, NDJSONParser, SSEMessage, SSEParser, parse_partial_json
from millstream.errors import *  # noqa: F403
from millstream.errors import __all__ as _errors
from millstream.events import *  # noqa: F403
from millstream.events import __all__ as _events
from millstream.limits import Limits
from millstream.protocols import Decoder, Encoder, decoder, decoder_names, encoder, encoder_names, iter_events

if TYPE_CHECKING:
    from millstream.messages import FilePart as FilePart
    from millstream.messages import ImagePart as ImagePart
    from millstream.messages import Message as Message
    from millstream.messages import Part as Part
    from millstream.messages import ProviderPart as ProviderPart
    from millstream.messages import ReasoningPart as ReasoningPart
    from millstream.messages import RefusalPart as RefusalPart
    from millstream.messages import Request as Request
    from millstream.messages import ResponseFormat as ResponseFormat
    from millstream.messages import TextPart as TextPart
    from millstream.messages import ToolCallPart as ToolCallPart
    from millstream.messages import ToolResultPart as ToolResultPart
    from millstream.messages import ToolSpec as ToolSpec
    from millstream.messages import as_messages as as_messages
    from millstream.objects import ObjectStream as ObjectStream
    from millstream.objects import json_schema as json_schema
    from millstream.protocols.history import MessageBuilder as MessageBuilder
    from millstream.protocols.history import assistant_message as assistant_message
    from millstream.protocols.history import tool_message as tool_message
    from millstream.protocols.requests import request_body as request_body
    from millstream.protocols.requests import request_names as request_names
    from millstream.streams import END as END
    from millstream.streams import RESTART as RESTART
    from millstream.streams import BufferPool as BufferPool
    from millstream.streams import RetryBudget as RetryBudget
    from millstream.streams import RetryPolicy as RetryPolicy
    from millstream.streams import Runnable as Runnable
    from millstream.streams import Stream as Stream
    from millstream.streams import StreamHealth as StreamHealth
    from millstream.streams import StreamMonitor as StreamMonitor
    from millstream.streams import StreamProcessor as StreamProcessor
    from millstream.streams import TextProgress as TextProgress
    from millstream.streams import TextStream as TextStream
    from millstream.streams import Timeouts as Timeouts
    from millstream.streams import filters as filters
    from millstream.streams import stream as stream

__version__ = "0.1.0"

# Who only decodes pays for nothing of this.
_MESSAGES = [
    *["FilePart", "ImagePart", "Message", "Part", "ProviderPart", "ReasoningPart", "RefusalPart", "Request"],
    *["ResponseFormat", "TextPart", "ToolCallPart", "ToolResultPart", "ToolSpec", "as_messages"],
]
_HISTORY = ["MessageBuilder", "assistant_message", "tool_message"]
_REQUESTS = ["request_body", "request_names"]
_STREAMS = [
    *["BufferPool", "RetryBudget", "RetryPolicy", "StreamHealth", "StreamMonitor", "StreamProcessor", "TextProgress"],
    *["END", "RESTART", "Runnable", "TextStream", "Timeouts", "filters"],
]
_LAZY = {
    "Stream": "millstream.streams",
    "stream": "millstream.streams",
    "ObjectStream": "millstream.objects",
    "json_schema": "millstream.objects",
    **dict.fromkeys(_STREAMS, "millstream.streams"),
    **dict.fromkeys(_MESSAGES, "millstream.messages"),
    **dict.fromkeys(_HISTORY, "millstream.protocols.history"),
    **dict.fromkeys(_REQUESTS, "millstream.protocols.requests"),
}

__all__ = [
    "MISSING",
    "Decoder",
    "Delta",
    "Encoder",
    "JSONParser",
    "Limits",
    "NDJSONParser",
    "ObjectStream",
    "SSEMessage",
    "SSEParser",
    "Stream",
    "decoder",
    "decoder_names",
    "encoder",
    "encoder_names",
    "iter_events",
    "json_schema",
    "parse_partial_json",
    "stream",
    *_HISTORY,
    *_MESSAGES,
    *_REQUESTS,
    *_STREAMS,
    *_errors,
    *_events,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'millstream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
