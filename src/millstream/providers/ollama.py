"""Ollama's own API."""

from __future__ import annotations

import os

from millstream.providers._base import HTTPProvider

__all__ = ["Ollama"]


class Ollama(HTTPProvider):
    """`POST /api/chat` of a local Ollama, of the one that OLLAMA_HOST names, or of ollama.com, by `base_url`."""

    name = "ollama"
    protocol = "ollama-chat"
    home = "http://127.0.0.1:11434"
    path = "/api/chat"
    key_names = ("OLLAMA_API_KEY",)
    url_names = ("OLLAMA_HOST",)
    needs_key = False
    schemas = "any"
    tool_choice = False

    def _base_url(self, given: str | None) -> str:
        """Take also what OLLAMA_HOST may be: a host alone, a port alone, or the address that the server listens at."""
        named = (given or os.environ.get("OLLAMA_HOST", "")).strip()
        if not named or "//" in named:
            return super()._base_url(named)
        host, _, port = named.rpartition(":") if ":" in named else (named, "", "11434")
        host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  (what a server binds to is no destination)
        return super()._base_url(f"http://{host}:{port}")
