"""millstream: typed events from the byte streams of AI providers.

Five names to start with: `stream` (async), `iter_events` (sync), `TextDelta`, `ToolCall`, `Finish`.
At the top stands what a program opens, matches, sends or catches; all else is in its room, one dot further and
without an import of its own: `millstream.streams.END`, `millstream.tools.any_of`, `millstream.errors.ResumeGap`.
The parsers and the errors are loaded at once, the rest at its first use: who only parses pays for no more.
"""

from __future__ import annotations

from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

from millstream import core as core
from millstream import errors as errors
from millstream.core import JSONParser as JSONParser
from millstream.core import NDJSONParser as NDJSONParser
from millstream.core import SSEMessage as SSEMessage
from millstream.core import SSEParser as SSEParser
from millstream.core import parse_partial_json as parse_partial_json
from millstream.errors import AuthError as AuthError
from millstream.errors import ConnectionFailed as ConnectionFailed
from millstream.errors import IncompleteStream as IncompleteStream
from millstream.errors import InvalidRequest as InvalidRequest
from millstream.errors import LimitExceeded as LimitExceeded
from millstream.errors import MillstreamError as MillstreamError
from millstream.errors import ObjectInvalid as ObjectInvalid
from millstream.errors import Overloaded as Overloaded
from millstream.errors import ParseError as ParseError
from millstream.errors import ProviderError as ProviderError
from millstream.errors import RateLimited as RateLimited
from millstream.errors import RetriesExhausted as RetriesExhausted
from millstream.errors import SafetyBlocked as SafetyBlocked
from millstream.errors import StreamClosed as StreamClosed
from millstream.errors import StreamError as StreamError
from millstream.errors import StreamTimeout as StreamTimeout
from millstream.errors import ToolError as ToolError
from millstream.errors import UsageError as UsageError

__version__ = "0.1.0"

if TYPE_CHECKING:  # what checkers and editors see: the same names as in `_HOMES`, see tests/test_exports.py
    from millstream import compat as compat
    from millstream import events as events
    from millstream import http as http
    from millstream import limits as limits
    from millstream import messages as messages
    from millstream import objects as objects
    from millstream import protocols as protocols
    from millstream import providers as providers
    from millstream import relay as relay
    from millstream import server as server
    from millstream import streams as streams
    from millstream import testing as testing
    from millstream import tools as tools
    from millstream.events import Citation as Citation
    from millstream.events import Citations as Citations
    from millstream.events import Data as Data
    from millstream.events import Error as Error
    from millstream.events import Event as Event
    from millstream.events import EventType as EventType
    from millstream.events import File as File
    from millstream.events import Finish as Finish
    from millstream.events import FinishReason as FinishReason
    from millstream.events import Handoff as Handoff
    from millstream.events import ObjectDelta as ObjectDelta
    from millstream.events import ProviderToolCall as ProviderToolCall
    from millstream.events import ProviderToolResult as ProviderToolResult
    from millstream.events import Raw as Raw
    from millstream.events import ReasoningDelta as ReasoningDelta
    from millstream.events import Safety as Safety
    from millstream.events import Start as Start
    from millstream.events import StepFinish as StepFinish
    from millstream.events import StepStart as StepStart
    from millstream.events import TextDelta as TextDelta
    from millstream.events import ToolCall as ToolCall
    from millstream.events import ToolCallDelta as ToolCallDelta
    from millstream.events import ToolResult as ToolResult
    from millstream.events import Usage as Usage
    from millstream.limits import Limits as Limits
    from millstream.messages import FilePart as FilePart
    from millstream.messages import ImagePart as ImagePart
    from millstream.messages import Message as Message
    from millstream.messages import Request as Request
    from millstream.messages import ResponseFormat as ResponseFormat
    from millstream.messages import TextPart as TextPart
    from millstream.messages import ToolSpec as ToolSpec
    from millstream.objects import ObjectStream as ObjectStream
    from millstream.protocols import decoder as decoder
    from millstream.protocols import encoder as encoder
    from millstream.protocols import iter_events as iter_events
    from millstream.protocols.history import assistant_message as assistant_message
    from millstream.protocols.history import tool_message as tool_message
    from millstream.protocols.requests import request_body as request_body
    from millstream.providers import Conversation as Conversation
    from millstream.providers import Provider as Provider
    from millstream.providers import provider as provider
    from millstream.streams import RetryPolicy as RetryPolicy
    from millstream.streams import Stream as Stream
    from millstream.streams import StreamMonitor as StreamMonitor
    from millstream.streams import Timeouts as Timeouts
    from millstream.streams import fan_out as fan_out
    from millstream.streams import filters as filters
    from millstream.streams import merge as merge
    from millstream.streams import stream as stream
    from millstream.tools import ToolContext as ToolContext
    from millstream.tools import max_steps as max_steps
    from millstream.tools import tool as tool
    from millstream.tools import tool_seen as tool_seen

