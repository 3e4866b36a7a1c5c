"""The event that the user gets."""

from __future__ import annotations

from typing import Any

from millstream.compat._decoding import loads

__all__ = ["ServerSentEvent"]


class ServerSentEvent:
    """One event.

    Args: event: None and "" are "message". data: None is "". id: the last event id, None is "". retry: milliseconds.
    """

    __slots__ = ("_data", "_event", "_id", "_retry")

    def __init__(
        self, event: str | None = None, data: str | None = None, id: str | None = None, retry: int | None = None
    ) -> None:
        self._event = event or "message"
        self._data = data or ""
        self._id = id or ""
        self._retry = retry

    @property
    def event(self) -> str:
        """Its type."""
        return self._event

    @property
    def data(self) -> str:
        """The data lines, joined with LF."""
        return self._data

    @property
    def id(self) -> str:
        """The last event id: what to send as Last-Event-ID."""
        return self._id

    @property
    def retry(self) -> int | None:
        """The reconnection time in milliseconds, if this event sets it."""
        return self._retry

    def json(self) -> Any:
        """Decode the data. Raises: json.JSONDecodeError."""
        return loads(self._data)

    def __repr__(self) -> str:
        parts = [f"event={self._event!r}"]
        parts += [f"{name}={value!r}" for name, value in (("data", self._data), ("id", self._id)) if value != ""]
        if self._retry is not None:
            parts.append(f"retry={self._retry!r}")
        return f"ServerSentEvent({', '.join(parts)})"
