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
from typing import Any

from millstream.cli._failure import CommandError, printable
from millstream.cli._folder import INDENTED, read_index, recording_name, write_json
from millstream.cli._interrupt import CtrlC
from millstream.cli._secrets import Secrets
from millstream.cli._source import Source, open_source
from millstream.errors import StreamError
from millstream.protocols import decoder

__all__ = ["run"]

TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}


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
        if not args.force and any(recording_name(info) == name for info in read_index(folder)):
            raise CommandError(f"there is a recording {name!r} in {folder}: choose another name, or --force", 2)
        begun = monotonic()
        with open_source(args, secrets) as source:
            _record(source, args, folder, name, secrets, begun)
    except OSError as error:
        raise CommandError(f"cannot write {args.to!r}: {error.strerror}") from None
    return 0


def _record(source: Source, args: Namespace, folder: Path, name: str, secrets: Secrets, begun: float) -> None:
    timing: dict[str, Any] = {"unit": "seconds since the request was sent", "headers_at": _since(begun)}
    chunks = timing["chunks"] = []
    failure: StreamError | CommandError | KeyboardInterrupt | None = None
    part = folder / f"{name}.part"
    with CtrlC() as ctrl_c:
        print(f"recording {printable(source.name, one_line=True)}; Ctrl-C ends it", file=sys.stderr, flush=True)
        with part.open("wb", buffering=0) as out:
            try:
                for data in ctrl_c.interruptible(source.chunks):
                    chunks.append((_since(begun), len(data)))
                    out.write(secrets.feed(data))
            except (StreamError, CommandError, KeyboardInterrupt) as error:
                failure = error
            timing["ended_at"] = _since(begun)
            out.write(secrets.close())
        if chunks:
            _keep(source, args, folder, name, secrets, timing, "broke off" if failure else "")
        else:
            part.unlink()
            failure = failure or CommandError(f"{source.name}: the body is empty, there is nothing to record")
    if failure is not None:
        raise failure


def _since(begun: float) -> float:
    return round(monotonic() - begun, 6)


def _keep(
    source: Source, args: Namespace, folder: Path, name: str, secrets: Secrets, timing: dict[str, Any], note: str
) -> None:
    """Give the files their names, and the folder's index its entry."""
    part = folder / f"{name}.part"
    body = part.read_bytes()
    source.chunks = iter([body])
    framing = source.framing()
    info = {
        "file": f"{name}.sse" if framing == "sse" else name,
        "api": args.protocol,
        "endpoint": args.endpoint or source.path or f"/{name}",
        "method": source.method,
        "server": source.name.partition("://")[2].partition("/")[0],
        "model": source.request.get("model", "") if isinstance(source.request, dict) else "",
        "date": date.today().isoformat(),
        "http_status": source.status,
        "content_type": source.content_type or TYPES[framing],
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "note": args.note or note,
        "request": source.request,
        "timing": f"{name}.timing.json",
        "n_chunks": len(timing["chunks"]),
    }
    file = folder / str(info["file"])
    os.replace(part, file)
    write_json(folder / str(info["timing"]), timing, secrets)
    others = [one for one in read_index(folder) if recording_name(one) != name]
    write_json(folder / "INDEX.json", [*others, info], secrets, INDENTED)
    print(f"{len(body)} bytes in {info['n_chunks']} chunks over {timing['ended_at']:.1f} s: {file}")
    print(f"play it: millstream replay {folder}", flush=True)
