"""The shared corpus: 344 streams that others recorded, and their events, decoded once for all tests."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import millstream as ms
from conftest import shared_dir
from protocols.decoding import decode


def corpus() -> Path:
    own = os.environ.get("MILLSTREAM_CORPUS")
    return Path(own) if own else shared_dir() / "corpus"


INDEX = json.loads((corpus() / "INDEX.json").read_bytes())
APIS = {entry["file"]: entry["api"] for entry in INDEX}


@cache
def body_of(file: str) -> bytes:
    return (corpus() / file).read_bytes()


@cache
def events_of(file: str) -> list[ms.Event]:
    """The true events, in a list that nobody may change."""
    return decode(APIS[file], body_of(file))
