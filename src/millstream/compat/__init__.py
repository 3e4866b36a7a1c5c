"""Floor 5: drop-ins for other libraries, and adapters to them, one file each; none is loaded before it is asked for.

| module | is |
|---|---|
| `httpx_sse`, `jiter` | the library's own names, to import in its place |
| `openai`, `anthropic` | `accelerate`: the official client, with millstream underneath |
| `responses` | responses of aiohttp, niquests, requests for `ms.stream` and `ms.iter_events` |
| `langchain`, `litellm`, `pydantic_ai` | `events`: what these frameworks stream, as millstream's events |
"""

from __future__ import annotations

from millstream.compat._acceleration import Acceleration, NotAccelerated

__all__ = ["Acceleration", "NotAccelerated"]
