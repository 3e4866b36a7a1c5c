"""A pytest plugin (`-p in_place`) for the suites of other libraries: it puts ours in the place of what they test.

PEER says which. Prints how often ours was really used, so that a suite that passes without us proves nothing.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module

from millstream import SSEParser
from millstream.compat import _decoding

PEER = os.environ["PEER"]
made = 0


def counting_parser() -> SSEParser:
    global made
    made += 1
    return _decoding_make_parser()


_decoding_make_parser = _decoding.make_parser
_decoding.make_parser = counting_parser

if PEER == "httpx_sse":
    sys.modules["httpx_sse"] = ours = import_module("millstream.compat.httpx_sse")
    for name in ("_api", "_decoders"):
        sys.modules[f"httpx_sse.{name}"] = import_module(f"{ours.__name__}.{name}")
else:
    from millstream.compat import _growing

    _growing.SMALL = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "not accelerated" would be one
        import_module(f"millstream.compat.{PEER}").accelerate()


def pytest_terminal_summary(terminalreporter) -> None:
    terminalreporter.write_line(f"millstream parsers: {made}")
