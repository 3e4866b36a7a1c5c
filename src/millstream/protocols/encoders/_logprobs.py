"""Log probabilities in OpenAI's form, which chat completions and Responses share."""

from __future__ import annotations

from typing import Any

from millstream.events import Logprob, Safety, TextDelta

__all__ = ["logprobs"]


def logprobs(event: TextDelta | Safety) -> list[dict[str, Any]]:
    """Return those of this event, which has some: as they came, if they have this form."""
    raw = (event._meta or {})["logprobs"]
    if isinstance(raw, list) and all(isinstance(one, dict) and one.keys() >= {"token", "logprob"} for one in raw):
        return raw
    return [{**_logprob(one), "top_logprobs": [*map(_logprob, one.top)]} for one in event.logprobs]


def _logprob(one: Logprob) -> dict[str, Any]:
    data = None if one.data is None else list(one.data)
    return {"token": one.token, "logprob": one.logprob, "bytes": data}
