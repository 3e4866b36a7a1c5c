"""A transport for httpx2 that costs less per event: `httpx2.AsyncClient(transport=millstream.http.Transport())`.

HTTP/1.1 on asyncio, uvloop and trio, parsed by httptools. Proxies, HTTP/2, unix sockets and upgrades go to httpx2's own
transport. Providers use it where it is installed: `pip install 'millstream[http]'`.
"""

from __future__ import annotations

from millstream.errors import MissingExtra

try:
    from millstream.http._transport import Transport
except ModuleNotFoundError as error:
    if error.name not in ("httpx2", "httptools"):
        raise
    raise MissingExtra("millstream.http needs httpx2 and httptools: pip install 'millstream[http]'") from error

__all__ = ["Transport"]
