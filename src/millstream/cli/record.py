"""`millstream record`: a stream and its timing to files, in the format of `server/replay.py`.

The body is written while it comes, under another name until it is whole, with stars in the place of secrets; headers,
query and password are not written at all. Ctrl-C ends an endless stream: what had come is kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
from argparse import Namespace
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import orjson

from millstream.cli._failure import CommandError, printable
from millstream.cli._secrets import Secrets
from millstream.cli._source import Source, open_source
from millstream.errors import StreamError
from millstream.protocols import decoder

__all__ = ["run"]

TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def run(args: Namespace) -> int:
    """Record `args.source`. Returns: 0. Raises: CommandError, StreamError: it broke off; what had come is kept."""
    target = Path(args.to)
    folder, name = target.parent, target.name
    if not name or name.startswith(".") or name.endswith((".json", ".part")):
        raise CommandError(f"{args.to!r} is no name of a recording: give FOLDER/NAME", 2)
    if args.protocol:
        args.protocol = decoder(args.protocol).name
    if args.endpoint and not args.endpoint.startswith("/"):
        raise CommandError(f"--endpoint must begin with /, as in /{args.endpoint}", 2)
    secrets = Secrets()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index = _read_index(folder)
        if not args.force and any(_name(info) == name for info in index):
            raise CommandError(f"there is a recording {name!r} in {folder}: choose another name, or --force", 2)
        begun = monotonic()
        with open_source(args, secrets) as source:
            _record(source, args, folder, name, secrets, begun)
    except OSError as error:
        raise CommandError(f"cannot write {args.to!r}: {error.strerror}") from None
    return 0


def _record(source: Source, args: Namespace, folder: Path, name: str, secrets: Secrets, begun: float) -> None:
    headers_at = monotonic() - begun
    print(f"recording {printable(source.name, one_line=True)}; Ctrl-C ends it", file=sys.stderr, flush=True)
    part = folder / f"{name}.part"
    chunks: list[tuple[float, int]] = []
    failure: StreamError | CommandError | KeyboardInterrupt | None = None
    with part.open("wb") as out:
        digest = _Hashed(out)
        try:
            for data in source.chunks:
                chunks.append((round(monotonic() - begun, 6), len(data)))
                digest.write(secrets.feed(data))
        except (StreamError, CommandError, KeyboardInterrupt) as error:
            failure = error
        ended_at = monotonic() - begun
        digest.write(secrets.close())
    if not chunks:
        part.unlink()
        raise failure or CommandError(f"{source.name}: the body is empty, there is nothing to record")
    source.chunks = iter([part.open("rb").read(4096)])  # only to see what it is
    framing = source.framing()
    file = name if framing != "sse" else f"{name}.sse"
    timing = {"unit": "seconds since the request was sent", "headers_at": round(headers_at, 6)}
    timing |= {"ended_at": round(ended_at, 6), "chunks": chunks}
    host = source.name.partition("://")[2].partition("/")[0]
    info = {
        "file": file,
        "api": args.protocol,
        "endpoint": args.endpoint or source.path or f"/{name}",
        "method": source.method,
        "server": host,
        "model": source.request.get("model", "") if isinstance(source.request, dict) else "",
        "date": date.today().isoformat(),
        "http_status": source.status,
        "content_type": source.content_type or TYPES[framing],
        "bytes": digest.n_bytes,
        "sha256": digest.hexdigest(),
        "note": args.note or ("broke off" if failure else ""),
        "request": source.request,
        "timing": f"{name}.timing.json",
        "n_chunks": len(chunks),
    }
    os.replace(part, folder / file)
    _write_json(folder / str(info["timing"]), timing, secrets, 0)
    others = [one for one in _read_index(folder) if _name(one) != name]
    _write_json(folder / "INDEX.json", [*others, info], secrets, INDENTED)
    told = f"{digest.n_bytes} bytes in {len(chunks)} chunks over {ended_at:.1f} s: {folder / file}"
    print(f"{told}\nplay it: millstream replay {folder}", flush=True)
    if failure is not None:
        raise failure


class _Hashed:
    """Writes, counts, hashes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._sha = hashlib.sha256()
        self.n_bytes = 0
        self.hexdigest = self._sha.hexdigest

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self._sha.update(data)
        self.n_bytes += len(data)


def _name(info: dict[str, Any]) -> str:
    return str(info["file"]).removesuffix(".sse")


def _read_index(folder: Path) -> list[dict[str, Any]]:
    path = folder / "INDEX.json"
    try:
        index = orjson.loads(path.read_bytes()) if path.exists() else []
    except orjson.JSONDecodeError:
        index = None
    if not (isinstance(index, list) and all(isinstance(one, dict) and "file" in one for one in index)):
        raise CommandError(f"{path} is no index of recordings: choose another folder", 2)
    return index


def _write_json(path: Path, value: Any, secrets: Secrets, option: int) -> None:
    """Write whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(secrets.hide(orjson.dumps(value, option=option).decode()), encoding="utf-8")
    os.replace(part, path)
