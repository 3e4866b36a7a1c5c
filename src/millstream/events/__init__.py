"""Typed events: one small frozen class per kind, in one union. Pure data, no I/O, no clock.

Add an event: a class in the file of its family, a member of `EventType`, a line in `_codec.Event` and one here.
"""

from millstream.events._base import EventBase, EventType
from millstream.events._codec import Event, decode_event, encode_event
from millstream.events.app import Data, File, Raw
from millstream.events.error import Error
from millstream.events.lifecycle import Finish, FinishReason, Handoff, Start, StepFinish, StepStart
from millstream.events.logprobs import Logprob
from millstream.events.objects import ObjectDelta
from millstream.events.safety import Safety
from millstream.events.sources import Citation, Citations
from millstream.events.text import ReasoningDelta, TextDelta
from millstream.events.tools import ProviderToolCall, ProviderToolResult, ToolCall, ToolCallDelta, ToolResult, Validity
from millstream.events.usage import Usage

__all__ = [
    "Citation",
    "Citations",
    "Data",
    "Error",
    "Event",
    "EventBase",
    "EventType",
    "File",
    "Finish",
    "FinishReason",
    "Handoff",
    "Logprob",
    "ObjectDelta",
    "ProviderToolCall",
    "ProviderToolResult",
    "Raw",
    "ReasoningDelta",
    "Safety",
    "Start",
    "StepFinish",
    "StepStart",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolResult",
    "Usage",
    "Validity",
    "decode_event",
    "encode_event",
]