# Where each name lives. What is in `_ROOMS` can be reached without an import of its own: `millstream.relay.Hub`.
_HOMES = {
    "events": (
        "Citation Citations Data Error Event EventType File Finish FinishReason Handoff ObjectDelta "
        "ProviderToolCall ProviderToolResult Raw ReasoningDelta Safety Start StepFinish StepStart TextDelta "
        "ToolCall ToolCallDelta ToolResult Usage"
    ),
    "limits": "Limits",
    "messages": "FilePart ImagePart Message Request ResponseFormat TextPart ToolSpec",
    "objects": "ObjectStream",
    "protocols": "decoder encoder iter_events",
    "protocols.history": "assistant_message tool_message",
    "protocols.requests": "request_body",
    "providers": "Conversation Provider provider",
    "streams": "RetryPolicy Stream StreamMonitor Timeouts fan_out filters merge stream",
    "tools": "ToolContext max_steps tool tool_seen",
}
_LAZY = {name: f"millstream.{home}" for home, names in _HOMES.items() for name in names.split()}
_ROOMS = [
    *["compat", "events", "http", "limits", "messages", "objects", "protocols", "providers", "relay", "server"],
    *["streams", "testing", "tools"],
]
# Loaded by the imports above: no table is needed.
_AT_ONCE = [
    *["JSONParser", "NDJSONParser", "SSEMessage", "SSEParser", "parse_partial_json"],
    *["AuthError", "ConnectionFailed", "IncompleteStream", "InvalidRequest", "LimitExceeded"],
    *["MillstreamError", "ObjectInvalid", "Overloaded", "ParseError", "ProviderError", "RateLimited"],
    *["RetriesExhausted", "SafetyBlocked", "StreamClosed", "StreamError", "StreamTimeout", "ToolError"],
    *["UsageError"],
]
_PUBLIC = sorted([*_AT_ONCE, *_LAZY])

if not TYPE_CHECKING:  # checkers cannot read a computed list; they take the imports above
    __all__ = _PUBLIC


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value  # from now on without this function
        return value
    if name in _ROOMS:
        return import_module(f"millstream.{name}")
    # With `name` and `obj`, the traceback asks whether another name was meant.
    said = f"module 'millstream' has no attribute {name!r}{_elsewhere(name)}"
    raise AttributeError(said, name=name, obj=modules[__name__])


def _elsewhere(name: str) -> str:
    """Say in which room a name is that is not at the top, "" if in none. Imports none of them: their lists are read."""
    if not name.startswith("_"):
        from pathlib import Path

        for room in ["errors", "core", *_ROOMS]:
            path = Path(__file__).parent / room
            try:
                text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
            except OSError:
                continue
            if f'"{name}"' in text.partition("\n__all__ = ")[2].partition("]")[0]:
                return f"; it is `millstream.{room}.{name}`"
    return ""


def __dir__() -> list[str]:
    return sorted({*_PUBLIC, *_ROOMS, "core", "errors"})
