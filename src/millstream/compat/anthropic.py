"""The official Anthropic client, with millstream underneath.

    client = Anthropic()
    accelerate(client)

Its results are its own objects, equal to those that it gives without us; the differences are bugs of its decoder, and
stand in docs/howto/drop_in.md. `Stream.raw_events` is not touched: its events keep their wire lines, ours do not.
Source: anthropic 2.11.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from millstream.compat._acceleration import Acceleration, Replacement
from millstream.compat._sdk import accelerate_client, accelerate_process

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic

__all__ = ["accelerate"]


def accelerate(client: Anthropic | AsyncAnthropic | None = None) -> Acceleration:
    """Read streams with millstream's parser: those of one client and its copies, or of all clients of the process.

    For the whole process, `client.messages.stream()` also parses what has arrived of a tool's input once, not again
    with each piece. It imports `jiter.from_json` at each call, so that is replaced, for all who do so; the values are
    the same. A version of the SDK that is not as we know it is left alone, with a warning.

    Args: client: an Anthropic, AsyncAnthropic, or one derived from them; None for all. A client of Amazon Bedrock reads
        another framing and is left alone.
    Returns: what undoes it.
    Raises: TypeError: no client of this SDK. MissingExtra: the SDK is not installed.
    """
    if client is not None:
        return accelerate_client("anthropic", client)
    return accelerate_process("anthropic", _helpers)


def _helpers() -> Iterator[Replacement]:
    from millstream.compat._growing import from_json

    yield Replacement(import_module("jiter"), "from_json", from_json)
