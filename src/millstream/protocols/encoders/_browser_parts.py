"""What a browser may be shown: addresses that it may open, errors without the words of others.

A provider's words can name accounts, quotas, hosts and parts of a key, and a tool's words can hold whatever it read: by
default a browser gets a sentence of our own for the kind of error. A model can write any address into its sources: one
that is not http(s) would run as a script where a page makes it a link, so it never stands where a page looks for one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from millstream.events import Citation, File

__all__ = ["TOOL_FAILED", "error_text", "file_part", "source_part"]

TOOL_FAILED = "The tool failed."
ANY_ERROR = "An error occurred."
ERRORS = {
    "connection": "The connection to the model broke off.",
    "incomplete": "The answer broke off before its end.",
    "invalid_request": "The model cannot serve this request.",
    "overloaded": "The model has no capacity at the moment.",
    "rate_limited": "Too many requests at the moment.",
    "timeout": "The model did not answer in time.",
}
"""Sentences by `StreamError.kind`."""

_web = re.compile(r"https?://", re.IGNORECASE)
_media_type = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)


def error_text(kind: str) -> str:
    """Return our own sentence for an error of this kind."""
    return ERRORS.get(kind, ANY_ERROR)


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
