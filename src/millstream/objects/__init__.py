"""Structured output while it streams: typed objects from text or tool-call arguments."""

from millstream.objects._schema import json_schema
from millstream.objects._stream import ObjectStream
from millstream.objects._views import View

__all__ = ["ObjectStream", "View", "json_schema"]
