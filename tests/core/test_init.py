"""millstream.core: what it exports, and what it says when it was not built."""

from __future__ import annotations

import sys

import pytest

import millstream.core


def test_exports():
    assert millstream.core.__all__ == [
        "MAX_RETRY_MS", "MISSING", "Delta", "JSONParser", "LosslessFloat", "NDJSONParser", "Rule", "Rules",
        "SSEMessage", "SSEParser", "Shapes", "StringCache", "parse_partial_json",
    ]  # fmt: skip
    assert all(hasattr(millstream.core, name) for name in millstream.core.__all__)
    assert millstream.core._sse.__file__.endswith((".so", ".pyd"))
    assert millstream.core._ndjson.__file__.endswith((".so", ".pyd"))


@pytest.mark.parametrize(
    ("missing", "text"),
    [("millstream.core._sse", "make build"), ("millstream.core._ndjson", "force-reinstall")],
)
def test_missing_extension_says_what_to_do(monkeypatch, missing, text):
    monkeypatch.delitem(sys.modules, "millstream.core")
    monkeypatch.setattr(sys, "meta_path", [Hide(missing), *sys.meta_path])
    monkeypatch.delitem(sys.modules, missing)
    with pytest.raises(ImportError, match=text) as caught:
        __import__("millstream.core")
    assert caught.value.name == missing


class Hide:
    """A finder that knows one module not to exist."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
