"""A folder of recordings, as `server/replay.py` reads it: `INDEX.json` and the files that it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from millstream.cli._failure import CommandError
from millstream.cli._secrets import Secrets

__all__ = ["INDENTED", "read_index", "recording_name", "write_json"]

INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def recording_name(info: dict[str, Any]) -> str:
    """Return what a recording is called, as `load_recordings` does."""
    return str(info["file"]).removesuffix(".sse")


def read_index(folder: Path) -> list[dict[str, Any]]:
    """Return the entries; none if there is no index yet. Raises: CommandError: it is of something else. OSError."""
    path = folder / "INDEX.json"
    try:
        index = orjson.loads(path.read_bytes()) if path.exists() else []
    except orjson.JSONDecodeError:
        index = None
    if not (isinstance(index, list) and all(isinstance(one, dict) and "file" in one for one in index)):
        raise CommandError(f"{path} is no index of recordings: choose another folder", 2)
    return index


def write_json(path: Path, value: Any, secrets: Secrets, option: int = 0) -> None:
    """Write whole or not at all, without secrets. Raises: OSError."""
    part = path.with_name(path.name + ".part")
    part.write_text(secrets.hide(orjson.dumps(value, option=option).decode()), encoding="utf-8")
    os.replace(part, path)
