"""millstream: typed events from the byte streams of AI providers.

Five names to start with: `stream` (async), `iter_events` (sync), `TextDelta`, `ToolCall`, `Finish`.
What needs an event loop is imported at its first use, so that `import millstream.core` loads no async library.
"""

from __future__ import annotations

from importlib import import_module
from sys import modules
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
    from millstream import compat as compat
    from millstream import http as http
    from millstream import messages as messages
    from millstream import objects as objects
    from millstream import providers as providers
    from millstream import relay as relay
    from millstream import server as server
    from millstream import streams as streams
    from millstream import testing as testing
    from millstream import tools as tools
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

__version__ = "0.1.0"

# Who only decodes pays for nothing of this.
_MESSAGES = [
    *["FilePart", "ImagePart", "Message", "Part", "ProviderPart", "ReasoningPart", "RefusalPart", "Request"],
    *["ResponseFormat", "TextPart", "ToolCallPart", "ToolResultPart", "ToolSpec", "as_messages"],
]
_HISTORY = ["MessageBuilder", "assistant_message", "tool_message"]
_REQUESTS = ["request_body", "request_names"]
_PROVIDERS = [
    *["Anthropic", "AzureOpenAI", "BaseProvider", "Bedrock", "Cohere", "Conversation", "Gemini", "HTTPProvider"],
    *["ObjectResult", "Ollama", "OpenAIChat", "OpenAICompatible", "OpenAIResponses", "Provider", "TextResult"],
    *["provider", "provider_names", "user_inputs"],
]
_STREAMS = [
    *["BufferPool", "RetryBudget", "RetryPolicy", "StreamHealth", "StreamMonitor", "StreamProcessor"],
    *["TextAccumulator", "TextProgress"],
    *["BufferedStream", "CallerRuns", "Conflate", "DropAfter", "KEEP_ALIVE", "fan_out", "merge"],
    *["END", "RESTART", "Runnable", "TextStream", "Timeouts", "filters", "pipeline", "sink", "stage"],
]
_TOOLS = [
    *["Agent", "Deny", "Run", "RunState", "Step", "Tool", "ToolContext", "ToolRunner", "ToolTracker", "all_of"],
    *["any_of", "custom", "max_steps", "max_tokens", "run_steps", "text_length", "tool", "tool_seen", "tool_specs"],
    "truncate",
]
_LAZY = {
    "Stream": "millstream.streams",
    "stream": "millstream.streams",
    "ObjectStream": "millstream.objects",
    "json_schema": "millstream.objects",
    **dict.fromkeys(_STREAMS, "millstream.streams"),
    **dict.fromkeys(_MESSAGES, "millstream.messages"),
    **dict.fromkeys(_PROVIDERS, "millstream.providers"),
    **dict.fromkeys(_HISTORY, "millstream.protocols.history"),
    **dict.fromkeys(_TOOLS, "millstream.tools"),
    **dict.fromkeys(_REQUESTS, "millstream.protocols.requests"),
}

_ROOMS = ["compat", "http", "messages", "objects", "providers", "relay", "server", "streams", "testing", "tools"]

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
    *_PROVIDERS,
    *_REQUESTS,
    *_STREAMS,
    *_TOOLS,
    *_errors,
    *_events,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return import_module(f"millstream.{name}")
    # With `name` and `obj`, the traceback asks whether another name was meant.
    raise AttributeError(f"module 'millstream' has no attribute {name!r}", name=name, obj=modules[__name__])


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
