"""The official OpenAI client, with millstream underneath.

    client = OpenAI()
    accelerate(client)

Its results are its own objects, equal to those that it gives without us; the differences are bugs of its decoder, and
stand in docs/howto/drop_in.md. Source: openai 3.52.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from millstream.compat._acceleration import Acceleration, Replacement
from millstream.compat._sdk import accelerate_client, accelerate_process

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["accelerate"]


def accelerate(client: OpenAI | AsyncOpenAI | None = None) -> Acceleration:
    """Read streams with millstream's parser: those of one client and its copies, or of all clients of the process.

    For the whole process, `client.chat.completions.stream()` also parses what has arrived of structured output once,
    not again with each piece. A version of the SDK that is not as we know it is left alone, with a warning.

    Args: client: an OpenAI, AsyncOpenAI, or one derived from them; None for all.
    Returns: what undoes it.
    Raises: TypeError: no client of this SDK. MissingExtra: the SDK is not installed.
    """
    if client is not None:
        return accelerate_client("openai", client)
    return accelerate_process("openai", _helpers)


def _helpers() -> Iterator[Replacement]:
    from millstream.compat._growing import from_json

    module = import_module("openai.lib.streaming.chat._completions")
    if hasattr(module, "from_json"):
        yield Replacement(module, "from_json", from_json)
