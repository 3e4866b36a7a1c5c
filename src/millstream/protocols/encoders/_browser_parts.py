"""Sources and files as a browser may be shown them.

A model can write any address into its sources: one that is not http(s) would run as a script where a page makes it a
link, so it never stands where a page looks for one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from millstream.events import Citation, File

__all__ = ["file_part", "source_part"]

_web = re.compile(r"https?://", re.IGNORECASE)
_media_type = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)


def source_part(citation: Citation, id: str, block: int) -> dict[str, Any]:
    """Return a `source-url`, or a `source-document` if there is no address that a page may open."""
    told = {"source": citation.source, "text": citation.text, "start": citation.start, "end": citation.end}
    about = {key: value for key, value in told.items() if value not in ("", None)} | {"block": block}
    more = {"sourceId": id, "providerMetadata": {"millstream": about}}
    if _web.match(citation.url):
        title = {"title": citation.title} if citation.title else {}
        return {"type": "source-url", "url": citation.url, **title, **more}
    name = citation.title or citation.url or citation.source or citation.text
    return {"type": "source-document", "mediaType": "application/octet-stream", "title": name, **more}


def file_part(file: File) -> dict[str, Any] | None:
    """Return a `file`, a `data-file` if its address is of another kind than http(s), None if there is nothing in it."""
    media_type = file.media_type if _media_type.fullmatch(file.media_type) else "application/octet-stream"
    if file.data:
        media_type = media_type.replace("; ", ";")
        url = f"data:{media_type};base64,{b64encode(file.data).decode()}"
    elif _web.match(file.url):
        url = file.url
    elif file.url:
        return {"type": "data-file", "data": {"mediaType": media_type, "url": file.url}}
    else:
        return None
    return {"type": "file", "mediaType": media_type, "url": url}
