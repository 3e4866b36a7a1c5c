"""What the demo's server answers, request by request: recordings, and what no tiny model would have said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import millstream as ms
from millstream.cli._failure import CommandError
from millstream.server.replay import Recording, ReplayApp, load_recordings

__all__ = ["PAUSE_S", "make_replay"]

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CHUNK_S = 0.03
PAUSE_S = 1.6

COMPARE = (
    ms.ToolCall("call-1", "get_weather", b'{"city": "Lyon", "unit": "f"}', index=0),
    ms.ToolCall("call-2", "get_weather", b'{"city": "Nice", "unit": "f"}', index=1),
    ms.Finish(ms.FinishReason.TOOL_CALLS),
)
ANSWER = "It is 64 degrees in Paris. Nice is the warmest of the three, with 81; in Lyon it is 70."


def make_replay(speed: float, chosen: Sequence[str]) -> ReplayApp:
    """Make the application.

    Args: chosen: recordings to play instead of the text of their endpoint.
    Raises: CommandError: there is no such recording, or no act that plays it.
    """
    recordings = load_recordings()
    texts = {CHAT: "demo-chat", MESSAGES: "demo-messages"}
    for name in chosen:
        if name not in recordings:
            raise CommandError(f"no recording {name!r}; there are: {', '.join(recordings)}", 2)
        texts[recordings[name].info["endpoint"]] = name
    words = [ms.TextDelta(word + " ") for word in ANSWER.split()]
    scenes = {
        "demo-compare": _written("demo-compare", *COMPARE),
        "demo-answer": _written("demo-answer", *words, ms.Finish(ms.FinishReason.STOP)),
        "demo-paused": _paused(recordings[texts[MESSAGES]]),
    }
    chat = [texts[CHAT], "demo-object", "chat-tool-call", "demo-compare", "demo-answer"]
    return ReplayApp(recordings | scenes, speed=speed, turns=[*chat, "demo-paused", texts[MESSAGES]])


def _written(name: str, *events: ms.Event) -> Recording:
    """An answer that nobody has recorded, as OpenAI would send it."""
    wire = ms.encoder("openai-chat")
    pieces = [*map(wire.encode, (ms.Start("gemma"), *events)), wire.close()]
    info = {"endpoint": CHAT, "content_type": "text/event-stream"}
    return Recording(name, info, 0.0, tuple((i * CHUNK_S, piece) for i, piece in enumerate(pieces)))


def _paused(recording: Recording) -> Recording:
    """The same bytes, but in the middle nothing comes for a while."""
    half = len(recording.chunks) // 2
    late = ((at + PAUSE_S, data) for at, data in recording.chunks[half:])
    return replace(recording, name="demo-paused", chunks=(*recording.chunks[:half], *late))
