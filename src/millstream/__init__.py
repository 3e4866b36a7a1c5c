"""millstream: typed events from the byte streams of AI providers.

Five names to start with: `stream` (async), `iter_events` (sync), `TextDelta`, `ToolCall`, `Finish`.
The parsers and the errors are here at once. All else is imported at its first use: who only parses pays for no more.
"""

from __future__ import annotations

from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

from millstream import errors as errors
from millstream.core import MISSING as MISSING
from millstream.core import Delta as Delta
from millstream.core import JSONParser as JSONParser
from millstream.core import NDJSONParser as NDJSONParser
from millstream.core import SSEMessage as SSEMessage
from millstream.core import SSEParser as SSEParser
from millstream.core import parse_partial_json as parse_partial_json
from millstream.errors import *  # noqa: F403

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
    from millstream.events import *  # noqa: F403
    from millstream.limits import Limits as Limits
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
    from millstream.protocols import Decoder as Decoder
    from millstream.protocols import Encoder as Encoder
    from millstream.protocols import decoder as decoder
    from millstream.protocols import decoder_names as decoder_names
    from millstream.protocols import encoder as encoder
    from millstream.protocols import encoder_names as encoder_names
    from millstream.protocols import iter_events as iter_events
    from millstream.protocols.history import MessageBuilder as MessageBuilder
    from millstream.protocols.history import assistant_message as assistant_message
    from millstream.protocols.history import tool_message as tool_message
    from millstream.protocols.requests import request_body as request_body
    from millstream.protocols.requests import request_names as request_names
    from millstream.providers import Anthropic as Anthropic
    from millstream.providers import AzureOpenAI as AzureOpenAI
    from millstream.providers import BaseProvider as BaseProvider
    from millstream.providers import Bedrock as Bedrock
    from millstream.providers import Cohere as Cohere
    from millstream.providers import Conversation as Conversation
    from millstream.providers import Gemini as Gemini
    from millstream.providers import HTTPProvider as HTTPProvider
    from millstream.providers import ObjectResult as ObjectResult
    from millstream.providers import Ollama as Ollama
    from millstream.providers import OpenAIChat as OpenAIChat
    from millstream.providers import OpenAICompatible as OpenAICompatible
    from millstream.providers import OpenAIResponses as OpenAIResponses
    from millstream.providers import Provider as Provider
    from millstream.providers import TextResult as TextResult
    from millstream.providers import Vertex as Vertex
    from millstream.providers import VertexAnthropic as VertexAnthropic
    from millstream.providers import provider as provider
    from millstream.providers import provider_names as provider_names
    from millstream.providers import user_inputs as user_inputs
    from millstream.streams import END as END
    from millstream.streams import KEEP_ALIVE as KEEP_ALIVE
    from millstream.streams import RESTART as RESTART
    from millstream.streams import BufferedStream as BufferedStream
    from millstream.streams import BufferPool as BufferPool
    from millstream.streams import CallerRuns as CallerRuns
    from millstream.streams import Conflate as Conflate
    from millstream.streams import DropAfter as DropAfter
    from millstream.streams import RetryBudget as RetryBudget
    from millstream.streams import RetryPolicy as RetryPolicy
    from millstream.streams import Runnable as Runnable
    from millstream.streams import Stream as Stream
    from millstream.streams import StreamHealth as StreamHealth
    from millstream.streams import StreamMonitor as StreamMonitor
    from millstream.streams import StreamProcessor as StreamProcessor
    from millstream.streams import TextAccumulator as TextAccumulator
    from millstream.streams import TextProgress as TextProgress
    from millstream.streams import TextStream as TextStream
    from millstream.streams import Timeouts as Timeouts
    from millstream.streams import fan_out as fan_out
    from millstream.streams import filters as filters
    from millstream.streams import merge as merge
    from millstream.streams import pipeline as pipeline
    from millstream.streams import sink as sink
    from millstream.streams import stage as stage
    from millstream.streams import stream as stream
    from millstream.tools import Agent as Agent
    from millstream.tools import Deny as Deny
    from millstream.tools import Run as Run
    from millstream.tools import RunState as RunState
    from millstream.tools import Step as Step
    from millstream.tools import Tool as Tool
    from millstream.tools import ToolContext as ToolContext
    from millstream.tools import ToolRunner as ToolRunner
    from millstream.tools import ToolTracker as ToolTracker
    from millstream.tools import all_of as all_of
    from millstream.tools import any_of as any_of
    from millstream.tools import custom as custom
    from millstream.tools import max_steps as max_steps
    from millstream.tools import max_tokens as max_tokens
    from millstream.tools import run_steps as run_steps
    from millstream.tools import text_length as text_length
    from millstream.tools import tool as tool
    from millstream.tools import tool_seen as tool_seen
    from millstream.tools import tool_specs as tool_specs
    from millstream.tools import truncate as truncate

# Where each name lives. What is in `_ROOMS` can be reached without an import of its own: `millstream.relay.Hub`.
_HOMES = {
    "events": (
        "Citation Citations Data Error Event EventBase EventType File Finish FinishReason Handoff Logprob "
        "ObjectDelta ProviderToolCall ProviderToolResult Raw ReasoningDelta Safety Start StepFinish StepStart "
        "TextDelta ToolCall ToolCallDelta ToolResult Usage Validity decode_event encode_event"
    ),
    "limits": "Limits",
    "messages": (
        "FilePart ImagePart Message Part ProviderPart ReasoningPart RefusalPart Request ResponseFormat TextPart "
        "ToolCallPart ToolResultPart ToolSpec as_messages"
    ),
    "objects": "ObjectStream json_schema",
    "protocols": "Decoder Encoder decoder decoder_names encoder encoder_names iter_events",
    "protocols.history": "MessageBuilder assistant_message tool_message",
    "protocols.requests": "request_body request_names",
    "providers": (
        "Anthropic AzureOpenAI BaseProvider Bedrock Cohere Conversation Gemini HTTPProvider ObjectResult Ollama "
        "OpenAIChat OpenAICompatible OpenAIResponses Provider TextResult Vertex VertexAnthropic provider "
        "provider_names user_inputs"
    ),
    "streams": (
        "BufferPool BufferedStream CallerRuns Conflate DropAfter END KEEP_ALIVE RESTART RetryBudget RetryPolicy "
        "Runnable Stream StreamHealth StreamMonitor StreamProcessor TextAccumulator TextProgress TextStream "
        "Timeouts fan_out filters merge pipeline sink stage stream"
    ),
    "tools": (
        "Agent Deny Run RunState Step Tool ToolContext ToolRunner ToolTracker all_of any_of custom max_steps "
        "max_tokens run_steps text_length tool tool_seen tool_specs truncate"
    ),
}
_LAZY = {name: f"millstream.{home}" for home, names in _HOMES.items() for name in names.split()}
_ROOMS = [
    *["compat", "events", "http", "limits", "messages", "objects", "protocols", "providers", "relay", "server"],
    *["streams", "testing", "tools"],
]
_CORE = ["MISSING", "Delta", "JSONParser", "NDJSONParser", "SSEMessage", "SSEParser", "parse_partial_json"]
_PUBLIC = sorted([*_CORE, *errors.__all__, *_LAZY])

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
    raise AttributeError(f"module 'millstream' has no attribute {name!r}", name=name, obj=modules[__name__])


def __dir__() -> list[str]:
    return sorted({*_PUBLIC, *_ROOMS})
