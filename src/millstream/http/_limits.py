"""Bounds of the transport that nobody sets."""

from __future__ import annotations

__all__ = ["HIGH_WATER_BYTES", "LOOP_HIGH_WATER_BYTES", "MAX_OVERHEAD_BYTES", "READ_BYTES", "SMALL_READ_BYTES"]

MAX_OVERHEAD_BYTES = 100 * 1024  # headers, trailers, chunk extensions: what httpx2 (h11) allows for a head
READ_BYTES = 64 * 1024
HIGH_WATER_BYTES = 64 * 1024  # unread by the consumer, before reading pauses

# uvloop reads from all sockets that have something before any consumer runs: 10,000 streams that are behind would bring
# 640 MB at once. So when all together have the first of these unread, each may read the second, and then waits.
LOOP_HIGH_WATER_BYTES = 32 * 1024 * 1024
SMALL_READ_BYTES = 8 * 1024
