"""Floor 4: streams that outlive their connection and their process.

hub = ms.relay.Hub(ms.relay.MemoryLog(), authorize=may_read)         # or RedisLog("redis://...")
async with hub:
    await hub.publish("chat-42", make_stream)
    async with hub.subscribe("chat-42", after=last_event_id) as items:
        async for item in items: ...                                 # item.id, item.data
    await hub.cancel("chat-42")                                      # from any process
"""

from __future__ import annotations

from millstream.relay._ids import new_stream_id
from millstream.relay._item import Item
from millstream.relay._log import End, Entry, Status, StreamInfo, StreamLog
from millstream.relay._run import Run
from millstream.relay._subscription import Subscription
from millstream.relay.hub import Hub
from millstream.relay.memory import MemoryLog
from millstream.relay.redis import RedisLog

__all__ = [
    "End",
    "Entry",
    "Hub",
    "Item",
    "MemoryLog",
    "RedisLog",
    "Run",
    "Status",
    "StreamInfo",
    "StreamLog",
    "Subscription",
    "new_stream_id",
]
