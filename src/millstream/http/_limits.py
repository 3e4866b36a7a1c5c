"""Bounds of the transport that nobody sets."""

from __future__ import annotations

__all__ = ["HIGH_WATER_BYTES", "MAX_OVERHEAD_BYTES", "READ_BYTES"]

MAX_OVERHEAD_BYTES = 100 * 1024  # headers, trailers, chunk extensions: what httpx2 (h11) allows for a head
READ_BYTES = 64 * 1024
HIGH_WATER_BYTES = 64 * 1024  # unread by the consumer, before reading pauses
